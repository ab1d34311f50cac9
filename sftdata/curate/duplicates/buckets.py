"""Locality-sensitive hashing: MinHash signatures -> buckets of rows that may be similar."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from sftdata.curate.duplicates.grouping import MAX_NODES, Int32s, Ints, UInt64s, groups_of_equal

ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")

AT_ONCE = 2  # bands
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
        """Buckets of these sizes, end to end, over `count` nodes. Raises ValueError where there are too many places."""
        if len(members) > MAX_NODES:
            raise ValueError(f"{len(members):,} places in buckets are too many to compare; {MAX_NODES:,} can be")
        ends = np.repeat(np.cumsum(sizes), sizes).astype(np.int32)
        places = np.argsort(members, kind="stable").astype(np.int32)
        counts = np.bincount(members, minlength=count)
        return Buckets(members, ends, places, np.concatenate([[0], np.cumsum(counts)]))


def component_parts(bands: Iterable[Callable[[], UInt64s]], count: int, parts: int) -> Int32s:
    """The part of each of `count` nodes, from 0; -1 if it shares a bucket with no other node.

    Each of the bands gives the keys of the nodes, see `band_keys`, in an array that is overwritten. A connected
    component (nodes linked by a chain of shared buckets) is never split, so nodes that share a bucket are always in the
    same part. There are at most `parts` parts, with about the same number of pairs each. Memory: 60 bytes for each
    node, and 40 for each that is in a bucket of one band.
    """
    root = np.arange(count, dtype=np.int32)  # of each node: a node before it that it is linked to, or itself
    later = np.zeros(count, np.int64)  # of each node: the nodes after it in its buckets
    alone = np.ones(count, np.bool_)
    for members, sizes in _some_ahead(lambda keys: groups_of_equal(keys()), bands):
        _link(root, members, sizes)
        later[members] += np.repeat(np.cumsum(sizes), sizes) - np.arange(len(members)) - 1
        alone[members] = False
    while not np.array_equal(label := root[root], root):
        root = label
    pairs = np.bincount(root, weights=later, minlength=count)  # in each component, at its first node
    del later
    last = max(pairs.sum(), 1)
    before = np.cumsum(pairs)
    before -= pairs
    before *= parts
    before //= last
    part: Int32s = np.minimum(before, parts - 1, out=before).astype(np.int32)[root]
    part[alone] = -1
    return part


def _link(root: Int32s, members: Int32s, sizes: Ints) -> None:
    """Link the members of each bucket: union-find, with the smallest node of each set as its root, for all buckets at a
    time. A root is linked to the smallest of the roots that it meets in a bucket, until each bucket has one.
    """
    starts = np.cumsum(sizes) - sizes
    while len(members):
        own = root[members]
        while not np.array_equal(above := root[own], own):
            own = above
        root[members] = own
        least = np.repeat(np.minimum.reduceat(own, starts), sizes)
        differs = own != least
        if not differs.any():
            return
        np.minimum.at(root, own[differs], least[differs])


def _some_ahead(function: Callable[[ItemT], ResultT], items: Iterable[ItemT]) -> Iterator[ResultT]:
    """The function's results for items, in order; AT_ONCE of them are in work or in memory."""
    with ThreadPoolExecutor(AT_ONCE) as threads:  # numpy releases the GIL
        waiting: deque[Future[ResultT]] = deque()
        for item in items:
            if len(waiting) == AT_ONCE:
                yield waiting.popleft().result()
            waiting.append(threads.submit(function, item))
        while waiting:
            yield waiting.popleft().result()


def sort_into_buckets(signatures: npt.NDArray[np.uint16], rows: Ints, banding: Banding) -> tuple[Int32s, Ints]:
    """The members and sizes of all buckets that hold two or more nodes, band by band. Node i is signatures[rows[i]]."""
    starts = range(0, banding.bands * banding.width, banding.width)
    found = list(
        _some_ahead(
            lambda start: groups_of_equal(_keys(signatures[rows, start : start + banding.width])),
            starts,
        )
    )
    return np.concatenate([members for members, _ in found]), np.concatenate([sizes for _, sizes in found])


def band_keys(signatures: npt.NDArray[np.uint16], banding: Banding) -> UInt64s:
    """The key of each signature in each band, [bands, signatures]: equal in a band for those that share a bucket."""
    bands, width = banding
    return np.stack([_keys(signatures[:, band * width : (band + 1) * width]) for band in range(bands)])


def _keys(signatures: npt.NDArray[np.uint16]) -> UInt64s:
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
