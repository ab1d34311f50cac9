"""Stopping with a checkpoint on Ctrl-C or SIGTERM. Imports torch and transformers."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

import torch
from transformers import TrainerCallback

from sfttrain.say import say
from sfttrain.trainer.packed import PackedTrainer


class StopSignal:
    """A context manager: the first Ctrl-C or SIGTERM asks for a stop, the second one stops at once, which raises
    KeyboardInterrupt wherever the run is.

    `signum` is the first signal received, or None.
    """

    def __init__(self, *, is_main: bool) -> None:
        self.signum: int | None = None
        self._is_main = is_main
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> StopSignal:
        if threading.current_thread() is threading.main_thread():
            for signum in (signal.SIGINT, signal.SIGTERM):
                self._previous[signum] = signal.signal(signum, self._handle)
        return self

    def __exit__(self, *error: object) -> None:
        for signum, handler in self._previous.items():
            signal.signal(signum, handler)

    def _handle(self, signum: int, frame: FrameType | None) -> None:
        if self.signum is not None:
            raise KeyboardInterrupt
        self.signum = signum
        if self._is_main:
            say("\nstopping: saving a checkpoint first; press Ctrl-C again to stop without it")


class StopCallback(TrainerCallback):  # type: ignore[misc]
    """Ends training with a checkpoint when a stop is asked for.

    One process alone stops within a step: the gradients of the unfinished step are discarded and the random state is
    restored, so that the checkpoint is the one after the last complete step. Several processes agree after each step.
    """

    def __init__(self, stop: StopSignal) -> None:
        self._stop = stop
        self._random_state: list[tuple[Callable[[Any], None], Any]] = []  # before the step, with what restores it

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._random_state = [(torch.set_rng_state, torch.get_rng_state())]
        if torch.cuda.is_available():
            self._random_state.append((torch.cuda.set_rng_state, torch.cuda.get_rng_state()))

    def on_substep_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if args.world_size == 1 and self._stop.signum is not None:
            for restore, value in self._random_state:
                restore(value)
            control.should_training_stop = True
            control.should_save = state.global_step > 0

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self._is_asked(args):
            control.should_training_stop = True
            control.should_save = True

    def _is_asked(self, args: Any) -> bool:
        """Whether any process was asked to stop; the answer is the same in all of them."""
        if args.world_size == 1:
            return self._stop.signum is not None
        signum = torch.tensor(float(self._stop.signum or 0), device=args.device)
        torch.distributed.all_reduce(signum, torch.distributed.ReduceOp.MAX)
        if signum.item() and self._stop.signum is None:
            self._stop.signum = int(signum.item())
        return bool(signum.item())


def stop_on_signals(trainer: PackedTrainer) -> StopSignal:
    """Have the trainer stop with a checkpoint when a signal arrives within the returned context."""
    stop = StopSignal(is_main=trainer.is_world_process_zero())
    trainer.add_callback(StopCallback(stop))
    return stop
