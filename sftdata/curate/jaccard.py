"""The true similarity of two texts: how many of their shingles they share."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from sftdata.curate.buckets import Ints
from sftdata.curate.words import Hashes, shingles

Fetch = Callable[[Ints], Sequence[str]]  # the texts of these rows, in their order; rows come sorted and without repeats

PAIRS_AT_ONCE = 1024
KEPT_HASHES = 1 << 23  # 64 MB


class Jaccard:
    """Jaccard similarities of the shingle sets of rows, whose texts `fetch` gives. Texts are fetched for at most
    2 * PAIRS_AT_ONCE rows at a time; shingles of the rows used last are kept, KEPT_HASHES at most.
    """

    def __init__(self, fetch: Fetch, shingle_words: int) -> None:
        self._fetch = fetch
        self._shingle_words = shingle_words
        self._kept: OrderedDict[int, Hashes] = OrderedDict()
        self._num_kept = 0

    def __call__(self, left: Ints, right: Ints) -> npt.NDArray[np.float64]:
        """The similarity of every pair (left[i], right[i]). It is quick where equal rows in `left` stand together."""
        similarity = np.empty(len(left), np.float64)
        for start in range(0, len(left), PAIRS_AT_ONCE):
            part = slice(start, start + PAIRS_AT_ONCE)
            similarity[part] = self._similarities(left[part], right[part])
        return similarity

    def _similarities(self, left: Ints, right: Ints) -> list[float]:
        sets = self._shingles_of(np.unique(np.concatenate([left, right])))
        found = []
        current, members = -1, frozenset[int]()
        for one, other in zip(left.tolist(), right.tolist()):
            if one != current:
                current, members = one, frozenset(sets[one].tolist())
            both = len(members.intersection(sets[other].tolist()))
            either = len(members) + len(sets[other]) - both
            found.append(both / either if either else 0.0)
        return found

    def _shingles_of(self, rows: Ints) -> dict[int, Hashes]:
        """The distinct shingles of rows, fetched where they are not at hand."""
        found = {row: self._kept[row] for row in rows.tolist() if row in self._kept}
        missing = [row for row in rows.tolist() if row not in found]
        for row in found:
            self._kept.move_to_end(row)
        if missing:
            for row, text in zip(missing, self._fetch(np.array(missing, np.int64)), strict=True):
                found[row] = self._kept[row] = np.unique(shingles(text, self._shingle_words))
                self._num_kept += len(found[row])
        while self._num_kept > KEPT_HASHES:
            self._num_kept -= len(self._kept.popitem(last=False)[1])
        return found
