"""What takes the model itself: samples kept apart, and the time of two measured steps. Imports torch and trl."""

from __future__ import annotations

import tempfile
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback

from sftdata.errors import ModelError, plural, pluralize
from sfttrain.check.findings import Finding, of_error
from sfttrain.check.isolation import prove_loss_before_step_0
from sfttrain.check.memory import TO_DO, gigabytes
from sfttrain.config import TrainConfig
from sfttrain.data import Shards
from sfttrain.hardware import process_bytes
from sfttrain.say import duration, say
from sfttrain.trainer.batches import BatchPlan
from sfttrain.trainer.build import build_trainer
from sfttrain.trainer.packed import PackedTrainer

STEPS = 2
REPORTED = ("push_to_hub", "eval_on_start", "load_best_model_at_end")  # what a trial run does not do


@dataclass(frozen=True, slots=True)
class StepTime:
    """The seconds of one step on one batch."""

    forward_backward: float
    optimizer: float


class Clock(TrainerCallback):  # type: ignore[misc]
    """Measures each step, what its optimizer takes apart."""

    def __init__(self) -> None:
        self.steps: list[StepTime] = []
        self._begun = self._passed = 0.0

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """The forward pass begins."""
        self._begun = _now()

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """The backward pass is over."""
        self._passed = _now()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """The weights are changed."""
        end = _now()
        self.steps.append(StepTime(self._passed - self._begun, end - self._passed))


class SayTime(Clock):
    """Says after two steps of a run how long the others will take."""

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Say it once, where steps are left."""
        if len(self.steps) == STEPS:
            return
        super().on_step_end(args, state, control, **kwargs)
        left = state.max_steps - state.global_step
        if len(self.steps) == STEPS and left > 0 and state.is_world_process_zero:
            a_step = min(step.forward_backward + step.optimizer for step in self.steps)
            say(f"time   about {duration(left * a_step)} for the {pluralize(left, 'step')} left, without validation")


def say_time_after_two_steps(trainer: PackedTrainer) -> None:
    """Have `trainer.train()` say how long it will take."""
    trainer.add_callback(SayTime())


def check_steps(config: TrainConfig, shards: Shards, batches: BatchPlan, memory: Finding) -> list[Finding]:
    """Train two steps of one batch each in a folder that is then removed, as the run would. Nothing of it is kept.

    Raises ModelError and ConfigError where the model cannot be loaded or a setting is refused.
    """
    trainer_settings = {name: value for name, value in config.trainer.items() if name not in REPORTED}
    with tempfile.TemporaryDirectory(prefix="sfttrain-check-") as folder:
        changes = {"out": folder, "max_steps": STEPS, "epochs": None, "eval_every": 0, "save_every": 0, "log_to": ()}
        trial = config.model_copy(update={**changes, "resume": False, "trainer": trainer_settings})
        plan = replace(batches, accumulation=1)
        trainer = build_trainer(trial, shards, plan, resumes=True)  # validates nothing before the first step
        proof, clock = prove_loss_before_step_0(trainer, quiet=True), Clock()
        trainer.add_callback(clock)
        before = reset_peak()
        try:
            trainer.train()
        except ModelError as error:
            return [of_error("isolation", error), memory]
        memory = with_peak(memory, trainer, before)
        shown = proof.proof
        found = [Finding("isolation", "pass", shown.in_words, figures=asdict(shown))] if shown is not None else []
        return [*found, memory, time_finding(config, batches, clock.steps)]


def time_finding(config: TrainConfig, batches: BatchPlan, steps: list[StepTime]) -> Finding:
    """How long the run will take, from the faster of the measured steps: the first one also warms up."""
    forward = min(step.forward_backward for step in steps)
    optimizer = min(step.optimizer for step in steps)
    num_steps = batches.num_steps(config.epochs, config.max_steps)
    seconds = num_steps * (batches.accumulation * forward + optimizer)
    measured = " and ".join(duration(step.forward_backward + step.optimizer) for step in steps)
    per_pass = batches.rows_per_device
    what = (
        f"about {duration(seconds)} for {pluralize(num_steps, 'step')} of {batches.rows_per_step:,} "
        f"{plural('sequence', batches.rows_per_step)}, without validation (two steps of {per_pass} took {measured})"
    )
    figures = {"seconds": seconds, "steps": num_steps, "measured": [asdict(step) for step in steps]}
    return Finding("time", "pass", what, figures=figures)


def reset_peak() -> int | None:
    """Begin to measure the peak of memory; what this process has on a CPU. None where it cannot be measured."""
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
        return 0
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return None
    return process_bytes("VmRSS")


def with_peak(memory: Finding, trainer: Any, before: int | None) -> Finding:
    """The estimate beside what the steps took: on a CPU, what the process grew by, and the weights that it had."""
    if torch.cuda.is_available():
        peak: int | None = int(torch.cuda.max_memory_allocated())
    else:
        highest = process_bytes("VmHWM")
        weights = sum(one.numel() * one.element_size() for one in trainer.model.parameters())
        peak = None if before is None or highest is None else highest - before + weights
    if peak is None or "total" not in memory.figures:
        return memory
    free = memory.figures["free"]
    what = f"{memory.what}; two steps took {gigabytes(peak)} GB"
    figures = {**memory.figures, "peak": peak}
    if peak > free and memory.status == "pass":
        return replace(memory, status="warn", what=what, todo=TO_DO, figures=figures)
    return replace(memory, what=what, figures=figures)


def _now() -> float:
    """The time when everything that was asked of the device is done."""
    if torch.accelerator.is_available():
        torch.accelerator.synchronize()
    return time.perf_counter()
