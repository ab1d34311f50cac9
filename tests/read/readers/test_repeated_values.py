"""Tables that hold a long value once and show it in many rows: a batch is bounded by what it becomes when decoded."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sftdata.read.readers.arrow_values import largest_row, longest_in_dictionaries, repeats_values
from sftdata.read.readers.tables import read_arrow, read_parquet, read_saved
from sftdata.read.units import RawRow, Unit

MB = 1 << 20
LONG = "x" * MB
ROWS = 256  # with the long text in each: 256 MB
QUESTIONS = [f"q{number}" for number in range(ROWS)]


def repeated() -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.array([0] * ROWS, pa.int32()), pa.array([LONG]))


def write_ipc(table: pa.Table, path: Path) -> None:
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)


def unit(path: Path, kind: str, **more: Any) -> Unit:
    return Unit(source=0, path=str(path), name=path.name, kind=kind, compression=None, **more)


def read_by_row(rows: Iterator[RawRow]) -> tuple[list[tuple[int, Any, int]], float]:
    """Each row's number, its short value and the length of the long one; and the most memory in use, in MB."""
    found, most = [], 0
    before = pa.total_allocated_bytes()
    tracemalloc.start()
    for line, value, drop in rows:
        assert drop is None
        assert isinstance(value, dict)
        text = value["completion"]
        found.append((line, value["prompt"], len(text if isinstance(text, str) else text[-1]["content"])))
        most = max(most, pa.total_allocated_bytes() - before)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return found, (most + peak) / MB


ALL = [(number + 1, f"q{number}", len(LONG)) for number in range(ROWS)]


@pytest.mark.parametrize("shape", ["text", "dictionary", "turns", "late"])
def test_a_parquet_file_of_one_long_text_in_every_row_takes_little_memory(tmp_path: Path, shape: str) -> None:
    path = tmp_path / "a.parquet"
    expected = ALL
    if shape == "text":  # its dictionary is the writer's own
        column: Any = [LONG] * ROWS
    elif shape == "turns":
        column = [[{"role": "user", "content": "hi"}, {"role": "assistant", "content": LONG}]] * ROWS
    elif shape == "late":  # short ones first, from which nothing can be learned
        column = ["short"] * 200 + [LONG] * (ROWS - 200)
        expected = [(line, text, 5 if line <= 200 else size) for line, text, size in ALL]
    else:
        column = repeated()
    pq.write_table(pa.table({"prompt": QUESTIONS, "completion": column}), path)
    assert path.stat().st_size < MB
    found, most = read_by_row(read_parquet(unit(path, "parquet")))
    assert found == expected
    assert most < 150


@pytest.mark.parametrize("shape", ["dictionary", "runs"])
def test_an_arrow_file_of_one_long_text_in_every_row_takes_little_memory(tmp_path: Path, shape: str) -> None:
    column = repeated()
    if shape == "runs":
        column = pa.RunEndEncodedArray.from_arrays(pa.array([ROWS], pa.int32()), pa.array([LONG]))
    write_ipc(pa.table({"prompt": QUESTIONS, "completion": column}), tmp_path / "a.arrow")
    found, most = read_by_row(read_arrow(unit(tmp_path / "a.arrow", "arrow")))
    assert found == ALL
    assert most < 150


def test_indices_of_a_saved_dataset_that_repeat_a_long_row_take_little_memory(tmp_path: Path) -> None:
    write_ipc(pa.table({"prompt": ["q"], "completion": [LONG]}), tmp_path / "data.arrow")
    write_ipc(pa.table({"indices": pa.array([0] * ROWS, pa.uint64())}), tmp_path / "indices.arrow")
    paths = {"tables": (str(tmp_path / "data.arrow"),), "indices": (str(tmp_path / "indices.arrow"),)}
    found, most = read_by_row(read_saved(unit(tmp_path / "state.json", "saved", **paths)))
    assert found == [(number + 1, "q", len(LONG)) for number in range(ROWS)]
    assert most < 150


def test_row_groups_of_any_make_give_every_row_once_and_in_order(tmp_path: Path) -> None:
    texts = ["a", None, LONG, "b", "", LONG, "c", None] * 8
    notes = [[], [{"text": "n"}], None, [{"text": LONG}, {"text": None}]] * 16
    table = pa.table(
        {"n": range(64), "text": texts, "notes": pa.array(notes, pa.list_(pa.struct({"text": pa.string()})))}
    )
    for size in (1, 3, 7, 64):
        pq.write_table(table, tmp_path / "a.parquet", row_group_size=size)
        rows = [(row.line, row.value) for row in read_parquet(unit(tmp_path / "a.parquet", "parquet"))]
        assert [line for line, _ in rows] == [*range(1, 65)]
        assert [value["n"] for _, value in rows if isinstance(value, dict)] == [*range(64)]
        assert [value["text"] for _, value in rows if isinstance(value, dict)] == texts


def test_a_bound_on_the_size_of_a_row_counts_what_is_shown_and_not_what_is_held() -> None:
    words = pa.DictionaryArray.from_arrays(pa.array([1, 0, None], pa.int32()), pa.array(["ab", "abcdef"]))
    turns = pa.ListArray.from_arrays(pa.array([0, 2, 3, 3], pa.int32()), words)
    batch = pa.record_batch({"words": words, "turns": turns, "n": pa.array([1, 2, 3])})
    assert [repeats_values(field.type) for field in batch.schema] == [True, True, False]
    assert largest_row(batch) == 6 + 2 * 6 + 16
    assert [longest_in_dictionaries(column) for column in batch.columns] == [6, 6, 0]
    pairs = pa.array([[("a", "bcd")], [("a", "b"), ("c", "d")]], pa.map_(pa.string(), pa.string()))
    assert largest_row(pa.record_batch({"pairs": pairs})) == 2 * (1 + 3)
    fields = pa.array([{"a": "abc", "b": b"1234"}, None])
    assert largest_row(pa.record_batch({"fields": fields})) == 3 + 4
    views = pa.record_batch({"views": pa.array(["a", "b" * 40, "c"], pa.string_view()).slice(1)})
    assert (largest_row(views), repeats_values(views.schema.field(0).type)) == (40, True)
