"""The true similarity of two texts: the Jaccard similarity of their shingle sets."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from sftdata.curate.duplicates.buckets import sorted_unique
from sftdata.curate.duplicates.grouping import Ints
from sftdata.curate.words import Hashes

# Rows -> their shingles, concatenated, with repeats, and the offsets of the rows in them.
FetchShingles = Callable[[Ints], tuple[Hashes, Ints]]

ROWS_AT_ONCE = 256
KEPT_HASHES = 1 << 23  # 64 MB


class MappedLists:
    """FetchShingles from a memory-mapped column of lists, without copying it: row i is at position at[i]."""

    def __init__(self, column: pa.ChunkedArray, at: Ints) -> None:
        starts = np.cumsum([0, *(len(chunk) for chunk in column.chunks)])
        self._chunk = np.searchsorted(starts, at, side="right") - 1
        self._place = at - starts[self._chunk]
        self._offsets = [chunk.offsets.to_numpy() for chunk in column.chunks]
        self._values = [chunk.values.to_numpy() for chunk in column.chunks]

    def __call__(self, wanted: Ints) -> tuple[Hashes, Ints]:
        """The values of these lists, concatenated, and the offsets of the lists."""
        found = []
        for chunk, place in zip(self._chunk[wanted].tolist(), self._place[wanted].tolist()):
            offsets = self._offsets[chunk]
            found.append(self._values[chunk][offsets[place] : offsets[place + 1]])
        return np.concatenate(found), np.cumsum([0, *map(len, found)])


class Jaccard:
    """Jaccard similarities of the shingle sets of rows. Shingles are fetched for at most ROWS_AT_ONCE rows at a time,
    and kept in an LRU cache of at most KEPT_HASHES hashes.
    """

    def __init__(self, fetch: FetchShingles) -> None:
        self._fetch = fetch
        self._kept: OrderedDict[int, Hashes] = OrderedDict()
        self._num_kept = 0

    def prepare(self, rows: Ints) -> None:
        """Fetch rows, sorted and distinct, that will be compared soon: a large batch costs less per row."""
        missing = [row for row in rows.tolist() if row not in self._kept]
        room = self._num_kept + KEPT_HASHES // 2
        for start in range(0, len(missing), ROWS_AT_ONCE):
            if self._num_kept > room:  # long texts; the other rows are fetched when they are compared
                break
            self._load(missing[start : start + ROWS_AT_ONCE])
        self._evict()

    def __call__(self, row: int, others: Ints) -> npt.NDArray[np.float64]:
        """The similarity of a row to each of the others. All of them have shingles."""
        own = self._shingles_of([row])[0]
        parts = []
        for start in range(0, len(others), ROWS_AT_ONCE):
            sets = self._shingles_of(others[start : start + ROWS_AT_ONCE].tolist())
            sizes = np.array(list(map(len, sets)))
            theirs = np.concatenate(sets)
            found = own.take(own.searchsorted(theirs), mode="clip") == theirs
            both = np.add.reduceat(found, sizes.cumsum() - sizes, dtype=np.int64)
            parts.append(both / (len(own) + sizes - both))
        return np.concatenate(parts)

    def _shingles_of(self, rows: list[int]) -> list[Hashes]:
        """The distinct shingles of each row, sorted; fetched if they are not cached."""
        for row in rows:
            if row in self._kept:
                self._kept.move_to_end(row)
        missing = [row for row in rows if row not in self._kept]
        if missing:
            self._load(missing)
        found = [self._kept[row] for row in rows]
        self._evict()
        return found

    def _load(self, rows: list[int]) -> None:
        """Fetch rows into the cache."""
        hashes, offsets = self._fetch(np.array(rows, np.int64))
        for row, start, end in zip(rows, offsets.tolist(), offsets[1:].tolist()):
            self._kept[row] = sorted_unique(hashes[start:end])
            self._num_kept += len(self._kept[row])

    def _evict(self) -> None:
        """Remove the least recently used rows while the cache is too large."""
        while self._num_kept > KEPT_HASHES:
            self._num_kept -= len(self._kept.popitem(last=False)[1])
