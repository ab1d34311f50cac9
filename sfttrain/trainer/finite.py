"""A loss or gradient that is NaN or infinite ends the run before the weights are changed, and so does such a validation
loss before it is written down. Imports torch.
"""

from __future__ import annotations

import math
import shlex
from typing import Any

import torch
from transformers import TrainerCallback

from sftdata.errors import ModelError
from sfttrain.checkpoints import checkpoints
from sfttrain.data import TRAIN, Shards
from sfttrain.run_folder import RunFolder
from sfttrain.trainer.packed import PackedTrainer

NAMED = 5  # rows in the message; run.json has all


class NotFiniteError(ModelError):
    """A loss or gradient is NaN or infinite. `rows` are the rows of the input that it came from, by file:line."""

    def __init__(self, where: str, what: str, hint: str, rows: list[str]) -> None:
        self.rows = rows
        super().__init__(where, what, hint)

    def __reduce__(self) -> Any:
        return type(self), (self.where, self.what, self.hint, self.rows)


class FiniteCallback(TrainerCallback):  # type: ignore[misc]
    """Looks at the losses of a step, and at the norm of its gradient, before the optimizer uses them, and at the loss
    of each validation before other callbacks do.

    All processes raise together, also where one alone has seen such a loss, so that none waits for another.
    """

    def __init__(self, trainer: PackedTrainer, folder: RunFolder, shards: Shards) -> None:
        self._trainer = trainer
        self._folder = folder
        self._shards = shards

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._trainer.pass_losses.clear()

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Raise NotFiniteError, which names the rows of the forward passes with such a loss, or all of the step."""
        local = torch.stack([loss.detach().float() for loss in self._trainer.pass_losses])
        losses = self._trainer.accelerator.gather(local).tolist()  # those of each process after another
        bad = [at for at, loss in enumerate(losses) if not math.isfinite(loss)]
        norm = self._trainer.gradient_norm
        if not bad and (norm is None or math.isfinite(norm)):
            return
        passes = self._trainer.order.passes_of_step(state.global_step, self._trainer.batches)
        if bad:
            what = f"the loss is {losses[bad[0]]} in {len(bad)} of its {len(losses)} forward passes"
            passes = [passes[number] for number in _by_turns(bad, len(local), args.world_size) if number < len(passes)]
        else:
            what = f"the norm of the gradient is {norm}"
        rows = self._shards.where(TRAIN, [row for one in passes for row in one])
        raise NotFiniteError(f"step {state.global_step + 1}", f"{what}, with {_some(rows)}", self._todo(rows[0]), rows)

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **kwargs: Any) -> None:
        """Raise ModelError for a validation loss. That of a step is finite, as those of its forward passes are."""
        loss = float((logs or {}).get("eval_loss", 0.0))
        if not math.isfinite(loss):
            what = f"the validation loss is {loss}"
            raise ModelError(f"step {state.global_step}", what, "lower learning_rate, or set dtype=float32")

    def _todo(self, row: str) -> str:
        """What to do, and from where the run can be continued."""
        look = shlex.join(["sftdata", "why", self._shards.shown, row])
        todo = f"look at them (`{look}`), lower learning_rate, or set dtype=float32"
        saved = checkpoints(self._folder.path)
        return f"{todo}, and continue from {saved[-1].name} with resume=true --allow-changes" if saved else todo


def stop_where_not_finite(trainer: PackedTrainer, folder: RunFolder, shards: Shards) -> None:
    """Have the trainer stop at a loss or gradient that is NaN or infinite."""
    trainer.add_callback(FiniteCallback(trainer, folder, shards))


def _by_turns(gathered: list[int], passes: int, world_size: int) -> list[int]:
    """Losses are gathered process by process, and sequences are dealt to the processes by turns."""
    return sorted(at % passes * world_size + at // passes for at in gathered)


def _some(rows: list[str]) -> str:
    """The first rows, and how many more there are."""
    if len(rows) <= NAMED + 1:
        return ", ".join(rows)
    return f"{', '.join(rows[:NAMED])} and {len(rows) - NAMED:,} more rows (run.json has all)"
