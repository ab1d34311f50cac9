"""The order in which the sequences are trained, the same on every machine, and which of them a step takes.

Several processes must take the same number of batches. Where the sequences do not divide evenly, blanks, without any
trained token, fill the last batches: no sequence is dropped or trained twice.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sftdata.errors import ConfigError
from sftdata.remote.mirror import SIZE_VARIABLE, fits
from sfttrain.config import TrainConfig
from sfttrain.data import Shards
from sfttrain.trainer.batches import BatchPlan

Ints = NDArray[np.int64]
NUMBER = "sequence"  # the name under which a row says which sequence it is
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def epoch_order(rows: int, epoch: int, seed: int, lengths: Sequence[int] | None = None) -> Ints:
    """The sequences of an epoch, by their numbers in the shards.

    The first epoch takes them as they are in the shards, which `sftdata prepare` shuffled by its own seed; each later
    one in another order, drawn by `seed`. With `lengths`, the shortest come first, equal ones in that order.
    """
    order = np.arange(rows, dtype=np.int64)
    if epoch:
        start = _mixed(_mixed(np.array([seed & (1 << 64) - 1], np.uint64)) + np.uint64(epoch))
        order = np.argsort(_mixed(start + order.astype(np.uint64)), kind="stable").astype(np.int64)
    if lengths is not None:
        order = order[np.argsort(np.asarray(lengths)[order], kind="stable")]
    return order


def _mixed(numbers: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Each number after one step of splitmix64, which is one to one: no two sequences share a key."""
    z = numbers + _GOLDEN
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@dataclass(slots=True)
class EpochOrder:
    """A sampler for torch's DataLoader: the numbers of the sequences of one epoch, then those of blanks.

    It has no `set_epoch`: accelerate does not reach it everywhere (with several processes after a resume), so the
    trainer sets `epoch` itself.
    """

    rows: int
    rows_per_round: int = 1  # that all processes take together in one forward pass; blanks fill the last round
    seed: int | None = None  # None: always the order of the shards
    lengths: Sequence[int] | None = None
    epoch: int = 0

    def __len__(self) -> int:
        return -(-self.rows // self.rows_per_round) * self.rows_per_round

    def __iter__(self) -> Iterator[int]:
        yield from self.of_epoch().tolist()
        yield from range(self.rows, len(self))

    def of_epoch(self) -> Ints:
        """The sequences of this epoch."""
        return epoch_order(self.rows, 0 if self.seed is None else self.epoch, self.seed or 0, self.lengths)

    def passes_of_step(self, step: int, batches: BatchPlan) -> list[list[int]]:
        """The sequences in each forward pass of a step of this epoch, without blanks; steps count from 0 over all
        epochs. Processes take passes by turns: of two, the first one takes passes 0, 2, 4, ...
        """
        first = step % batches.steps_per_epoch * batches.rows_per_step
        numbers = self.of_epoch()[first : first + batches.rows_per_step].tolist()
        size = batches.rows_per_device
        return [numbers[at : at + size] for at in range(0, len(numbers), size)]


class WithBlanks:
    """A dataset for torch's DataLoader: the sequences, with their numbers if asked, then as many blanks as are asked
    for.
    """

    def __init__(self, rows: Any, size: int, blank_id: int, *, is_numbered: bool = False) -> None:
        self._rows = rows
        self._size = size
        self._is_numbered = is_numbered
        self._blank = {"input_ids": [blank_id], "labels": [-100], "seq_lengths": [1]}

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, number: int) -> dict[str, Any]:
        return self.__getitems__([number])[0]

    def __getitems__(self, numbers: list[int]) -> list[dict[str, Any]]:
        """What torch's DataLoader calls for the sequences of a batch. Only they are read."""
        real = [number for number in numbers if number < len(self._rows)]
        found = self._rows.__getitems__(real) if real else []
        if self._is_numbered:
            found = [{**row, NUMBER: number} for row, number in zip(found, real, strict=True)]
        return [*found, *(dict(self._blank) for _ in range(len(numbers) - len(real)))]


def refuse_other_orders(config: TrainConfig, shards: Shards, batches: BatchPlan) -> None:
    """Raise ConfigError where shards that are fetched one by one would be trained in another order than theirs: each
    sequence would fetch a shard.
    """
    if fits(shards.path, [shard.path for shard in shards.manifest.shards]):
        return
    setting = "sort" if config.sort == "length" else "epochs"
    if setting == "sort" or batches.num_steps(config.epochs, config.max_steps) > batches.steps_per_epoch:
        size = sum(shard.size_bytes for shard in shards.manifest.shards)
        what = "needs all shards at once, and they do not fit into the cache of this machine together"
        raise ConfigError(setting, what, f"let it hold more, with {SIZE_VARIABLE}={size // 10**9 + 1}")
