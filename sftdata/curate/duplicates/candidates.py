"""Which pairs of nodes in the buckets still have to be compared, for many nodes at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from sftdata.curate.duplicates.buckets import Buckets, Ints, sorted_unique

_NODES_AT_ONCE, _PAIRS_AT_ONCE = 512, 1 << 16
_LONG = 256  # nodes in a bucket, above which it pays to find out that the bucket is settled


class Candidates:
    """Pairs of nodes that share a bucket and whose comparison could still change the verdict.

    survivor  the node that each node is a duplicate of, -1 if it is kept
    label     the node that represents each node's cluster

    The caller updates both arrays between calls; every call reads their current state.
    """

    def __init__(self, buckets: Buckets, survivor: Ints, label: Ints) -> None:
        self._buckets = buckets
        self._survivor, self._label = survivor, label
        self._settled = np.zeros(len(buckets.members) + 1, bool)  # by a bucket's end: no pairs left to compare in it

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

    def still_open(self, node: int, others: Ints) -> Ints:
        """Of these nodes, those that still have to be compared with `node`."""
        return others[self._is_open(node, others)]

    def _is_open(self, own: Ints | int, others: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
        """Whether comparing a pair could change the verdict: neither is dropped yet, or their clusters differ."""
        both_kept = (self._survivor[own] < 0) & (self._survivor[others] < 0)
        is_open: npt.NDArray[np.bool_] = both_kept | (self._label[others] != self._label[own])
        return is_open

    def _others_in_long_buckets(self, node: int, starts: npt.NDArray[Any], ends: npt.NDArray[Any]) -> Ints:
        """The nodes to compare with a node that is in long buckets. Remembers which of these buckets are settled.

        `starts` and `ends` are the ranges of `members` after the node, one per bucket of the node.
        """
        parts = []
        for start, end in zip(starts.tolist(), ends.tolist()):
            later = self._buckets.members[start:end]
            if len(later) > _LONG:
                later = later[self._is_open(node, later)]
                self._settled[end] = self._survivor[node] < 0 and len(later) == 0
            parts.append(later)
        found = sorted_unique(np.concatenate(parts)).astype(np.int64)
        return self.still_open(node, found)
