"""Settings that TRL or the model refuse when the trainer is built."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import pytest
from huggingface_hub.errors import LocalTokenNotFoundError

import sfttrain
from sftdata.errors import ConfigError, ModelError
from sfttrain.trainer.packed import PackedTrainer

Settings = Callable[..., dict[str, Any]]


def test_a_value_that_sftconfig_refuses_is_named(settings: Settings):
    with pytest.raises(ConfigError, match="trainer: sgdd is not a valid"):
        sfttrain.run(settings(trainer={"optim": "sgdd"}))


def test_a_layer_that_the_model_does_not_have_is_named(settings: Settings):
    with pytest.raises(ModelError, match="nowhere"):
        sfttrain.run(settings(lora={"target_modules": ["nowhere"]}))


@pytest.mark.parametrize("name", ["fast", "flash_attention_2"])
def test_an_attention_that_is_not_there_is_named_as_such(settings: Settings, name: str):
    if name == "flash_attention_2" and find_spec("flash_attn") is not None:
        pytest.skip("flash attention is installed")
    with pytest.raises(ConfigError, match=r"^attn_implementation: .*; set auto, sdpa or eager, or install"):
        sfttrain.run(settings(attn_implementation=name))


def test_a_repository_that_the_hub_refuses_is_one_sentence(settings: Settings, monkeypatch: pytest.MonkeyPatch):
    def refused(self: PackedTrainer, *args: Any, **kwargs: Any) -> None:
        raise LocalTokenNotFoundError("Token is required")

    monkeypatch.setattr(PackedTrainer, "init_hf_repo", refused)
    with pytest.raises(ConfigError, match=r"trainer\.push_to_hub: the repository cannot be made .Token is required"):
        sfttrain.run(settings(trainer={"push_to_hub": True}))


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
