"""The true similarity of two texts: how many of their shingles they share."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from sftdata.curate.buckets import Ints
from sftdata.curate.words import Hashes, shingles

Fetch = Callable[[Ints], Sequence[str]]  # the texts of these rows, in their order; rows come sorted and without repeats

ROWS_AT_ONCE = 2048
KEPT_HASHES = 1 << 23  # 64 MB


class Jaccard:
    """Jaccard similarities of the shingle sets of rows, whose texts `fetch` gives. Texts are fetched for at most
    ROWS_AT_ONCE rows at a time; shingles of the rows used last are kept, KEPT_HASHES at most.
    """

    def __init__(self, fetch: Fetch, shingle_words: int) -> None:
        self._fetch = fetch
        self._shingle_words = shingle_words
        self._kept: OrderedDict[int, Hashes] = OrderedDict()
        self._num_kept = 0

    def __call__(self, row: int, others: Ints) -> npt.NDArray[np.float64]:
        """The similarity of a row to each of the others, which are sorted."""
        members = frozenset(self._shingles_of(np.array([row]))[0].tolist())
        found: list[float] = []
        for start in range(0, len(others), ROWS_AT_ONCE):
            for other in self._shingles_of(others[start : start + ROWS_AT_ONCE]):
                both = len(members.intersection(other.tolist()))
                found.append(both / max(len(members) + len(other) - both, 1))
        return np.array(found)

    def _shingles_of(self, rows: Ints) -> list[Hashes]:
        """The distinct shingles of each row, fetched where they are not at hand."""
        wanted = rows.tolist()
        found = {row: self._kept[row] for row in wanted if row in self._kept}
        for row in found:
            self._kept.move_to_end(row)
        missing = [row for row in wanted if row not in found]
        if missing:
            for row, text in zip(missing, self._fetch(np.array(missing, np.int64)), strict=True):
                found[row] = self._kept[row] = np.unique(shingles(text, self._shingle_words))
                self._num_kept += len(found[row])
        while self._num_kept > KEPT_HASHES:
            self._num_kept -= len(self._kept.popitem(last=False)[1])
        return [found[row] for row in wanted]
