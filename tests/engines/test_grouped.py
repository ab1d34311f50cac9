"""Rows of groups, against simple loops."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sftdata.engines.grouped import GroupedRows, GroupTask, rows_by_key
from sftdata.engines.stage import Piece


@given(st.lists(st.integers(-2, 4) | st.just((1 << 31) - 1), max_size=40))
@settings(max_examples=200, deadline=None)
def test_the_rows_of_each_key_come_in_order_and_negative_keys_are_left_out(keys: list[int]) -> None:
    found = [rows.tolist() for rows in rows_by_key(np.array(keys, np.int32))]
    assert found == [[row for row, own in enumerate(keys) if own == key] for key in sorted(set(keys)) if key >= 0]


def test_more_rows_than_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match="4,294,967,296 rows are too many"):
        next(rows_by_key(np.broadcast_to(np.int8(0), 1 << 32)))


def test_a_task_is_made_of_the_pieces_that_have_rows_of_the_group_and_is_the_same_where_it_was_sent() -> None:
    table = [Piece(Path(f"{name}.arrow"), 10, size, name) for name, size in (("a", 3), ("b", 0), ("c", 2), ("d", 4))]
    grouped = GroupedRows(table, np.array([0, 3, 3, 5]), pa.table({"x": range(9)}))
    waiting = GroupTask(grouped, np.array([1, 2, 7], np.uint32), Path("out.arrow"), "key")
    for task in (waiting.whole(), pickle.loads(pickle.dumps(waiting))):
        assert [(piece.key, rows.tolist()) for piece, rows in task.parts] == [("a", [1, 2]), ("d", [2])]
        assert task.beside.to_pydict() == {"x": [1, 2, 7]}
        assert (task.out, task.key, task.is_group) == (Path("out.arrow"), "key", True)
    assert waiting.num_rows == 3
