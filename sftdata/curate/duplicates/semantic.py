"""Semantic duplicates: records that say the same in other words, by the cosine of their texts' embeddings.

Off unless asked for: which texts mean the same is the encoder's opinion, and no second look proves it, as the true
Jaccard similarity does for near-duplicates.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from sftdata.curate.duplicates.embedding import Floats
from sftdata.curate.duplicates.near import Verdict

Ints = npt.NDArray[np.int64]
Cosines = npt.NDArray[np.float64]

DECIMALS = 4  # of a cosine: another order of summing, or another processor, changes the seventh
_ROWS_AT_ONCE = 1024
_KEPT_BYTES = 64 << 20  # of the kept rows' vectors in memory at once


def find_semantic_duplicates(
    vectors: Floats, embedded: npt.NDArray[np.bool_], preference: Ints, threshold: float
) -> Verdict:
    """Which rows are dropped as semantic duplicates, and of which kept row.

    Rows are taken in the order of `preference`: a row is dropped where its cosine to a row kept before it, rounded to
    DECIMALS, reaches the threshold; for the one it is closest to, and of several as close, the first. Every kept row is
    looked at (faiss, IndexFlatIP), so the time grows with rows times kept rows. A cluster holds the kept rows that some
    dropped row is close to, and that row. Rows that are not embedded, or not in `preference`, are kept and compared
    with nothing.

    Memory: besides the vectors, which may be mapped from a file, 40 bytes a row, 150 MB, and what _ROWS_AT_ONCE rows
    have in pairs at the threshold.
    """
    nodes = preference[embedded[preference]]
    rows = np.arange(len(vectors))
    verdict = Verdict(np.full(len(rows), -1, np.int64), np.full(len(rows), np.nan), rows)
    kept = np.empty(len(nodes), np.int64)
    num_kept = 0
    for start in range(0, len(nodes), _ROWS_AT_ONCE):
        block = nodes[start : start + _ROWS_AT_ONCE]
        own = np.ascontiguousarray(vectors[block])
        among = _rounded(own @ own.T)
        fresh: list[int] = []  # places in the block of rows that are kept
        for place, (before, cosines) in enumerate(_kept_before(own, vectors, kept[:num_kept], threshold)):
            row, own_cosines = block[place], among[place, fresh]
            near = own_cosines >= threshold
            close = np.concatenate([before, block[fresh][near]])
            if len(close) == 0:
                fresh.append(place)
                continue
            values = np.concatenate([cosines, own_cosines[near]])
            best = int(values.argmax())
            verdict.duplicate_of[row], verdict.similarity[row] = close[best], min(float(values[best]), 1.0)
            _unite(verdict.cluster, [*close.tolist(), int(row)])
        kept[num_kept : num_kept + len(fresh)] = block[fresh]
        num_kept += len(fresh)
    while True:
        above = verdict.cluster[verdict.cluster]
        if np.array_equal(above, verdict.cluster):
            return verdict
        verdict.cluster[:] = above


def _kept_before(own: Floats, vectors: Floats, kept: Ints, threshold: float) -> Iterator[tuple[Ints, Cosines]]:
    """For each of some vectors, the kept rows that reach the threshold, in their order, and their cosines."""
    import faiss

    found: list[list[tuple[Ints, Cosines]]] = [[] for _ in own]
    at_once = max(1, _KEPT_BYTES // own.strides[0])
    for start in range(0, len(kept), at_once):
        part = kept[start : start + at_once]
        index = faiss.IndexFlatIP(own.shape[1])
        index.add(np.ascontiguousarray(vectors[part]))
        limits, cosines, places = index.range_search(own, threshold - 10.0**-DECIMALS)
        for number, (begin, end) in enumerate(zip(limits[:-1].tolist(), limits[1:].tolist())):
            order = begin + np.argsort(places[begin:end])
            values = _rounded(cosines[order])
            found[number].append((part[places[order[values >= threshold]]], values[values >= threshold]))
    for parts in found:
        yield (
            np.concatenate([np.empty(0, np.int64), *(rows for rows, _ in parts)]),
            np.concatenate([np.empty(0), *(values for _, values in parts)]),
        )


def _rounded(cosines: npt.NDArray[np.float32]) -> Cosines:
    """Cosines with as many decimals as count."""
    return np.asarray(np.round(cosines.astype(np.float64), DECIMALS), np.float64)


def _unite(cluster: Ints, rows: list[int]) -> None:
    """Make one cluster of the rows' clusters."""
    tops = []
    for row in rows:
        while cluster[row] != row:
            row = int(cluster[row])
        tops.append(row)
    cluster[tops] = min(tops)
