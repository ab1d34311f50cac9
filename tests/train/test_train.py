"""Whole runs: what they leave behind, and how they fail."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from run_metrics import losses

import sfttrain
from sftdata.errors import ConfigError, DatasetError, OutputError
from sfttrain.trainer.packed import PackedTrainer

Settings = Callable[..., dict[str, Any]]


def test_the_model_has_learned(finished: sfttrain.Result):
    recorded = finished.summary["losses"]
    assert recorded["train_last"] < recorded["train_first"]


def test_only_the_model_run_json_metrics_and_the_report_are_left(finished: sfttrain.Result):
    assert sorted(path.name for path in finished.out.iterdir()) == [
        "chat_template.jinja",
        "config.json",
        "generation_config.json",
        "metrics.jsonl",
        "model.safetensors",
        "report.html",
        "run.json",
        "tokenizer.json",
        "tokenizer_config.json",
    ]


def test_the_same_settings_give_the_same_losses(settings: Settings, tmp_path: Path):
    first = sfttrain.run(settings(max_steps=3))
    second = sfttrain.run(settings(max_steps=3, out=str(tmp_path / "again")))
    assert losses(first.out) == losses(second.out)


def test_data_model_batches_and_schedule_are_printed_before_the_check_and_the_first_step(
    settings: Settings, capsys: pytest.CaptureFixture[str]
):
    sfttrain.run(settings())
    printed = {line.split()[0]: line for line in capsys.readouterr().err.splitlines() if line.strip()}
    order = [name for name in printed if name in ("data", "model", "batch", "train", "check", "step")]
    assert order == ["data", "model", "batch", "train", "check", "step"]
    assert "full training" in printed["model"] and "same tokenizer as the dataset" in printed["model"]
    assert "4 rows per step (1 per process x 4 accumulated x 1 process)" in printed["batch"]
    assert printed["train"] == "train  2 steps, learning rate 0.01, cosine, warmup 0.03"


def test_a_warmup_that_is_longer_than_the_run_is_said(settings: Settings, capsys: pytest.CaptureFixture[str]):
    sfttrain.run(settings(warmup=50))
    said = "note   the warmup of 50 steps is longer than the run of 2: the learning rate does not reach 0.01"
    assert said in capsys.readouterr().err.splitlines()


def test_eval_every_needs_a_validation_split(
    settings: Settings, make_shards: Callable[..., Path], samples_of: Callable[..., Any], tmp_path: Path
):
    data = make_shards(tmp_path / "all", [samples_of(6)])
    with pytest.raises(ConfigError, match="no validation split"):
        sfttrain.run(settings(shards=str(data), eval_every=1))


def test_a_full_disk_is_reported_as_such(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    import errno

    def no_space(self: PackedTrainer, *args: Any, **kwargs: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(PackedTrainer, "save_model", no_space)
    with pytest.raises(OutputError, match="the disk is full"):
        sfttrain.run(settings())
    assert not (tmp_path / "out" / "model.safetensors").exists()
    assert json.loads((tmp_path / "out" / "run.json").read_text())["status"] == "failed"


def test_the_environment_is_left_alone_except_for_telemetry(settings: Settings, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("HF_HUB_DISABLE_TELEMETRY")
    before = dict(os.environ)
    with pytest.raises(DatasetError):
        sfttrain.run(settings(shards="nowhere"))
    assert os.environ.items() - before.items() == {("HF_HUB_DISABLE_TELEMETRY", "1")}
