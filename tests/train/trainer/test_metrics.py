"""metrics.jsonl, and losses that end a run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from run_metrics import metrics, steps

import sfttrain
from sftdata.errors import ModelError

Settings = Callable[..., dict[str, Any]]


def test_every_step_and_every_validation_has_a_line(finished: sfttrain.Result):
    assert [line["step"] for line in steps(finished.out)] == [1, 2, 3, 4, 5]
    assert [line["step"] for line in metrics(finished.out) if "validation_loss" in line] == [0, 2, 4, 5]
    assert set(steps(finished.out)[0]) == {
        "step",
        "epoch",
        "loss",
        "learning_rate",
        "grad_norm",
        "tokens",
        "trained_tokens",
        "tokens_per_second",
        "trained_tokens_per_second",
        "seconds_left",
    }


def test_a_loss_that_is_nan_or_infinite_ends_the_run(settings: Settings, tmp_path: Path):
    with pytest.raises(ModelError, match=r"loss is (nan|inf)"):
        sfttrain.run(settings(learning_rate=1e30, max_steps=20, warmup=0, trainer={"max_grad_norm": 0.0}))
    assert not (tmp_path / "out" / "model.safetensors").exists()


def test_a_run_shorter_than_logging_steps_has_no_training_loss(settings: Settings):
    result = sfttrain.run(settings(trainer={"logging_steps": 50}))
    assert result.summary["losses"]["train_last"] is None
    assert result.summary["losses"]["validation_last"] is not None
