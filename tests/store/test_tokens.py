"""sftdata.store.tokens: gathered tokens equal those of a plain loop."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sftdata.records.labels import IGNORE, trained_runs
from sftdata.store.tokens import TokenColumns

Sample = list[tuple[int, bool]]  # the ids, and which of them are trained
samples_of = st.lists(st.lists(st.tuples(st.integers(0, 9), st.booleans()), max_size=6), max_size=6)


def ids_of(sample: Sample) -> list[int]:
    return [id_ for id_, _ in sample]


def labels_of(sample: Sample) -> list[int]:
    return [id_ if trained else IGNORE for id_, trained in sample]


def table_of(chunks: list[list[Sample]]) -> pa.Table:
    """The samples as encoding writes them, one chunk per list of samples."""
    lists = pa.list_(pa.int32())
    tables = []
    for samples in chunks:
        labels = np.array([label for sample in samples for label in labels_of(sample)], np.int32)
        edges, cuts = trained_runs(labels, np.cumsum([0, *map(len, samples)]))
        trained = pa.ListArray.from_arrays(pa.array(cuts, pa.int32()), pa.array(edges))
        tables.append(
            pa.table({"input_ids": pa.array([ids_of(sample) for sample in samples], lists), "trained": trained})
        )
    return pa.concat_tables(tables)


def test_trained_runs_are_the_starts_and_ends_within_each_sample() -> None:
    labels = np.array([IGNORE, 5, 6, IGNORE, 7, 8, 9, IGNORE, IGNORE], np.int32)
    edges, cuts = trained_runs(labels, np.array([0, 5, 5, 7, 9]))  # 7 is the last of one, 8 the first of another
    assert edges.tolist() == [1, 3, 4, 5, 0, 2]
    assert cuts.tolist() == [0, 4, 4, 6, 6]


@settings(deadline=None)
@given(st.lists(samples_of, min_size=1, max_size=3), st.data())
def test_gather_returns_ids_and_labels_of_any_samples_in_any_order(
    chunks: list[list[Sample]], data: st.DataObject
) -> None:
    every = [sample for samples in chunks for sample in samples]
    at = data.draw(st.lists(st.integers(0, len(every) - 1), max_size=8)) if every else []
    tokens = TokenColumns(table_of(chunks), np.array(at, np.int64))
    assert tokens.lengths.tolist() == [len(every[place]) for place in at]
    wanted = data.draw(st.permutations(range(len(at))))
    ids, labels = tokens.gather(np.array(wanted, np.int64))
    assert ids.tolist() == [id_ for number in wanted for id_ in ids_of(every[at[number]])]
    assert labels.tolist() == [label for number in wanted for label in labels_of(every[at[number]])]


@pytest.mark.parametrize("runs", [[2, 1], [1, 4], [0, 2, 1, 3], [1], [-1, 1]], ids=str)
def test_impossible_runs_are_rejected(runs: list[int]) -> None:
    lists = pa.list_(pa.int32())
    table = pa.table({"input_ids": pa.array([[1, 2, 3], [4, 5, 6]], lists), "trained": pa.array([runs, []], lists)})
    with pytest.raises(ValueError, match="a trained run"):
        TokenColumns(table, np.array([0, 1]))
