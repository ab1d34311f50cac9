"""The setting `trainer`: which fields of SFTConfig a user may set."""

from __future__ import annotations

import pytest

from sftdata.errors import ConfigError
from sfttrain.config import TrainConfig, parse_config
from sfttrain.trainer.settings import DECIDED_BY, FIXED


def config_with(**trainer: object) -> TrainConfig:
    return parse_config({"shards": "data", "model": "org/name", "out": "out", "trainer": trainer})


def test_an_unknown_field_comes_with_a_suggestion():
    with pytest.raises(ConfigError, match=r"trainer.weight_deca is not .*did you mean trainer.weight_decay\?"):
        config_with(weight_deca=0.1)


def test_a_field_that_a_setting_decides_is_refused_with_the_name_of_the_setting():
    with pytest.raises(ConfigError, match="num_train_epochs is decided by epochs"):
        config_with(num_train_epochs=3)


@pytest.mark.parametrize(
    ("name", "value", "setting"),
    [("train_sampling_strategy", "group_by_length", "sort"), ("bf16_full_eval", True, "dtype")],
)
def test_what_would_be_ignored_or_change_the_saved_weights_is_refused(name: str, value: object, setting: str):
    """The order of the sequences is not Trainer's, and an evaluation after training would leave its dtype behind."""
    with pytest.raises(ConfigError, match=f"trainer.{name} is decided by {setting}"):
        config_with(**{name: value})


@pytest.mark.parametrize(
    ("name", "value"), [("dataloader_drop_last", True), ("accelerator_config", {"split_batches": True})]
)
def test_the_sequences_of_a_step_are_those_of_the_plan(name: str, value: object):
    with pytest.raises(ConfigError, match=f"trainer.{name} cannot be set"):
        config_with(**{name: value})


@pytest.mark.parametrize("name", ["packing", "padding_free", "max_length", "dataset_kwargs", "assistant_only_loss"])
def test_what_packed_shards_need_cannot_be_changed(name: str):
    with pytest.raises(ConfigError, match=f"trainer.{name} cannot be set"):
        config_with(**{name: False})


def test_a_value_of_the_wrong_type_is_refused():
    with pytest.raises(ConfigError) as caught:
        config_with(weight_decay="much", logging_steps=True, per_device_train_batch_size=0)
    message = str(caught.value)
    assert "trainer.weight_decay cannot be 'much': SFTConfig expects float" in message
    assert "trainer.logging_steps cannot be True" in message
    assert "trainer.per_device_train_batch_size must be at least 1" in message


def test_every_refused_name_is_a_field_of_sftconfig():
    from dataclasses import fields

    from trl import SFTConfig

    removed = {"warmup_ratio"}  # transformers 5 takes shares in warmup_steps
    assert {*DECIDED_BY, *FIXED} - {field.name for field in fields(SFTConfig)} <= removed
