"""Semantic duplicates: records that mean the same in other words, by the cosine of their texts' embeddings.

Off by default: which texts mean the same is the encoder's opinion, and nothing confirms it, as the true Jaccard
similarity does for near-duplicates.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from sftdata.curate.duplicates.embedding import Floats
from sftdata.curate.duplicates.near import Verdict

Ints = npt.NDArray[np.int64]
Cosines = npt.NDArray[np.float64]

DECIMALS = 4  # of a cosine: another order of summation, or another processor, changes the seventh
_ROWS_AT_ONCE = 1024
_KEPT_BYTES = 64 << 20  # of kept rows' vectors in memory at a time


def find_semantic_duplicates(
    vectors: Floats, embedded: npt.NDArray[np.bool_], preference: Ints, threshold: float
) -> Verdict:
    """Which rows are dropped as semantic duplicates, and of which kept row.

    Rows are taken in the order of `preference`. A row is dropped if its cosine to an earlier kept row, rounded to
    DECIMALS, reaches the threshold. It is a duplicate of the closest one; of several equally close, the first. Every
    row is compared with every kept row (faiss, IndexFlatIP), so the time grows with rows times kept rows. A cluster
    holds a dropped row and all kept rows close to it. Rows that are not embedded, or not in `preference`, are kept and
    not compared.

    Memory: besides the vectors, which may be memory-mapped, 40 bytes per row, 150 MB, and the pairs at the threshold
    of _ROWS_AT_ONCE rows.
    """
    nodes = preference[embedded[preference]]
    verdict = Verdict.of_rows(len(vectors))
    kept = np.empty(len(nodes), np.int64)
    num_kept = 0
    for start in range(0, len(nodes), _ROWS_AT_ONCE):
        block = nodes[start : start + _ROWS_AT_ONCE]
        own = np.ascontiguousarray(vectors[block])
        block_cosines = _rounded(own @ own.T)
        newly_kept: list[int] = []  # places in the block
        for place, (earlier, cosines) in enumerate(_close_kept_rows(own, vectors, kept[:num_kept], threshold)):
            row, new_cosines = block[place], block_cosines[place, newly_kept]
            is_close = new_cosines >= threshold
            close = np.concatenate([earlier, block[newly_kept][is_close]])
            if len(close) == 0:
                newly_kept.append(place)
                continue
            values = np.concatenate([cosines, new_cosines[is_close]])
            best = int(values.argmax())
            verdict.duplicate_of[row], verdict.similarity[row] = close[best], min(float(values[best]), 1.0)
            _join_clusters(verdict.cluster, [*close.tolist(), int(row)])
        kept[num_kept : num_kept + len(newly_kept)] = block[newly_kept]
        num_kept += len(newly_kept)
    while True:  # until every row points to the root of its cluster
        parents = verdict.cluster[verdict.cluster]
        if np.array_equal(parents, verdict.cluster):
            return verdict
        verdict.cluster[:] = parents


def _close_kept_rows(own: Floats, vectors: Floats, kept: Ints, threshold: float) -> Iterator[tuple[Ints, Cosines]]:
    """For each of some vectors, the kept rows whose cosine reaches the threshold, in order, and these cosines."""
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
    """Cosines rounded to DECIMALS."""
    return np.asarray(np.round(cosines.astype(np.float64), DECIMALS), np.float64)


def _join_clusters(cluster: Ints, rows: list[int]) -> None:
    """Join the clusters of the rows (union-find: `cluster` holds each row's parent)."""
    roots = []
    for row in rows:
        while cluster[row] != row:
            row = int(cluster[row])
        roots.append(row)
    cluster[roots] = min(roots)
