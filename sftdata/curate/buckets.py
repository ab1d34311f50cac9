"""Locality-sensitive hashing: MinHash signatures -> buckets of rows that may be alike."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Narrow = npt.NDArray[np.int32]

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


def sort_into_buckets(signatures: npt.NDArray[np.uint16], rows: Ints, banding: Banding) -> Buckets:
    """The buckets of all bands. Node i is signatures[rows[i]]. 12 bytes for a node in a band, at most."""
    parts: list[Narrow] = []
    sizes: list[Ints] = []
    numbers = np.arange(len(rows), dtype=np.uint64)
    low = np.uint64((1 << len(rows).bit_length()) - 1)
    for band in range(banding.bands):
        keys = _keys(signatures[rows, band * banding.width : (band + 1) * banding.width])
        # One number for a key and its node, sorted in half the time that an argsort takes. That keys lose their low
        # bits brings a few nodes more together, which are then told apart like others.
        both = np.sort((keys & ~low) | numbers)
        is_same = (both[1:] & ~low) == (both[:-1] & ~low)
        as_before = np.concatenate([[False], is_same])[: len(both)]
        as_next = np.concatenate([is_same, [False]])[: len(both)]
        parts.append((both[as_before | as_next] & low).astype(np.int32))
        sizes.append(np.flatnonzero(as_before & ~as_next) - np.flatnonzero(as_next & ~as_before) + 1)
    members: Narrow = np.concatenate(parts)
    size = np.concatenate(sizes)
    ends = np.repeat(np.cumsum(size), size).astype(np.int32)
    places = np.argsort(members, kind="stable").astype(np.int32)
    counts = np.bincount(members, minlength=len(rows))
    return Buckets(members, ends, places, np.concatenate([[0], np.cumsum(counts)]))


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
