"""Texts of some rows, against a dict."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from sftdata.pipeline.columns.texts import RowTexts, coded

puts = st.lists(st.dictionaries(st.integers(0, 30), st.sampled_from(["a", "b", "", "ü"]), max_size=8), max_size=5)


@given(puts, st.integers(0, 31), st.integers(0, 31), st.booleans())
@settings(max_examples=200, deadline=None)
def test_texts_are_those_of_a_dict_that_is_updated(
    given_: list[dict[int, str]], first: int, last: int, as_codes: bool
) -> None:
    texts, expected = RowTexts(), dict[int, str]()
    for some in given_:
        rows = sorted(some)
        values = pa.array([some[row] for row in rows], pa.string())
        texts.put(np.array(rows, np.int64), values.dictionary_encode() if as_codes else values)
        expected.update(some)
    found = dict(texts.between(first, last))
    assert found == {row: text for row, text in expected.items() if first <= row < last}
    assert sum(len(rows) for rows, _ in texts.parts()) == sum(map(len, given_))


def test_the_valid_texts_of_a_column_are_put_from_a_row_on() -> None:
    texts = RowTexts()
    texts.put_valid(10, pa.chunked_array([[None, "x"], ["y", None]], pa.string()))
    texts.put_valid(14, pa.chunked_array([[None, None]], pa.string()))
    assert list(texts.between(0, 99)) == [(11, "x"), (12, "y")]


def test_values_are_coded_once_each() -> None:
    asked: list[int] = []

    def text(value: int) -> str:
        asked.append(value)
        return f"<{value}>"

    assert coded(np.array([7, 3, 7, 7]), text).to_pylist() == ["<7>", "<3>", "<7>", "<7>"]
    assert asked == [3, 7]
