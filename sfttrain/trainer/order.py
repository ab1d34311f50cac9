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
from sftdata.remote.room import SIZE_VARIABLE, more_room, room_bytes
from sfttrain.config import TrainConfig
from sfttrain.fetched_rows import FetchedRows
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


def plan_fetching(config: TrainConfig, batches: BatchPlan, train: FetchedRows, validation: FetchedRows | None) -> None:
    """Say which shards of a store a run reads, and whether they all stay here until it ends.

    Where they do not fit into the cache together, they are fetched one by one. Raises ConfigError where the cache is
    too small for that, and where the sequences are trained in another order than that of the shards, as each of them
    would fetch a shard then.
    """
    steps = batches.num_steps(config.epochs, config.max_steps)
    setting = "sort" if config.sort == "length" else "epochs" if steps > batches.steps_per_epoch else ""
    reads = [(train, len(train) if setting else steps * batches.rows_per_step)]
    if validation is not None:
        reads.append((validation, len(validation)))
    needed = {(rows.shards, number) for rows, count in reads for number in rows.shards_of_first(count)}
    splits = {shards for shards, _ in needed}
    size = sum(shards.entries[number].size_bytes for shards, number in needed)
    room = room_bytes(train.shards.folder.parent)
    for shards in splits:
        shards.last = max(number for of, number in needed if of is shards)
        shards.fit_together = size <= room
    if size <= room:
        return
    if setting:
        what = "needs all shards at once, and they do not fit into the cache of this machine together"
        raise ConfigError(setting, what, more_room(size))
    # A process may have the batches of the next step, and one more, before another one has its next; so may workers.
    workers = int(config.trainer.get("dataloader_num_workers") or 0)
    ahead = 2 * (1 + workers) * batches.rows_per_device * batches.world_size
    apart = batches.rows_per_step + ahead if batches.world_size > 1 or workers else 0
    at_once = sum(shards.bytes_at_once(apart) for shards in splits)
    if at_once > room:
        what = f"lets the cache hold {room:,} bytes, and the shards that are open at once have {at_once:,}"
        raise ConfigError(SIZE_VARIABLE, what, more_room(at_once))
    # What is fetched ahead takes no room that a validation, or another process, needs meanwhile.
    has_room_ahead = sum(shards.bytes_at_once(apart, 1) for shards in splits) <= room
    for shards in splits:
        shards.has_room_ahead = has_room_ahead
