"""The settings of sfttrain, and the errors for wrong ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from sftdata.errors import ConfigError
from sfttrain.config import TrainConfig, load_config, parse_config, resolve_config

BASE = {"shards": "data", "model": "org/name", "out": "out"}


def test_all_wrong_settings_are_reported_at_once():
    with pytest.raises(ConfigError) as caught:
        parse_config({"shards": "data", "model": "m", "learning_rat": 1, "warmup": "long"})
    message = str(caught.value)
    assert "3 problems" in message
    assert "learning_rat is not a setting; did you mean learning_rate?" in message
    assert "out is required" in message
    assert "warmup" in message


def test_epochs_and_max_steps_cannot_both_be_set():
    with pytest.raises(ConfigError, match="epochs and max_steps are both set"):
        parse_config({**BASE, "epochs": 1, "max_steps": 3})


def test_numbers_in_scientific_notation_are_numbers():
    config = parse_config(BASE, ["learning_rate=1e-4", "trainer.weight_decay=1e-2"])
    assert config.learning_rate == 0.0001
    assert config.trainer == {"weight_decay": 0.01}


def test_lora_is_a_switch_or_a_group():
    assert parse_config({**BASE, "lora": True}).lora == parse_config({**BASE, "lora": {}}).lora
    assert parse_config({**BASE, "lora": False}).lora is None
    lora = parse_config({**BASE, "lora": True}, ["lora.r=4"]).lora
    assert lora is not None and lora.r == 4


def test_the_default_learning_rate_is_ten_times_higher_with_lora():
    assert parse_config(BASE).peak_learning_rate == 2e-5
    assert parse_config({**BASE, "lora": True}).peak_learning_rate == 2e-4
    assert parse_config({**BASE, "lora": True, "learning_rate": 3e-4}).peak_learning_rate == 3e-4


def test_paths_in_a_file_are_relative_to_the_file_and_hub_ids_stay(tmp_path: Path):
    (tmp_path / "train.yaml").write_text("shards: data\nmodel: org/name\nout: out\n")
    config = load_config(tmp_path / "train.yaml", ["seed=7"])
    assert config.shards == str(tmp_path / "data")
    assert config.out == str(tmp_path / "out")
    assert config.model == "org/name"
    assert config.seed == 7


def test_a_model_folder_next_to_the_file_is_found(tmp_path: Path):
    (tmp_path / "base").mkdir()
    (tmp_path / "train.yaml").write_text("shards: data\nmodel: base\nout: out\n")
    assert load_config(tmp_path / "train.yaml").model == str(tmp_path / "base")


def test_settings_may_be_an_object_a_mapping_or_a_file(tmp_path: Path):
    config = TrainConfig(**BASE)
    (tmp_path / "train.yaml").write_text("shards: data\nmodel: org/name\nout: out\n")
    assert resolve_config(config) is config
    assert resolve_config(BASE) == config
    assert resolve_config(tmp_path / "train.yaml").shards == str(tmp_path / "data")
