"""Locality-sensitive hashing: MinHash signatures -> buckets of rows that may be similar."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Int32s = npt.NDArray[np.int32]

BANDS_AT_ONCE = 2
MAX_MISSED = 0.005  # the share of pairs right at the threshold that may share no bucket


class Banding(NamedTuple):
    """How a signature is cut into bands. Two rows share a bucket of a band if all `width` numbers of the band agree."""

    bands: int
    width: int


def choose_banding(threshold: float, num_hashes: int) -> Banding:
    """The widest bands, and as few of them as possible, that miss at most MAX_MISSED of the pairs at the threshold.

    A pair of similarity s shares a bucket in none of the bands with probability (1 - s**width)**bands. Wide bands put
    fewer dissimilar rows into one bucket.
    """
    for width in range(num_hashes, 1, -1):
        chance = threshold**width  # that a pair shares a bucket in one band
        bands = 1 if chance >= 1 else int(np.ceil(np.log(MAX_MISSED) / np.log1p(-chance)))
        if bands * width <= num_hashes:
            return Banding(bands, width)
    return Banding(num_hashes, 1)


class Buckets(NamedTuple):
    """Buckets of two or more nodes, end to end in `members`, each in ascending order.

    members   3 7 9 | 1 3 | ...       a bucket of three nodes, then one of two
    ends      3 3 3 | 5 5 | ...       where the bucket of each place ends
    places    of node 3: 0 and 4, at [firsts[3] : firsts[4]]
    """

    members: Int32s
    ends: Int32s
    places: Int32s
    firsts: Ints

    @staticmethod
    def of(members: Int32s, sizes: Ints, count: int) -> Buckets:
        """Buckets of these sizes, end to end, over `count` nodes."""
        ends = np.repeat(np.cumsum(sizes), sizes).astype(np.int32)
        places = np.argsort(members, kind="stable").astype(np.int32)
        counts = np.bincount(members, minlength=count)
        return Buckets(members, ends, places, np.concatenate([[0], np.cumsum(counts)]))


def component_parts(signatures: npt.NDArray[np.uint16], rows: Ints, banding: Banding, parts: int) -> Int32s:
    """The part of each node, from 0; -1 if it shares a bucket with no other node. Node i is signatures[rows[i]].

    A connected component (nodes linked by a chain of shared buckets) is never split, so nodes that share a bucket are
    always in the same part. There are at most `parts` parts, with about the same number of pairs each.
    """
    members, sizes = sort_into_buckets(signatures, rows, banding)
    label = _components(members, sizes, len(rows))
    later = np.repeat(np.cumsum(sizes), sizes) - np.arange(len(members)) - 1  # nodes after each in its bucket
    pairs = np.bincount(label[members], weights=later, minlength=len(rows))  # in each component, at its label
    before = np.cumsum(pairs) - pairs
    part: Int32s = np.minimum(before * parts // max(pairs.sum(), 1), parts - 1).astype(np.int32)[label]
    alone = np.ones(len(rows), np.bool_)
    alone[members] = False
    part[alone] = -1
    return part


def _components(members: Int32s, sizes: Ints, count: int) -> Int32s:
    """For each node, the first node of its component: hooking and pointer jumping until nothing changes (Shiloach and
    Vishkin 1982).
    """
    label = np.arange(count, dtype=np.int32)
    starts = np.cumsum(sizes) - sizes
    while len(members):
        own = label[members]
        least = np.repeat(np.minimum.reduceat(own, starts), sizes)
        found = label.copy()
        np.minimum.at(found, own, least)
        np.minimum.at(found, members, least)
        found = found[found]
        if np.array_equal(found, label):
            break
        label = found
    return label


def sort_into_buckets(signatures: npt.NDArray[np.uint16], rows: Ints, banding: Banding) -> tuple[Int32s, Ints]:
    """The members and sizes of all buckets that hold two or more nodes, band by band. Node i is signatures[rows[i]]."""
    starts = range(0, banding.bands * banding.width, banding.width)
    with ThreadPoolExecutor(BANDS_AT_ONCE) as threads:  # numpy releases the GIL
        found = list(
            threads.map(lambda start: _buckets_of_band(signatures[rows, start : start + banding.width]), starts)
        )
    return np.concatenate([members for members, _ in found]), np.concatenate([sizes for _, sizes in found])


def _buckets_of_band(signatures: npt.NDArray[np.uint16]) -> tuple[Int32s, Ints]:
    """The members and sizes of the buckets of one band."""
    low = np.uint64((1 << len(signatures).bit_length()) - 1)
    # Key and node in one integer sort in half the time of an argsort. Because keys lose their low bits, a few more
    # nodes share a bucket by chance; the comparison sorts them out like any other pair.
    keys_and_nodes = np.sort((_keys(signatures) & ~low) | np.arange(len(signatures), dtype=np.uint64))
    is_same = (keys_and_nodes[1:] & ~low) == (keys_and_nodes[:-1] & ~low)
    like_previous = np.concatenate([[False], is_same])[: len(keys_and_nodes)]
    like_next = np.concatenate([is_same, [False]])[: len(keys_and_nodes)]
    sizes = np.flatnonzero(like_previous & ~like_next) - np.flatnonzero(like_next & ~like_previous) + 1
    return (keys_and_nodes[like_previous | like_next] & low).astype(np.int32), sizes


def _keys(signatures: npt.NDArray[np.uint16]) -> npt.NDArray[np.uint64]:
    """A hash of each row, computed over four numbers at a time."""
    count, width = signatures.shape
    padded = np.zeros((count, -(-width // 4) * 4), np.uint16)
    padded[:, :width] = signatures
    keys = np.zeros(count, np.uint64)
    for column in padded.view(np.uint64).T:
        keys ^= column
        keys *= np.uint64(0x9E3779B97F4A7C15)
        keys ^= keys >> np.uint64(29)
    return keys


def sorted_unique(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The distinct values, sorted. For few values it takes a third of the time of np.unique."""
    ordered: npt.NDArray[Any] = np.sort(values)
    is_first = np.ones(len(ordered), np.bool_)
    np.not_equal(ordered[1:], ordered[:-1], out=is_first[1:])
    return ordered[is_first]
