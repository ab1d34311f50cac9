"""The metrics of a run: metrics.jsonl, and lines on the screen. Imports transformers."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

from transformers import TrainerCallback

from sftdata.files.atomic import output_errors
from sfttrain.run_folder import RunFolder, read_metrics
from sfttrain.say import say
from sfttrain.trainer.packed import PackedTrainer
from sfttrain.watch.pace import Pace
from sfttrain.watch.view import Step, make_view


class MetricsCallback(TrainerCallback):  # type: ignore[misc]
    """Writes metrics.jsonl, from when the run begins, and prints progress."""

    def __init__(self, trainer: PackedTrainer, folder: RunFolder, summary: Mapping[str, Any]) -> None:
        self._trainer = trainer
        self._folder = folder
        self._summary = summary
        self._pace = Pace()
        self.losses: list[float] = []
        self.validation_losses: list[float] = []
        self.validations: list[dict[str, Any]] = []  # the figures of each validation, see evaluate/figures.py
        self.last_validated_step: int | None = None
        earlier = read_metrics(folder.metrics) if folder.resume_from else []
        losses = [line["loss"] for line in earlier if isinstance(line.get("loss"), float)]
        self.view = make_view(losses, is_main=folder.is_main)
        for line in earlier:
            if line["step"] == folder.first_step and "validation_loss" in line:  # killed after it, before it ended
                self.validation_losses, self.last_validated_step = [line["validation_loss"]], line["step"]
                self.validations = [line["validation"]] if "validation" in line else []

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._folder.begin(self._summary)
        # Trainer takes these from the checkpoint, so that other values on resume would be ignored.
        state.compute_steps(args, state.max_steps)
        self._pace.begin(time.monotonic(), state.global_step)

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step == 0:
            self._pace.restart(time.monotonic())  # leave the first validation out of the speed

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        # A validation after the end of training would be too late for trackers: theirs ends with it.
        if state.global_step >= state.max_steps and self._trainer.eval_dataset is not None:
            control.should_evaluate = True

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **kwargs: Any) -> None:
        logs = logs or {}
        if "loss" in logs:
            self._log_step(state, logs)
        elif "eval_loss" in logs:
            self._log_validation(state, float(logs["eval_loss"]))

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._print(state, f"step {state.global_step:,}: saved {self._folder.checkpoint(state.global_step)}")

    def _log_step(self, state: Any, logs: dict[str, Any]) -> None:
        loss = float(logs["loss"])
        self.losses.append(loss)
        tokens, trained, rate = self._trainer.tokens, self._trainer.trained_tokens, logs.get("learning_rate")
        step, max_steps = state.global_step, state.max_steps
        speed = self._pace.measure(time.monotonic(), step=step, max_steps=max_steps, tokens=tokens, trained=trained)
        self._write(
            {
                "step": state.global_step,
                "epoch": state.epoch,
                "loss": loss,
                "learning_rate": rate,
                "grad_norm": logs.get("grad_norm"),
                "tokens": self._folder.tokens_before + tokens,
                "trained_tokens": self._folder.trained_tokens_before + trained,
                "tokens_per_second": round(speed.tokens_per_second, 1),
                "trained_tokens_per_second": round(speed.trained_tokens_per_second, 1),
                "seconds_left": round(speed.seconds_left, 1),
            }
        )
        self.view.step(Step(step, max_steps, loss, rate or 0.0, speed))

    def _log_validation(self, state: Any, loss: float) -> None:
        self.validation_losses.append(loss)
        self.view.validated(loss)
        self.last_validated_step = state.global_step
        figures = self._trainer.figures
        line = {"step": state.global_step, "epoch": state.epoch or 0, "validation_loss": loss}
        self._write({**line, "validation": figures} if figures else line)
        shown = ""
        if figures:
            self.validations.append(figures)
            shown = f"  accuracy {figures['accuracy']:.1%}"
        if figures.get("bits_per_byte") is not None:
            shown += f"  {figures['bits_per_byte']:.3f} bits per byte"
        self._print(state, f"step {state.global_step:,}: validation loss {loss:.4f}{shown}")
        self._pace.restart(time.monotonic())

    def _write(self, metrics: dict[str, Any]) -> None:
        if self._folder.is_main:
            with output_errors(self._folder.metrics), open(self._folder.metrics, "a", encoding="utf-8") as file:
                file.write(json.dumps(metrics) + "\n")

    def _print(self, state: Any, line: str) -> None:
        if state.is_world_process_zero:
            say(line)


def record_metrics(trainer: PackedTrainer, folder: RunFolder, summary: Mapping[str, Any]) -> MetricsCallback:
    """Have the trainer write its metrics to the folder and print them. `summary` is what run.json says while it trains:
    the folder is that of this run from here on, after what was checked before training.
    """
    callback = MetricsCallback(trainer, folder, summary)
    trainer.add_callback(callback)
    return callback
