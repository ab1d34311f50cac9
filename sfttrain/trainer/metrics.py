"""The metrics of a run: metrics.jsonl, and lines on the screen. Imports transformers."""

from __future__ import annotations

import json
import math
import time
from typing import Any

from transformers import TrainerCallback

from sftdata.errors import ModelError
from sftdata.files.atomic import output_errors
from sfttrain.run_folder import RunFolder, read_metrics
from sfttrain.say import on_terminal, say
from sfttrain.trainer.packed import PackedTrainer

SECONDS_BETWEEN_LINES = 10  # where stderr is not a terminal


class MetricsCallback(TrainerCallback):  # type: ignore[misc]
    """Writes metrics.jsonl and prints progress. Raises ModelError where a loss is NaN or infinite."""

    def __init__(self, trainer: PackedTrainer, folder: RunFolder) -> None:
        self._trainer = trainer
        self._folder = folder
        self._clock = time.monotonic()  # when the speed was last measured
        self._tokens_then = 0
        self._printed = -math.inf  # when a step was last printed
        self.losses: list[float] = []
        self.validation_losses: list[float] = []
        self.validations: list[dict[str, Any]] = []  # the figures of each validation, see evaluate/figures.py
        self.last_validated_step: int | None = None
        for line in read_metrics(folder.metrics) if folder.resume_from else ():
            if line["step"] == folder.first_step and "validation_loss" in line:  # killed after it, before it ended
                self.validation_losses, self.last_validated_step = [line["validation_loss"]], line["step"]
                self.validations = [line["validation"]] if "validation" in line else []

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        # Trainer takes these from the checkpoint, so that other values on resume would be ignored.
        state.compute_steps(args, state.max_steps)
        self._clock = time.monotonic()

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step == 0:
            self._clock = time.monotonic()  # leave the first validation out of the speed

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
        self._check(loss, "the loss", state.global_step)
        self.losses.append(loss)
        now, tokens = time.monotonic(), self._trainer.tokens
        speed = (tokens - self._tokens_then) / max(now - self._clock, 1e-9)
        self._clock, self._tokens_then = now, tokens
        self._write(
            {
                "step": state.global_step,
                "epoch": state.epoch,
                "loss": loss,
                "learning_rate": logs.get("learning_rate"),
                "grad_norm": logs.get("grad_norm"),
                "tokens": self._folder.tokens_before + tokens,
                "trained_tokens": self._folder.trained_tokens_before + self._trainer.trained_tokens,
                "tokens_per_second": round(speed, 1),
            }
        )
        is_last = state.global_step >= state.max_steps
        is_due = on_terminal() or now - self._printed >= SECONDS_BETWEEN_LINES
        if is_last or is_due or len(self.losses) == 1:
            self._printed = now
            rate = logs.get("learning_rate") or 0.0
            step = f"step {state.global_step:,}/{state.max_steps:,}"
            self._print(state, f"{step}  loss {loss:.4f}  lr {rate:.2e}  {speed:,.0f} tokens/s")

    def _log_validation(self, state: Any, loss: float) -> None:
        self._check(loss, "the validation loss", state.global_step)
        self.validation_losses.append(loss)
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
        self._clock = time.monotonic()

    def _check(self, loss: float, name: str, step: int) -> None:
        if not math.isfinite(loss):
            raise ModelError(f"step {step}", f"{name} is {loss}", "lower learning_rate, or set dtype=float32")

    def _write(self, metrics: dict[str, Any]) -> None:
        if self._folder.is_main:
            with output_errors(self._folder.metrics), open(self._folder.metrics, "a", encoding="utf-8") as file:
                file.write(json.dumps(metrics) + "\n")

    def _print(self, state: Any, line: str) -> None:
        if state.is_world_process_zero:
            say(line)


def record_metrics(trainer: PackedTrainer, folder: RunFolder) -> MetricsCallback:
    """Have the trainer write its metrics to the folder and print them."""
    callback = MetricsCallback(trainer, folder)
    trainer.add_callback(callback)
    return callback
