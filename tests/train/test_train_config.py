"""The settings of sfttrain, and what it says about wrong ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from sftdata.errors import ConfigError
from sfttrain.config import FIXED, OURS, config_of, load_config

BASE = {"shards": "data", "model": "org/name", "out": "out"}


def test_every_wrong_setting_is_named_at_once():
    with pytest.raises(ConfigError) as caught:
        config_of({"shards": "data", "model": "m", "learning_rat": 1, "warmup": "long"})
    message = str(caught.value)
    assert "3 problems" in message
    assert "learning_rat is not a setting; did you mean learning_rate?" in message
    assert "out is required" in message
    assert "warmup" in message


def test_a_run_is_as_long_as_epochs_or_max_steps_say_but_not_both():
    with pytest.raises(ConfigError, match="epochs and max_steps are both set"):
        config_of({**BASE, "epochs": 1, "max_steps": 3})


def test_an_unknown_trainer_setting_comes_with_a_suggestion():
    with pytest.raises(ConfigError, match=r"trainer.weight_deca is not .*did you mean trainer.weight_decay\?"):
        config_of({**BASE, "trainer": {"weight_deca": 0.1}})


def test_a_trainer_setting_that_one_of_ours_decides_is_refused_by_that_name():
    with pytest.raises(ConfigError, match="num_train_epochs is decided by epochs"):
        config_of({**BASE, "trainer": {"num_train_epochs": 3}})


@pytest.mark.parametrize("name", ["packing", "padding_free", "max_length", "dataset_kwargs", "assistant_only_loss"])
def test_what_packed_shards_need_cannot_be_changed(name: str):
    with pytest.raises(ConfigError, match=f"trainer.{name} cannot be set"):
        config_of({**BASE, "trainer": {name: False}})


def test_numbers_in_scientific_notation_are_numbers():
    config = config_of(BASE, ["learning_rate=1e-4", "trainer.weight_decay=1e-2"])
    assert config.learning_rate == 0.0001
    assert config.trainer == {"weight_decay": 0.01}


def test_lora_is_a_switch_or_a_group():
    assert config_of({**BASE, "lora": True}).lora == config_of({**BASE, "lora": {}}).lora
    assert config_of({**BASE, "lora": False}).lora is None
    lora = config_of({**BASE, "lora": True}, ["lora.r=4"]).lora
    assert lora is not None and lora.r == 4


def test_an_adapter_learns_ten_times_faster_than_a_whole_model_unless_told():
    assert config_of(BASE).rate == 2e-5
    assert config_of({**BASE, "lora": True}).rate == 2e-4
    assert config_of({**BASE, "lora": True, "learning_rate": 3e-4}).rate == 3e-4


def test_paths_in_a_file_are_relative_to_the_file_and_hub_ids_stay(tmp_path: Path):
    (tmp_path / "train.yaml").write_text("shards: data\nmodel: org/name\nout: out\n")
    config = load_config(tmp_path / "train.yaml", ["seed=7"])
    assert config.shards == str(tmp_path / "data")
    assert config.out == str(tmp_path / "out")
    assert config.model == "org/name"
    assert config.seed == 7


def test_a_model_folder_beside_the_file_is_found(tmp_path: Path):
    (tmp_path / "base").mkdir()
    (tmp_path / "train.yaml").write_text("shards: data\nmodel: base\nout: out\n")
    assert load_config(tmp_path / "train.yaml").model == str(tmp_path / "base")


def test_a_trainer_setting_of_the_wrong_kind_is_named():
    with pytest.raises(ConfigError) as caught:
        config_of(
            {**BASE, "trainer": {"weight_decay": "much", "logging_steps": True, "per_device_train_batch_size": 0}}
        )
    message = str(caught.value)
    assert "trainer.weight_decay cannot be 'much': SFTConfig asks for float" in message
    assert "trainer.logging_steps cannot be True" in message
    assert "trainer.per_device_train_batch_size must be at least 1" in message


def test_every_name_that_is_ours_or_fixed_is_one_of_sftconfig():
    from dataclasses import fields

    from trl import SFTConfig

    gone = {"warmup_ratio"}  # transformers 5 takes shares in warmup_steps
    assert {*OURS, *FIXED} - {field.name for field in fields(SFTConfig)} <= gone


def test_settings_of_the_trainer_reach_it_over_our_defaults():
    from sfttrain.data import BatchShape
    from sfttrain.trainer import sft_config

    shape = BatchShape(1, 1, 1, 10.0, 4, 64)
    settings = {"eval_on_start": True, "logging_steps": 7, "save_total_limit": 5, "report_to": "none"}
    free = config_of({**BASE, "trainer": settings})
    args = sft_config(free, shape, "float32", validates=False, resumes=False)
    assert {name: getattr(args, name) for name in ("eval_on_start", "logging_steps", "save_total_limit")} == {
        "eval_on_start": True,
        "logging_steps": 7,
        "save_total_limit": 5,
    }


@pytest.mark.parametrize(("warmup", "steps"), [(0.03, 6), (0.001, 0), (12, 12), (0, 0)])
def test_warmup_is_a_share_of_the_steps_or_a_number_of_them(warmup: float, steps: int):
    from sfttrain.data import BatchShape
    from sfttrain.trainer import sft_config

    shape = BatchShape(1, 2, 1, 10.0, 100, 64)  # 50 steps an epoch
    config = config_of({**BASE, "epochs": 4, "warmup": warmup})
    assert sft_config(config, shape, "float32", validates=False, resumes=False).warmup_steps == steps
