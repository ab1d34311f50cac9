"""Packing: sample lengths -> which sample goes into which row, and where in the row."""

from __future__ import annotations

from bisect import bisect_left, insort
from dataclasses import dataclass
from heapq import heappop, heappush
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Ints32 = NDArray[np.int32]
Strategy = Literal["best_fit", "none"]
GROUPED_FROM = 80  # average number of samples per length from which placing them in groups is faster


@dataclass(frozen=True, slots=True)
class Packing:
    """Where each sample goes: `row`, and `index` within the row (from 0), in the order of the lengths."""

    row: Ints32
    index: Ints32
    num_rows: int

    def order(self) -> Ints:
        """The positions of the samples, row by row."""
        place = self.row_starts()[self.row] + self.index
        order = np.empty(len(self.row), np.int64)
        order[place] = np.arange(len(self.row))
        return order

    def row_starts(self) -> Ints:
        """The number of samples before each row; one more entry than rows."""
        sizes = np.bincount(self.row, minlength=self.num_rows)
        return np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes, dtype=np.int64)])


def pack(lengths: NDArray[np.integer], seq_len: int, strategy: Strategy) -> Packing:
    """Pack with the strategy that the config names. Raises ValueError if a length is not in 1..seq_len."""
    return one_per_row(lengths, seq_len) if strategy == "none" else best_fit_decreasing(lengths, seq_len)


def one_per_row(lengths: NDArray[np.integer], seq_len: int) -> Packing:
    """Each sample in its own row, in the given order. Raises ValueError if a length is not in 1..seq_len."""
    _check(lengths, seq_len)
    count = len(lengths)
    return Packing(np.arange(count, dtype=np.int32), np.zeros(count, np.int32), count)


def best_fit_decreasing(lengths: NDArray[np.integer], seq_len: int) -> Packing:
    """Exact best-fit decreasing over all lengths: never cuts a sample, never fills a row above seq_len tokens.

    The rule for one sample at a time: take samples from longest to shortest, equal lengths in the given order. Put each
    into the fullest row that has room for it; among equally full rows, into the one opened first. Open a new row if
    none has room. When there are many samples per length, all samples of a length and all rows with the same room are
    handled as a group, which gives the same rows: the fullest row with room for a length stays the fullest until that
    length no longer fits.

        room 7, length 3:   [.......] -> [aaabbb.]    two samples; then the row joins the rows with room 1

    Takes about a second for ten million lengths. Raises ValueError if a length is not in 1..seq_len.
    """
    _check(lengths, seq_len)
    # Narrow keys sort faster: numpy uses a radix sort for 16-bit keys.
    shortness = (seq_len - lengths).astype(np.uint16 if seq_len <= 0xFFFF else np.int64)
    order = np.argsort(shortness, kind="stable")
    values, counts = np.unique(shortness, return_counts=True)
    place = _place_in_groups if len(lengths) >= GROUPED_FROM * len(values) else _place_one_by_one
    placed_row, placed_index, num_rows = place((seq_len - values.astype(np.int64)).tolist(), counts.tolist(), seq_len)
    row = np.empty(len(lengths), np.int32)
    index = np.empty(len(lengths), np.int32)
    row[order] = placed_row
    index[order] = placed_index
    return Packing(row, index, num_rows)


def _place_one_by_one(lengths: list[int], counts: list[int], seq_len: int) -> tuple[Ints32, Ints32, int]:
    """Apply the rule sample by sample: `counts[i]` samples of `lengths[i]`. Row and index of each, number of rows."""
    rooms: list[int] = []  # the distinct amounts of room that open rows have, ascending
    rows_by_room: dict[int, list[int]] = {}  # room -> its rows, a heap
    num_samples: list[int] = []  # in each row
    rows: list[int] = []
    indexes: list[int] = []
    for length, count in zip(lengths, counts, strict=True):
        for _ in range(count):
            at = bisect_left(rooms, length)
            if at == len(rooms):
                room, row = seq_len, len(num_samples)
                num_samples.append(0)
            else:
                room = rooms[at]
                heap = rows_by_room[room]
                row = heappop(heap)
                if not heap:
                    del rooms[at], rows_by_room[room]
            rows.append(row)
            indexes.append(num_samples[row])
            num_samples[row] += 1
            if left := room - length:
                if left not in rows_by_room:
                    insort(rooms, left)
                    rows_by_room[left] = []
                heappush(rows_by_room[left], row)
    return np.array(rows, np.int32), np.array(indexes, np.int32), len(num_samples)


def _place_in_groups(lengths: list[int], counts: list[int], seq_len: int) -> tuple[Ints32, Ints32, int]:
    """The same as `_place_one_by_one`, for all samples of one length at a time."""
    total = sum(counts)
    row = np.empty(total, np.int32)
    index = np.empty(total, np.int32)
    rows = _OpenRows(seq_len, total)
    start = 0
    for length, count in zip(lengths, counts, strict=True):
        row[start : start + count], index[start : start + count] = rows.place(length, count)
        start += count
    return row, index, rows.num_rows


class _OpenRows:
    """The rows opened so far, grouped by the room that they have left."""

    def __init__(self, seq_len: int, max_rows: int) -> None:
        self.seq_len = seq_len
        self.num_rows = 0
        self._num_samples = np.zeros(max_rows, np.int32)  # in each row
        self._rooms: list[int] = []  # the distinct amounts of room that open rows have, ascending
        self._rows_by_room: dict[int, list[Ints]] = {}  # room -> arrays of its rows, each ascending

    def place(self, length: int, count: int) -> tuple[Ints, Ints]:
        """Row and index for `count` samples of one length. No earlier call had a shorter length."""
        rows: list[Ints] = []
        indexes: list[Ints] = []
        while count > 0:
            at = bisect_left(self._rooms, length)
            if at == len(self._rooms):
                room, candidates = self.seq_len, self._open(-(-count // (self.seq_len // length)))
            else:
                room = self._rooms.pop(at)
                candidates = _ascending(self._rows_by_room.pop(room))
            per_row = room // length
            num_full = min(count // per_row, len(candidates))  # rows that take `per_row` samples
            in_last = min(count - num_full * per_row, per_row) if num_full < len(candidates) else 0
            num_used = num_full + (1 if in_last else 0)
            added = np.full(num_used, per_row, np.int64)  # samples added to each used row
            if in_last:
                added[-1] = in_last
            used = candidates[:num_used]
            rows.append(np.repeat(used, added))
            before = np.cumsum(added) - added
            indexes.append(np.arange(int(added.sum())) + np.repeat(self._num_samples[used] - before, added))
            self._num_samples[used] += added.astype(np.int32)
            self._put_back(room - per_row * length, used[:num_full])
            self._put_back(room - in_last * length, used[num_full:])
            self._put_back(room, candidates[num_used:])
            count -= int(added.sum())
        return np.concatenate(rows), np.concatenate(indexes)

    def _open(self, count: int) -> Ints:
        """Open `count` empty rows."""
        opened = np.arange(self.num_rows, self.num_rows + count)
        self.num_rows += count
        return opened

    def _put_back(self, room: int, rows: Ints) -> None:
        """Add rows to those with this much room. Full rows are done."""
        if room == 0 or len(rows) == 0:
            return
        if room not in self._rows_by_room:
            insort(self._rooms, room)
        self._rows_by_room.setdefault(room, []).append(rows)


def _ascending(arrays: list[Ints]) -> Ints:
    """The arrays as one sorted array."""
    if len(arrays) == 1:
        return arrays[0]
    return np.sort(np.concatenate(arrays), kind="stable")


def _check(lengths: NDArray[np.integer], seq_len: int) -> None:
    """Raise ValueError for lengths that fit no row. The caller has dropped such samples."""
    shortest, longest = (int(lengths.min()), int(lengths.max())) if len(lengths) else (1, 1)
    if shortest < 1 or longest > seq_len:
        raise ValueError(f"lengths must be 1 to {seq_len}, got {shortest} to {longest}")
    if len(lengths) > np.iinfo(np.int32).max:
        raise ValueError(f"{len(lengths)} samples are too many for one shard")
