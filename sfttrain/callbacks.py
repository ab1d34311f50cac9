"""What happens beside the steps: metrics on disk, lines on the screen, Ctrl-C. Imports torch and transformers."""

from __future__ import annotations

import json
import math
import signal
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Any, TextIO

import torch
from transformers import TrainerCallback

from sftdata.errors import ModelError
from sftdata.files.atomic import output_faults
from sfttrain.runs import Run
from sfttrain.trainer import PackedTrainer

LINE_SECONDS = 10  # between two lines where the output is no terminal


class Stop:
    """Ctrl-C (or SIGTERM) as a wish to stop after the step; a second one stops at once. A context manager.

    `signum` is the first signal that came, or None.
    """

    def __init__(self, screen: TextIO | None) -> None:
        self.signum: int | None = None
        self._screen = screen
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Stop:
        if threading.current_thread() is threading.main_thread():
            for signum in (signal.SIGINT, signal.SIGTERM):
                self._before[signum] = signal.signal(signum, self._heard)
        return self

    def __exit__(self, *error: object) -> None:
        for signum, handler in self._before.items():
            signal.signal(signum, handler)

    def _heard(self, signum: int, frame: FrameType | None) -> None:
        if self.signum is not None:
            raise KeyboardInterrupt
        self.signum = signum
        if self._screen is not None:
            print(
                "\nstopping: a checkpoint comes first; press Ctrl-C again to stop without it",
                file=self._screen,
                flush=True,
            )


class StopCallback(TrainerCallback):  # type: ignore[misc]
    """Ends training with a checkpoint when a stop is wished for.

    One process stops within a step: what the unfinished step accumulated is thrown away and the random state is set
    back, so that the checkpoint is the one after the last whole step. Several processes agree after each step.
    """

    def __init__(self, stop: Stop) -> None:
        self._stop = stop
        self._random: list[tuple[Callable[[Any], None], Any]] = []

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._random = [(torch.set_rng_state, torch.get_rng_state())]
        if torch.cuda.is_available():
            self._random.append((torch.cuda.set_rng_state, torch.cuda.get_rng_state()))

    def on_substep_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if args.world_size == 1 and self._stop.signum is not None:
            for restore, value in self._random:
                restore(value)
            control.should_training_stop = True
            control.should_save = state.global_step > 0

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self._wished(args):
            control.should_training_stop = True
            control.should_save = True

    def _wished(self, args: Any) -> bool:
        """Whether any process was asked to stop; all of them get the same answer."""
        if args.world_size == 1:
            return self._stop.signum is not None
        wish = torch.tensor(float(self._stop.signum or 0), device=args.device)
        torch.distributed.all_reduce(wish, torch.distributed.ReduceOp.MAX)
        if wish.item() and self._stop.signum is None:
            self._stop.signum = int(wish.item())
        return bool(wish.item())


class MetricsCallback(TrainerCallback):  # type: ignore[misc]
    """Writes metrics.jsonl and tells how it goes. Raises ModelError where the loss is no number any more."""

    def __init__(self, trainer: PackedTrainer, run: Run, screen: TextIO) -> None:
        self._trainer = trainer
        self._run = run
        self._screen = screen
        self._clock = time.monotonic()
        self._said = -math.inf
        self._tokens_then = 0
        self.losses: list[float] = []
        self.validation_losses: list[float] = []
        self.validated_at: int | None = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._clock = time.monotonic()

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step == 0:
            self._clock = time.monotonic()  # the first validation is no part of the speed

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **kwargs: Any) -> None:
        logs = logs or {}
        if "loss" in logs:
            self._log_step(state, logs)
        elif "eval_loss" in logs:
            loss = float(logs["eval_loss"])
            self._check(loss, "the validation loss", state.global_step)
            self.validation_losses.append(loss)
            self.validated_at = state.global_step
            self._write({"step": state.global_step, "epoch": state.epoch or 0, "validation_loss": loss})
            self._say(state, f"step {state.global_step:,}: validation loss {loss:.4f}")
            self._clock = time.monotonic()

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._say(state, f"step {state.global_step:,}: saved {self._run.checkpoint(state.global_step)}")

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
                "tokens": self._run.tokens_before + tokens,
                "trained_tokens": self._run.trained_tokens_before + self._trainer.trained_tokens,
                "tokens_per_second": round(speed, 1),
            }
        )
        last = state.global_step >= state.max_steps
        if last or len(self.losses) == 1 or self._screen.isatty() or now - self._said >= LINE_SECONDS:
            self._said = now
            rate = logs.get("learning_rate") or 0.0
            what = f"step {state.global_step:,}/{state.max_steps:,}  loss {loss:.4f}  lr {rate:.2e}"
            self._say(state, f"{what}  {speed:,.0f} tokens/s")

    def _check(self, loss: float, what: str, step: int) -> None:
        if not math.isfinite(loss):
            raise ModelError(f"step {step}", f"{what} is {loss}", "lower learning_rate, or train in dtype float32")

    def _write(self, metrics: dict[str, Any]) -> None:
        if self._trainer.is_world_process_zero():
            with output_faults(self._run.metrics), open(self._run.metrics, "a", encoding="utf-8") as file:
                file.write(json.dumps(metrics) + "\n")

    def _say(self, state: Any, line: str) -> None:
        if state.is_world_process_zero:
            print(line, file=self._screen, flush=True)
