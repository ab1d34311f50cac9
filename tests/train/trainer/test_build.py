"""Settings that TRL or the model refuse when the trainer is built."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import sfttrain
from sftdata.errors import ConfigError, ModelError

Settings = Callable[..., dict[str, Any]]


def test_a_value_that_sftconfig_refuses_is_named(settings: Settings):
    with pytest.raises(ConfigError, match="trainer: sgdd is not a valid"):
        sfttrain.run(settings(trainer={"optim": "sgdd"}))


def test_a_layer_that_the_model_does_not_have_is_named(settings: Settings):
    with pytest.raises(ModelError, match="nowhere"):
        sfttrain.run(settings(lora={"target_modules": ["nowhere"]}))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("FSDP", "distributed_type: FSDP: accelerate shards a model on GPUs alone, and this process runs on cpu"),
        ("DEEPSPEED", "(?i)deepspeed"),  # the package is missing, or there is no GPU
    ],
)
def test_a_split_that_accelerate_leaves_out_without_a_gpu_is_refused_in_one_process_too(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, name: str, said: str
):
    monkeypatch.setenv(f"ACCELERATE_USE_{name}", "true")
    with pytest.raises(ConfigError, match=said):
        sfttrain.run(settings())
