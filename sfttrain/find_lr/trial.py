"""One rate trained for some steps from the start, by the trainer of a run. Imports torch and trl."""

from __future__ import annotations

import gc
import math
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from sfttrain.check.isolation import prove_loss_before_step_0
from sfttrain.check.steps import REPORTED, STEPS, Clock
from sfttrain.config import TrainConfig
from sfttrain.data import Shards
from sfttrain.find_lr.decide import Trial, why_out
from sfttrain.run_folder import RunFolder
from sfttrain.trainer.batches import BatchPlan
from sfttrain.trainer.build import build_trainer
from sfttrain.trainer.finite import NotFiniteError, stop_where_not_finite
from sfttrain.trainer.packed import PackedTrainer


@dataclass(frozen=True, slots=True)
class Measured:
    """What was measured before a sweep: the validation loss of the start weights, and seconds."""

    loss: float
    step: float  # the faster of two steps, with all forward passes of a step
    judging: float  # one validation
    loading: float  # the model and its trainer


def measure(config: TrainConfig, shards: Shards, batches: BatchPlan) -> Measured:
    """Judge the start weights, and train two steps of one batch each; the samples are proven to be separate first.

    Nothing of it is kept. Raises ModelError where samples are not separate, or the model cannot be loaded.
    """
    began = time.perf_counter()
    with trainer_of(config, shards, replace(batches, accumulation=1), config.peak_learning_rate, STEPS) as trainer:
        loaded = time.perf_counter()
        loss = judge(trainer)
        judged = time.perf_counter()
        prove_loss_before_step_0(trainer, quiet=True)
        clock = Clock()
        trainer.add_callback(clock)
        trainer.train()
    forward = min(one.forward_backward for one in clock.steps)
    step = batches.accumulation * forward + min(one.optimizer for one in clock.steps)
    return Measured(loss, step, judged - loaded, loaded - began)


def train_rate(
    config: TrainConfig, shards: Shards, batches: BatchPlan, rate: float, steps: int, start_loss: float
) -> Trial:
    """Train from the start weights at a rate, for this number of steps of the whole schedule, and judge it.

    A rate whose loss is NaN or infinite, or above that of the start weights, is out. Raises as `run` does where
    something else goes wrong.
    """
    with trainer_of(config, shards, batches, rate, steps) as trainer:
        stop_where_not_finite(trainer, RunFolder(Path(trainer.args.output_dir)), shards)
        try:
            trainer.train()
        except NotFiniteError as error:
            done = trainer.state.global_step
            return Trial(rate, steps, done, None, f"diverged: {error.what.partition(',')[0]}", curve_of(trainer))
        loss = judge(trainer)
        kept = loss if math.isfinite(loss) else None
        return Trial(rate, steps, trainer.state.global_step, kept, why_out(loss, start_loss), curve_of(trainer))


@contextmanager
def trainer_of(
    config: TrainConfig, shards: Shards, batches: BatchPlan, rate: float, steps: int
) -> Iterator[PackedTrainer]:
    """The trainer of a run with this rate and number of steps, in a folder that is then removed.

    The warmup has the same share of the steps as in the run.
    """
    run_steps = batches.num_steps(config.epochs, config.max_steps)
    with tempfile.TemporaryDirectory(prefix="sfttrain-find-lr-") as folder:
        changes = {
            "out": folder,
            "learning_rate": rate,
            "max_steps": steps,
            "epochs": None,
            "warmup": config.warmup if config.warmup < 1 else min(0.99, config.warmup / run_steps),
            "eval_every": 0,
            "save_every": 0,
            "log_to": (),
            "resume": False,
            "trainer": {name: value for name, value in config.trainer.items() if name not in REPORTED},
        }
        trainer = build_trainer(config.model_copy(update=changes), shards, batches, resumes=True)
        trainer.check_data = shards.check_unchanged
        try:
            yield trainer
        finally:
            del trainer
            gc.collect()  # the wrapped model is in a cycle
            if torch.cuda.is_available():
                torch.cuda.empty_cache()


def judge(trainer: PackedTrainer) -> float:
    """The validation loss of the weights as they are."""
    return float(trainer.evaluate()["eval_loss"])


def curve_of(trainer: PackedTrainer) -> tuple[float, ...]:
    """The training loss of each step."""
    return tuple(float(line["loss"]) for line in trainer.state.log_history if "loss" in line)
