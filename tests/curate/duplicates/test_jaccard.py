"""Similarities of rows, and lists that are read from the columns of mapped files, against plain Python."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from sftdata.curate.duplicates import jaccard
from sftdata.curate.duplicates.jaccard import Jaccard, MappedLists

values = st.lists(st.integers(0, (1 << 64) - 1), max_size=5)


@given(st.lists(st.lists(values, max_size=4), min_size=1, max_size=4).filter(any), st.booleans(), st.data())
def test_lists_of_many_chunks_are_those_of_plain_python(
    chunks: list[list[list[int]]], is_sliced: bool, data: st.DataObject
) -> None:
    kind = pa.list_(pa.uint64())
    arrays = [pa.array([[7, 7, 7], *chunk], kind).slice(1) if is_sliced else pa.array(chunk, kind) for chunk in chunks]
    flat = [one for chunk in chunks for one in chunk]
    positions = data.draw(st.permutations(range(len(flat))))  # list i is at positions[i]
    lists = MappedLists(pa.chunked_array(arrays, kind), np.array(positions))
    wanted = data.draw(st.lists(st.integers(0, len(flat) - 1), min_size=1, max_size=6))
    found, offsets = lists(np.array(wanted))
    assert [found[a:b].tolist() for a, b in zip(offsets, offsets[1:])] == [flat[positions[i]] for i in wanted]


@given(st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=8), min_size=1, max_size=12), st.integers(1, 6))
def test_similarities_are_those_of_sets_whatever_the_size_of_the_cache(lists: list[list[int]], kept: int) -> None:
    def fetch(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        found = [lists[row] for row in rows.tolist()]
        return np.concatenate(found).astype(np.uint64), np.cumsum([0, *map(len, found)])

    limits = jaccard.ROWS_AT_ONCE, jaccard.KEPT_HASHES
    jaccard.ROWS_AT_ONCE, jaccard.KEPT_HASHES = 3, kept
    try:
        similarity = Jaccard(fetch)
        rows = np.arange(len(lists))
        similarity.prepare(rows)
        for row in rows.tolist():
            own = set(lists[row])
            expected = [len(own & set(other)) / len(own | set(other)) for other in lists]
            assert similarity(row, rows).tolist() == expected
    finally:
        jaccard.ROWS_AT_ONCE, jaccard.KEPT_HASHES = limits
