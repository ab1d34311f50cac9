"""Columns that are read from their files some rows at a time."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from sftdata.engines.engine import TaskEngine
from sftdata.engines.local import ThisProcess
from sftdata.engines.stage import Piece
from sftdata.pipeline.columns import in_files
from sftdata.pipeline.columns.in_files import ColumnsInFiles, in_batches


@pytest.fixture
def engine(tmp_path: Path) -> TaskEngine:
    return TaskEngine(tmp_path, ThisProcess())


@pytest.fixture
def table(engine: TaskEngine) -> list[Piece]:
    """Nine rows in pieces of 3, 0, 2 and 4."""
    return engine.give(pa.table({"x": range(9), "y": [None] * 9}), sizes=[3, 0, 2, 4])


def test_any_rows_can_be_read(engine: TaskEngine, table: list[Piece]) -> None:
    columns = ColumnsInFiles(engine, table, ["x"])
    for first in range(10):
        for last in range(first, 10):
            assert columns.rows(first, last)["x"].to_pylist() == list(range(first, last))


@pytest.mark.parametrize("at_a_time", [1, 2, 3, 100])
def test_batches_are_all_rows_in_order(
    engine: TaskEngine, table: list[Piece], at_a_time: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(in_files, "PIECES_AT_A_TIME", at_a_time)
    batches = list(in_batches(engine, table, ["x"]))
    assert [row for _, batch in batches for row in batch["x"].to_pylist()] == list(range(9))
    assert all(batch["x"].to_pylist() == list(range(first, first + len(batch))) for first, batch in batches)
    assert list(in_batches(engine, [], ["x"])) == []
