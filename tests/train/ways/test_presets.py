"""Presets: what they set, and what wins over them."""

from __future__ import annotations

from typing import Any

import pytest
from typer.testing import CliRunner

from sftdata.errors import ConfigError
from sfttrain.cli.app import app
from sfttrain.config import TrainConfig, parse_config
from sfttrain.ways.presets import load_preset, preset_names

BASE = {"shards": "data", "model": "org/name", "out": "out"}


def test_these_are_the_presets():
    assert preset_names() == ("full", "instructgpt", "lora", "qlora")


@pytest.mark.parametrize("name", ["full", "instructgpt", "lora", "qlora"])
def test_every_preset_is_valid_and_has_its_source(name: str):
    preset = load_preset(name)
    assert ("arXiv" in preset.source) or ("Schulman et al. 2025" in preset.source)
    config = parse_config({**BASE, "preset": name})
    assert (config.lora is not None) == (name in ("lora", "qlora"))


def test_instructgpt_is_as_in_its_paper():
    config = parse_config({**BASE, "preset": "instructgpt"})
    assert (config.epochs, config.schedule, config.final_rate, config.warmup) == (16, "cosine", 0.1, 0)
    assert config.dropout is not None and config.dropout.residual == 0.2
    assert config.learning_rate == 9.65e-6


@pytest.mark.parametrize(
    ("settings", "overrides", "key", "value"),
    [
        ({"preset": "instructgpt", "epochs": 2}, [], "epochs", 2),
        ({"preset": "instructgpt"}, ["max_steps=5"], "epochs", None),
        ({"preset": "instructgpt", "schedule": "linear"}, [], "final_rate", 0),
        ({"preset": "lora", "lora": False}, [], "lora", None),
        ({"preset": "full", "learning_rate": 1e-4}, [], "learning_rate", 1e-4),
    ],
)
def test_explicit_settings_win(settings: dict[str, Any], overrides: list[str], key: str, value: Any):
    assert getattr(parse_config({**BASE, **settings}, overrides), key) == value


def test_a_setting_of_a_group_leaves_the_others_of_the_preset():
    lora = parse_config({**BASE, "preset": "qlora"}, ["lora.r=8"]).lora
    assert lora is not None and (lora.r, lora.alpha, lora.quantize) == (8, 16, "nf4")
    assert parse_config({**BASE, "preset": "lora", "lora": True}).lora == parse_config({**BASE, "preset": "lora"}).lora


def test_the_settings_of_a_run_are_read_back_as_they_were():
    config = parse_config({**BASE, "preset": "instructgpt", "max_steps": 5})
    assert TrainConfig(**config.model_dump(mode="json")) == config


def test_an_unknown_preset_is_refused_with_the_names():
    with pytest.raises(ConfigError, match="there is no preset 'lorra': full, instructgpt, lora, qlora"):
        parse_config({**BASE, "preset": "lorra"})


def test_the_command_lists_them_with_sources_and_settings():
    result = CliRunner().invoke(app, ["presets"])
    assert result.exit_code == 0
    for part in ("instructgpt\n", "arXiv 2203.02155", "dropout: {residual: 0.2}", "LoRA Without Regret", "epochs: 16"):
        assert part in result.output
