"""Locality-sensitive hashing: MinHash signatures -> buckets of rows that may be alike."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Narrow = npt.NDArray[np.int32]

BANDS_AT_ONCE = 2
MISSED = 0.005  # of the pairs just at the threshold, the share that no band may bring together


class Banding(NamedTuple):
    """How a signature is cut: two rows share a bucket of a band where all `width` numbers of the band agree."""

    bands: int
    width: int


def choose_banding(threshold: float, num_hashes: int) -> Banding:
    """The widest bands, and of those as many as needed, that miss less than MISSED of the pairs at the threshold.

    A pair of similarity s meets in none of the bands with probability (1 - s**width)**bands. Wide bands bring fewer
    unlike rows together.
    """
    for width in range(num_hashes, 1, -1):
        meets = threshold**width
        bands = 1 if meets >= 1 else int(np.ceil(np.log(MISSED) / np.log1p(-meets)))
        if bands * width <= num_hashes:
            return Banding(bands, width)
    return Banding(num_hashes, 1)


class Buckets(NamedTuple):
    """Nodes that share a bucket stand together in `members`, in ascending order; nodes alone in a bucket are left out.

    members   3 7 9 | 1 3 | ...       a bucket of three nodes, then one of two
    ends      3 3 3 | 5 5 | ...       where the bucket of each place ends
    places    of node 3: 0 and 4, at [firsts[3] : firsts[4]]
    """

    members: Narrow
    ends: Narrow
    places: Narrow
    firsts: Ints

    @staticmethod
    def of(members: Narrow, sizes: Ints, count: int) -> Buckets:
        """Buckets of these sizes, end to end, of some of `count` nodes."""
        ends = np.repeat(np.cumsum(sizes), sizes).astype(np.int32)
        places = np.argsort(members, kind="stable").astype(np.int32)
        counts = np.bincount(members, minlength=count)
        return Buckets(members, ends, places, np.concatenate([[0], np.cumsum(counts)]))


def component_parts(signatures: npt.NDArray[np.uint16], rows: Ints, banding: Banding, parts: int) -> Narrow:
    """The part of each node, from 0; -1 where no other node shares a bucket with it. Node i is signatures[rows[i]].

    Nodes of a component, which are linked by a chain of buckets, are in one part, so that no pair of nodes that share
    a bucket is in two. There are about `parts` parts with about as many pairs each.
    """
    members, sizes = sort_into_buckets(signatures, rows, banding)
    label = _components(members, sizes, len(rows))
    later = np.repeat(np.cumsum(sizes), sizes) - np.arange(len(members)) - 1  # nodes behind each in its bucket
    pairs = np.bincount(label[members], weights=later, minlength=len(rows))  # of each component, at its label
    before = np.cumsum(pairs) - pairs
    part: Narrow = np.minimum(before * parts // max(pairs.sum(), 1), parts - 1).astype(np.int32)[label]
    alone = np.ones(len(rows), np.bool_)
    alone[members] = False
    part[alone] = -1
    return part


def _components(members: Narrow, sizes: Ints, count: int) -> Narrow:
    """For each node the first node of its component. Labels are hooked and pointers halved until nothing changes
    (Shiloach and Vishkin 1982).
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


def sort_into_buckets(signatures: npt.NDArray[np.uint16], rows: Ints, banding: Banding) -> tuple[Narrow, Ints]:
    """The members and sizes of the buckets of all bands that hold two nodes or more. Node i is signatures[rows[i]]."""
    starts = range(0, banding.bands * banding.width, banding.width)
    with ThreadPoolExecutor(BANDS_AT_ONCE) as threads:  # numpy lets other threads run
        found = list(threads.map(lambda start: _of_band(signatures[rows, start : start + banding.width]), starts))
    return np.concatenate([members for members, _ in found]), np.concatenate([sizes for _, sizes in found])


def _of_band(signatures: npt.NDArray[np.uint16]) -> tuple[Narrow, Ints]:
    """The same of one band."""
    low = np.uint64((1 << len(signatures).bit_length()) - 1)
    # One number for a key and its node, sorted in half the time that an argsort takes. That keys lose their low bits
    # brings a few nodes more together, which are then told apart like others.
    both = np.sort((_keys(signatures) & ~low) | np.arange(len(signatures), dtype=np.uint64))
    is_same = (both[1:] & ~low) == (both[:-1] & ~low)
    as_before = np.concatenate([[False], is_same])[: len(both)]
    as_next = np.concatenate([is_same, [False]])[: len(both)]
    sizes = np.flatnonzero(as_before & ~as_next) - np.flatnonzero(as_next & ~as_before) + 1
    return (both[as_before | as_next] & low).astype(np.int32), sizes


def _keys(signatures: npt.NDArray[np.uint16]) -> npt.NDArray[np.uint64]:
    """A hash of each row, four numbers at a time."""
    count, width = signatures.shape
    padded = np.zeros((count, -(-width // 4) * 4), np.uint16)
    padded[:, :width] = signatures
    keys = np.zeros(count, np.uint64)
    for column in padded.view(np.uint64).T:
        keys ^= column
        keys *= np.uint64(0x9E3779B97F4A7C15)
        keys ^= keys >> np.uint64(29)
    return keys


def distinct(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The distinct values, sorted. For few values, in a third of the time that np.unique takes."""
    ordered: npt.NDArray[Any] = np.sort(values)
    is_first = np.ones(len(ordered), np.bool_)
    np.not_equal(ordered[1:], ordered[:-1], out=is_first[1:])
    return ordered[is_first]
