"""Which of very many hashes are equal, by sorting: with few bytes for each, and no objects."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Int32s = npt.NDArray[np.int32]
UInt64s = npt.NDArray[np.uint64]

MAX_NODES = np.iinfo(np.int32).max
_KEY_BITS = 37  # of 64, that are left to tell hashes apart beside the number of a node, or else there are passes


def groups_of_equal(hashes: UInt64s, passes: int | None = None) -> tuple[Int32s, Ints]:
    """The members of all groups of two or more nodes with equal hashes, and the sizes of the groups. `hashes`, one for
    each node, are overwritten.

    Hash and node in one integer sort in half the time of an argsort, and in place. Because hashes lose their low bits,
    a few nodes that differ are in one group by chance: of 100 million nodes, one in 1,400. Of more, one part of the
    hashes is sorted at a time, so that fewer bits are lost; `passes`, a power of two, says how many.

    The groups are in the order of their hashes, the members of each ascending. Memory: besides the hashes 17 bytes for
    each node. Raises ValueError for more than MAX_NODES nodes.
    """
    count = len(hashes)
    if count > MAX_NODES:
        raise ValueError(f"{count:,} nodes are too many to compare; {MAX_NODES:,} can be")
    bits = count.bit_length()
    if passes is None:
        passes = 1 << max(0, bits - (64 - _KEY_BITS)) * 2
    if passes == 1:
        return _groups(hashes, None, bits)
    top = passes.bit_length() - 1
    found = []
    for part in range(passes):
        nodes = np.flatnonzero(hashes >> np.uint64(64 - top) == part).astype(np.uint64)
        found.append(_groups(hashes[nodes] << np.uint64(top), nodes, bits))
    return np.concatenate([members for members, _ in found]), np.concatenate([sizes for _, sizes in found])


def _groups(hashes: UInt64s, nodes: UInt64s | None, bits: int) -> tuple[Int32s, Ints]:
    """The groups of these nodes (default: numbered in order), whose numbers have this many bits."""
    low = np.uint64((1 << bits) - 1)
    hashes &= ~low
    hashes |= np.arange(len(hashes), dtype=np.uint64) if nodes is None else nodes
    hashes.sort()
    like_previous, like_next = np.zeros((2, len(hashes)), np.bool_)
    np.less_equal(hashes[1:] ^ hashes[:-1], low, out=like_previous[1:])  # they differ in no bit but those of the node
    like_next[:-1] = like_previous[1:]
    sizes = np.flatnonzero(like_previous & ~like_next) - np.flatnonzero(like_next & ~like_previous) + 1
    like_previous |= like_next
    return (hashes[like_previous] & low).astype(np.int32), sizes


class Repeats(NamedTuple):
    """Rows whose key an earlier row has, ascending in the order in which rows were given."""

    row: Ints
    first: Ints  # the first row with the key
    number: Ints  # of earlier rows with the key, from 1


def find_repeats(keys: UInt64s, rows: Ints) -> Repeats:
    """Which of these rows, in their order, repeat the key of an earlier one of them. `keys` are [all rows, 2], uniform
    hashes; memory is 25 bytes for each of the rows, and 80 for each that shares its key.
    """
    members, _ = groups_of_equal(keys[rows, 0])
    shared = keys[rows[members]]
    order = np.lexsort((members, shared[:, 1], shared[:, 0]))
    members, shared = members[order], shared[order]
    is_first = np.ones(len(members), np.bool_)
    np.not_equal(shared[1:], shared[:-1]).any(axis=1, out=is_first[1:])
    starts = np.flatnonzero(is_first)
    start = np.repeat(starts, np.diff(np.append(starts, len(members))))
    repeats = np.flatnonzero(~is_first)
    repeats = repeats[np.argsort(members[repeats])]
    return Repeats(rows[members[repeats]], rows[members[start[repeats]]], repeats - start[repeats])
