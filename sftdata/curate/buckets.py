"""Locality-sensitive hashing: MinHash signatures -> buckets of rows that may be alike -> pairs to compare."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Buckets = npt.NDArray[np.int32]  # [bands, rows]: the bucket of a row in a band, -1 where it is alone

MISSED = 0.005  # of the pairs just at the threshold, the share that no band may bring together
PAIRS_AT_ONCE = 1 << 18


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


def sort_into_buckets(signatures: npt.NDArray[np.uint16], rows: Ints, banding: Banding) -> Buckets:
    """The bucket of every one of these rows in every band; numbers are not reused between bands."""
    buckets = np.full((banding.bands, len(rows)), -1, np.int32)
    used = 0
    for band in range(banding.bands):
        keys = np.zeros(len(rows), np.uint64)
        for column in signatures[rows, band * banding.width : (band + 1) * banding.width].T:
            keys ^= column
            keys *= np.uint64(0x9E3779B97F4A7C15)
            keys ^= keys >> np.uint64(29)
        order = np.argsort(keys, kind="stable")
        starts = np.flatnonzero(np.concatenate([[True], np.diff(keys[order]) != 0]))
        sizes = np.diff(np.append(starts, len(order)))
        shared = sizes > 1
        numbers = np.where(shared, used + np.cumsum(shared) - 1, -1)
        buckets[band, order] = np.repeat(numbers, sizes)
        used += int(shared.sum())
    return buckets


def pairs_in_buckets(buckets: Buckets, labels: Ints) -> Iterator[tuple[Ints, Ints]]:
    """Every pair of rows that share a bucket and have different labels, once, in batches of about PAIRS_AT_ONCE.

    `labels` may be changed, joined but not split, while this runs; pairs that share a label by then may still come.
    """
    for band in range(len(buckets)):
        for left, right in _pairs_of_band(buckets[band], labels):
            fresh = labels[left] != labels[right]
            left, right = left[fresh], right[fresh]
            fresh = np.ones(len(left), bool)
            for earlier in buckets[:band]:
                fresh &= (earlier[left] != earlier[right]) | (earlier[left] < 0)
            if fresh.any():
                yield left[fresh], right[fresh]


def _pairs_of_band(bucket: npt.NDArray[np.int32], labels: Ints) -> Iterator[tuple[Ints, Ints]]:
    """Every pair of one band's rows that share a bucket and have different labels.

    Rows are sorted by bucket, then label; the partners of a row are those of its bucket that come after its label's.
    """
    members = np.flatnonzero(bucket >= 0)
    members = members[np.lexsort((labels[members], bucket[members]))]
    if len(members) == 0:
        return
    new_bucket = np.diff(bucket[members], prepend=-1) != 0
    new_label = new_bucket | (np.diff(labels[members], prepend=-1) != 0)
    bucket_end, label_end = _ends(new_bucket), _ends(new_label)
    counts = bucket_end - label_end
    total = np.cumsum(counts)
    start = 0
    while start < len(members):
        before = int(total[start - 1]) if start else 0
        stop = max(start + 1, int(np.searchsorted(total, before + PAIRS_AT_ONCE, side="right")))
        here = counts[start:stop]
        if here.any():
            first = label_end[start:stop] - (total[start:stop] - here - before)
            partner = np.repeat(first, here) + np.arange(int(here.sum()))
            yield np.repeat(members[start:stop], here), members[partner]
        start = stop


def _ends(starts: npt.NDArray[np.bool_]) -> Ints:
    """For every position the end of its run, where runs begin at `starts`."""
    places = np.flatnonzero(starts)
    ends = np.append(places[1:], len(starts))
    return np.repeat(ends, ends - places)
