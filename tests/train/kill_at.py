"""Runs sfttrain, kills the process with SIGKILL at a point, and writes down which sequences each step trained.

    python kill_at.py POINT TRAINED run CONFIG.yaml [KEY=VALUE]...

A line of TRAINED: the step, the rank, the process, and a digest of the tokens in each sequence.
POINT is `never`, or as below.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

import sfttrain.checkpoints
import sfttrain.run_folder
from sfttrain.cli.app import main
from sfttrain.evaluate.answers import AnswersCallback
from sfttrain.trainer.packed import PackedTrainer


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def dies_before(owner: Any, name: str, call: int = 1, when: Callable[..., bool] = lambda *args: True) -> None:
    """Have the process killed where a function is called for the n-th time with arguments for which `when` holds."""
    function, calls = getattr(owner, name), []

    def killing(*args: Any, **kwargs: Any) -> Any:
        if when(*args):
            calls.append(1)
            if len(calls) == call:
                die()
        return function(*args, **kwargs)

    setattr(owner, name, killing)


def saves(name: str) -> Callable[..., bool]:
    """Whether torch.save is called for a file of this name."""
    return lambda content, path, *args: str(path).endswith(name)


def half_an_optimizer() -> None:
    """The process is killed when half of the third optimizer.pt is on the disk."""
    save, calls = torch.save, []

    def half(content: Any, path: Any, *args: Any, **kwargs: Any) -> None:
        save(content, path, *args, **kwargs)
        if str(path).endswith("optimizer.pt"):
            calls.append(1)
            if len(calls) == 3:
                os.truncate(path, Path(path).stat().st_size // 2)
                die()

    torch.save = half


def half_the_answers() -> None:
    """The process is killed while it writes the second of several answers after the last step."""

    def half(self: AnswersCallback, path: Path, key: str, lines: list[dict[str, Any]]) -> None:
        if self._trainer.state.global_step >= self._trainer.state.max_steps:
            with path.open("a") as file:
                file.write(json.dumps(lines[0]) + "\n" + json.dumps(lines[1])[:20])
            die()

    AnswersCallback._append = half


POINTS: dict[str, Callable[[], None]] = {
    "never": lambda: None,
    "pass 6": lambda: dies_before(PackedTrainer, "training_step", 6),
    "pass 3": lambda: dies_before(PackedTrainer, "training_step", 3),
    "in step 3": lambda: dies_before(
        PackedTrainer, "training_step", when=lambda self, *args: self.state.global_step == 2
    ),
    "half the answers": half_the_answers,
    "in the second epoch": lambda: dies_before(
        PackedTrainer, "training_step", when=lambda self, *args: self.state.global_step == 7
    ),
    "half an optimizer": half_an_optimizer,
    "no scheduler": lambda: dies_before(torch, "save", 2, saves("scheduler.pt")),
    "no record": lambda: dies_before(
        sfttrain.checkpoints, "_write_record", 2, lambda folder, record: record["status"] == "complete"
    ),
    "removing": lambda: dies_before(sfttrain.checkpoints, "remove_inside", 1),
    "placing the model": lambda: dies_before(sfttrain.run_folder, "move_into", 2),
}


def record_steps(file: Path) -> None:
    """Write down the sequences of each forward pass, when its loss is computed in training."""
    compute = PackedTrainer.compute_loss

    def recorded(self: Any, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        if model.training:
            digests = [hashlib.sha256(str(row.tolist()).encode()).hexdigest()[:12] for row in inputs["input_ids"]]
            line = [self.state.global_step, self.args.process_index, os.getpid(), *digests]
            with file.open("a") as lines:
                lines.write(json.dumps(line) + "\n")
        return compute(self, model, inputs, *args, **kwargs)

    PackedTrainer.compute_loss = recorded


if __name__ == "__main__":
    point, trained = sys.argv[1:3]
    if os.environ.get("RANK", "0") == os.environ.get("KILLED_RANK", "0"):
        POINTS[point]()
    record_steps(Path(trained))
    sys.argv[1:3] = []
    main()
