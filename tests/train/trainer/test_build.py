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
