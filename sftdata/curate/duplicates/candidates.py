"""Which nodes of the buckets are to be compared with which, for many nodes at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from sftdata.curate.duplicates.buckets import Buckets, Ints, distinct

_NODES_AT_ONCE, _PAIRS_AT_ONCE = 512, 1 << 16
_LONG = 256  # nodes of a bucket, from where it pays to find out that it is settled


class Candidates:
    """Pairs of nodes that share a bucket and could still change a verdict.

    survivor  the node that each node is dropped for, -1 where it is kept
    label     a node that stands for the cluster of each node

    Both are read when pairs are asked for, and are changed by whoever asks.
    """

    def __init__(self, buckets: Buckets, survivor: Ints, label: Ints) -> None:
        self._buckets = buckets
        self._survivor, self._label = survivor, label
        self._settled = np.zeros(len(buckets.members) + 1, bool)  # by a bucket's end: nothing in it is left to compare

    def pairs(self, start: int) -> tuple[Ints, Ints, int]:
        """Pairs of the nodes from `start` on with later ones, ascending, and the node to go on with.

        own    4 4 4 7         every pair once
        other  5 8 9 8
        """
        buckets = self._buckets
        stop = min(start + _NODES_AT_ONCE, len(buckets.firsts) - 1)
        firsts = buckets.firsts[start : stop + 1]
        places = buckets.places[firsts[0] : firsts[-1]]
        ends = buckets.ends[places]
        is_open = (places + 1 < ends) & ~self._settled[ends]
        owners = np.repeat(np.arange(start, stop), np.diff(firsts))[is_open]
        starts, ends = places[is_open] + 1, ends[is_open]
        sizes = (ends - starts).astype(np.int64)
        long = owners[sizes > _LONG][:1]
        if len(long) and long[0] == start:
            others = self._of_long(start, starts[owners == start], ends[owners == start])
            return np.full(len(others), start), others, start + 1
        stop = int(long[0]) if len(long) else stop
        over = owners[np.cumsum(sizes) > _PAIRS_AT_ONCE][:1]
        stop = max(min(stop, int(over[0])), start + 1) if len(over) else stop
        taken = int(np.searchsorted(owners, stop))
        starts, sizes = starts[:taken], sizes[:taken]
        others = buckets.members[np.repeat(starts - np.cumsum(sizes) + sizes, sizes) + np.arange(sizes.sum())]
        both = distinct((np.repeat(owners[:taken], sizes) << 32) + others)  # in one number
        own, other = both >> 32, both & 0xFFFFFFFF
        wanted = self._wanted(own, other)
        return own[wanted], other[wanted], stop

    def left(self, node: int, others: Ints) -> Ints:
        """Of these nodes, those in another cluster than a node or, where that is kept, not dropped yet."""
        return others[self._wanted(node, others)]

    def _wanted(self, own: Ints | int, others: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
        both_kept = (self._survivor[own] < 0) & (self._survivor[others] < 0)
        wanted: npt.NDArray[np.bool_] = both_kept | (self._label[others] != self._label[own])
        return wanted

    def _of_long(self, node: int, starts: npt.NDArray[Any], ends: npt.NDArray[Any]) -> Ints:
        """The nodes to compare a node with that has long buckets, from starts to ends. Notes which are settled."""
        parts = []
        for start, end in zip(starts.tolist(), ends.tolist()):
            later = self._buckets.members[start:end]
            if len(later) > _LONG:
                later = later[self._wanted(node, later)]
                self._settled[end] = self._survivor[node] < 0 and len(later) == 0
            parts.append(later)
        found = distinct(np.concatenate(parts)).astype(np.int64)
        return self.left(node, found)
