"""The true similarity of two texts: how many of their shingles they share."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from sftdata.curate.duplicates.buckets import Ints, distinct
from sftdata.curate.words import Hashes

# The shingles of these rows, in their order, with repeats, and the offsets of the rows in them.
Fetch = Callable[[Ints], tuple[Hashes, Ints]]

ROWS_AT_ONCE = 256
KEPT_HASHES = 1 << 23  # 64 MB


class MappedLists:
    """A Fetch of a column of lists, as it lies in mapped files: list i is at position at[i] of the column."""

    def __init__(self, column: pa.ChunkedArray, at: Ints) -> None:
        starts = np.cumsum([0, *(len(chunk) for chunk in column.chunks)])
        self._chunk = np.searchsorted(starts, at, side="right") - 1
        self._place = at - starts[self._chunk]
        self._offsets = [chunk.offsets.to_numpy() for chunk in column.chunks]
        self._values = [chunk.values.to_numpy() for chunk in column.chunks]

    def __call__(self, wanted: Ints) -> tuple[Hashes, Ints]:
        """The values of these lists, end to end, and their offsets."""
        found = []
        for chunk, place in zip(self._chunk[wanted].tolist(), self._place[wanted].tolist()):
            offsets = self._offsets[chunk]
            found.append(self._values[chunk][offsets[place] : offsets[place + 1]])
        return np.concatenate(found), np.cumsum([0, *map(len, found)])


class Jaccard:
    """Jaccard similarities of the shingle sets of rows. They are fetched for at most ROWS_AT_ONCE rows at a time;
    those of the rows used last are kept, KEPT_HASHES at most.
    """

    def __init__(self, fetch: Fetch) -> None:
        self._fetch = fetch
        self._kept: OrderedDict[int, Hashes] = OrderedDict()
        self._num_kept = 0

    def prepare(self, rows: Ints) -> None:
        """Make ready for rows, sorted and without repeats, that will be asked about: many at once cost less each."""
        missing = [row for row in rows.tolist() if row not in self._kept]
        room = self._num_kept + KEPT_HASHES // 2
        for start in range(0, len(missing), ROWS_AT_ONCE):
            if self._num_kept > room:  # long texts: what is left is fetched when it is asked about
                break
            self._take(missing[start : start + ROWS_AT_ONCE])
        self._forget()

    def __call__(self, row: int, others: Ints) -> npt.NDArray[np.float64]:
        """The similarity of a row to each of the others, which has shingles as it has itself."""
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
        """The distinct shingles of each row, sorted, fetched where they are not at hand."""
        for row in rows:
            if row in self._kept:
                self._kept.move_to_end(row)
        missing = [row for row in rows if row not in self._kept]
        if missing:
            self._take(missing)
        found = [self._kept[row] for row in rows]
        self._forget()
        return found

    def _take(self, rows: list[int]) -> None:
        """Fetch rows that are not at hand."""
        hashes, offsets = self._fetch(np.array(rows, np.int64))
        for row, start, end in zip(rows, offsets.tolist(), offsets[1:].tolist()):
            self._kept[row] = distinct(hashes[start:end])
            self._num_kept += len(self._kept[row])

    def _forget(self) -> None:
        """Let go of the rows that were not used for longest, where too much is kept."""
        while self._num_kept > KEPT_HASHES:
            self._num_kept -= len(self._kept.popitem(last=False)[1])
