"""How many packed rows an optimizer step takes, and how they are spread over processes and forward passes."""

from __future__ import annotations

import math
from dataclasses import dataclass

from sftdata.store.manifest import SplitStats
from sfttrain.config import TrainConfig


@dataclass(frozen=True, slots=True)
class BatchPlan:
    """The rows of an optimizer step, and how they are spread."""

    rows_per_device: int  # in one forward pass of a process
    accumulation: int  # forward passes of a process in one step
    world_size: int
    mean_row_tokens: float
    num_rows: int  # of the split
    seq_len: int

    @property
    def rows_per_step(self) -> int:
        """Rows in a step, over all processes."""
        return self.rows_per_device * self.accumulation * self.world_size

    @property
    def tokens_per_step(self) -> int:
        """Tokens in a step, over all processes, approximately."""
        return round(min(self.rows_per_step, self.num_rows) * self.mean_row_tokens)

    @property
    def steps_per_epoch(self) -> int:
        """Steps that see every row once."""
        batches = math.ceil(self.num_rows / (self.rows_per_device * self.world_size))
        return math.ceil(batches / self.accumulation)

    def num_steps(self, epochs: float | None, max_steps: int | None) -> int:
        """Steps of a whole run: `max_steps`, or as many as `epochs` (default 1) take."""
        return max_steps or math.ceil((epochs or 1) * self.steps_per_epoch)


def plan_batches(config: TrainConfig, split: SplitStats, seq_len: int, world_size: int) -> BatchPlan:
    """The plan whose steps come closest to `batch_tokens`, with at least one row per process and at most all rows.

    One forward pass takes as many rows as fill one full row: a single packed row, or many short unpacked ones, because
    attention without a special kernel costs the square of the tokens in a pass.
    `trainer.per_device_train_batch_size` overrides that.
    """
    mean_row_tokens = split.tokens / split.rows
    wanted = max(1, round(config.batch_tokens / (mean_row_tokens * world_size)))  # rows per process
    available = math.ceil(split.rows / world_size)
    rows_per_device = config.trainer.get("per_device_train_batch_size")
    if rows_per_device is None:
        rows_per_device = max(1, min(int(seq_len // mean_row_tokens), wanted, available))
    accumulation = max(1, round(min(wanted, available) / rows_per_device))
    return BatchPlan(rows_per_device, accumulation, world_size, mean_row_tokens, split.rows, seq_len)
