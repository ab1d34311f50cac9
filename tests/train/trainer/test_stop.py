"""A run that is stopped, and continued later."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from run_metrics import losses

import sfttrain
from sfttrain.trainer.packed import PackedTrainer

# PEFT uses a name of transformers that is deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")

Settings = Callable[..., dict[str, Any]]


def stop_in_batch(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Send Ctrl-C while the run works on its batch of this number, from 1."""
    seen = 0
    step = PackedTrainer.training_step

    def training_step(self: PackedTrainer, *args: Any, **kwargs: Any) -> Any:
        nonlocal seen
        seen += 1
        if seen == number:
            signal.raise_signal(signal.SIGINT)
        return step(self, *args, **kwargs)

    monkeypatch.setattr(PackedTrainer, "training_step", training_step)


# With 4 batches per step and 18 per epoch: within a step, at the end of a step, in the second epoch.
@pytest.mark.parametrize("batch", [13, 16, 23])
def test_a_stopped_and_resumed_run_equals_an_uninterrupted_one(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch: int
):
    kind = {"epochs": 2, "max_steps": None, "lora": {"r": 4, "dropout": 0.2}, "eval_every": 3}
    whole = sfttrain.run(settings(**kind, out=str(tmp_path / "whole")))
    with monkeypatch.context() as patch:
        stop_in_batch(patch, batch)
        with pytest.raises(sfttrain.Interrupted, match="resume=true"):
            sfttrain.run(settings(**kind))
    stopped = json.loads((tmp_path / "out" / "run.json").read_text())
    assert stopped["status"] == "stopped"
    resumed = sfttrain.run(settings(**kind, resume=True))
    assert resumed.summary["resumed_from_step"] == stopped["steps"] > 0
    assert losses(resumed.out) == losses(whole.out)
    assert resumed.summary["tokens"] == whole.summary["tokens"]
    assert resumed.summary["trained_tokens"] == whole.summary["trained_tokens"]
    adapters = [(result.out / "adapter_model.safetensors").read_bytes() for result in (resumed, whole)]
    assert adapters[0] == adapters[1]


def test_a_stop_before_the_first_step_leaves_no_checkpoint(settings: Settings, monkeypatch: pytest.MonkeyPatch):
    stop_in_batch(monkeypatch, 2)
    with pytest.raises(sfttrain.Interrupted, match="there is no checkpoint to continue from"):
        sfttrain.run(settings())
