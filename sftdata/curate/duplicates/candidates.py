"""Which pairs of nodes in the buckets still have to be compared, for many nodes at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from sftdata.curate.duplicates.buckets import Buckets, sorted_unique
from sftdata.curate.duplicates.grouping import Ints

_NODES_AT_ONCE, _PAIRS_AT_ONCE = 512, 1 << 16
_LONG = 256  # nodes in a bucket, above which it pays to find out that the bucket is settled
_NEIGHBOURS = 8  # on each side, with which a node of an exhausted bucket is compared


class Candidates:
    """Pairs of nodes that share a bucket and whose comparison could still change the verdict.

    survivor  the node that each node is a duplicate of, -1 if it is kept
    label     the node that represents each node's cluster

    The caller updates both arrays between calls; every call reads their current state.

    Texts made from one template share buckets though no two of them are near-duplicates, and every pair of them would
    be compared. So a bucket is exhausted after `max_comparisons` pairs for each of its nodes: from then on its nodes
    are compared with the few that are most alike, the neighbours of a node where the bucket is sorted by signature.
    `limited` says which nodes have later nodes that they were not compared with for that reason.
    """

    def __init__(
        self,
        buckets: Buckets,
        survivor: Ints,
        label: Ints,
        signatures_of: Callable[[npt.NDArray[Any]], npt.NDArray[np.uint16]],
        max_comparisons: int,
    ) -> None:
        self._buckets = buckets
        self.survivor, self.label = survivor, label
        self._signatures_of, self._max_comparisons = signatures_of, max_comparisons
        self._settled = np.zeros(len(buckets.members) + 1, bool)  # by a bucket's end: no pairs left to compare in it
        self._spent = np.zeros(len(buckets.members) + 1, np.int64)  # by a bucket's end: pairs compared so far
        self._sorted: dict[int, tuple[npt.NDArray[Any], npt.NDArray[np.int32]]] = {}  # exhausted buckets, see _alike
        self.limited = np.zeros(len(survivor), bool)

    def pairs(self, start: int) -> tuple[Ints, Ints, int]:
        """Pairs of the nodes from `start` on with later nodes, each pair once, ascending, and the `start` of the next
        call.

        own    4 4 4 7
        other  5 8 9 8
        """
        buckets = self._buckets
        stop = min(start + _NODES_AT_ONCE, len(buckets.firsts) - 1)
        firsts = buckets.firsts[start : stop + 1]
        places = buckets.places[firsts[0] : firsts[-1]]
        ends = buckets.ends[places]
        has_later = (places + 1 < ends) & ~self._settled[ends]
        owners = np.repeat(np.arange(start, stop), np.diff(firsts))[has_later]
        starts, ends = places[has_later] + 1, ends[has_later]
        sizes = (ends - starts).astype(np.int64)
        long = owners[sizes > _LONG][:1]
        if len(long) and long[0] == start:
            others = self._others_in_long_buckets(start, starts[owners == start], ends[owners == start])
            return np.full(len(others), start), others, start + 1
        stop = int(long[0]) if len(long) else stop
        over = owners[np.cumsum(sizes) > _PAIRS_AT_ONCE][:1]
        stop = max(min(stop, int(over[0])), start + 1) if len(over) else stop
        taken = int(np.searchsorted(owners, stop))
        starts, sizes = starts[:taken], sizes[:taken]
        others = buckets.members[np.repeat(starts - np.cumsum(sizes) + sizes, sizes) + np.arange(sizes.sum())]
        packed = sorted_unique((np.repeat(owners[:taken], sizes) << 32) + others)  # a pair as one integer
        own, other = packed >> 32, packed & 0xFFFFFFFF
        is_open = self._is_open(own, other)
        return own[is_open], other[is_open], stop

    def still_open(self, node: int, others: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Of these nodes, those that still have to be compared with `node`."""
        return others[self._is_open(node, others)]

    def _is_open(self, own: Ints | int, others: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
        """Whether comparing a pair could change the verdict: neither is dropped yet, or their clusters differ."""
        both_kept = (self.survivor[own] < 0) & (self.survivor[others] < 0)
        is_open: npt.NDArray[np.bool_] = both_kept | (self.label[others] != self.label[own])
        return is_open

    def _others_in_long_buckets(self, node: int, starts: npt.NDArray[Any], ends: npt.NDArray[Any]) -> Ints:
        """The nodes to compare with a node that is in long buckets. Remembers which of these buckets are settled.

        `starts` and `ends` are the ranges of `members` after the node, one per bucket of the node.
        """
        parts = []
        for start, end in zip(starts.tolist(), ends.tolist()):
            later: npt.NDArray[Any] = self._buckets.members[start:end]
            if self._spent[end] > 0 and self._is_exhausted(end):
                alike = self._alike(node, end)
                self.limited[node] |= len(alike) < len(later)
                later = alike
            elif len(later) > _LONG:
                later = self.still_open(node, later)
                if len(later) == 0:  # all are in the node's cluster, or dropped: two of them that are kept are open
                    kept = self.survivor[self._buckets.members[start:end]] < 0
                    self._settled[end] = self.survivor[node] < 0 or np.count_nonzero(kept) < 2
                self._spent[end] += len(later)
            parts.append(later)
        found = sorted_unique(np.concatenate(parts)).astype(np.int64)
        return self.still_open(node, found)

    def _begin(self, end: int) -> int:
        """Where the bucket begins that ends here."""
        return int(np.searchsorted(self._buckets.ends, end))

    def _is_exhausted(self, end: int) -> bool:
        """Whether as many pairs of a bucket were compared as may be."""
        return bool(self._spent[end] > self._max_comparisons * (end - self._begin(end)))

    def _alike(self, node: int, end: int) -> npt.NDArray[Any]:
        """The later nodes of an exhausted bucket that are next to a node in the order of their signatures.

        Each bucket starts to compare at another number of the signatures, so that nodes which are alike but for the
        first of these are neighbours in another bucket.
        """
        begin = self._begin(end)
        members = self._buckets.members[begin:end]
        if end not in self._sorted:
            signatures = self._signatures_of(members)
            turned = np.ascontiguousarray(np.roll(signatures, -end % signatures.shape[1], axis=1))
            order = np.argsort(turned.view(f"V{turned.shape[1] * turned.itemsize}").ravel(), kind="stable")
            rank = np.empty(len(order), np.int32)
            rank[order] = np.arange(len(order), dtype=np.int32)
            self._sorted[end] = members[order], rank
        ordered, rank = self._sorted[end]
        place = int(rank[np.searchsorted(members, node)])
        near = ordered[max(place - _NEIGHBOURS, 0) : place + _NEIGHBOURS + 1]
        return near[near > node]
