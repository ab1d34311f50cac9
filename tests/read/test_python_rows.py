"""Rows of Python objects as JSON lines: missing cells, indices, numbers, media, and what can be read only once."""

from __future__ import annotations

import json
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from datasets import Audio, Dataset, DatasetDict, Features, Image, List, Value

from sftdata.errors import SourceError
from sftdata.read.python_rows import write_rows


def written(rows: Any, folder: Path, **settings: Any) -> list[Any]:
    """The values of rows as they are written."""
    count, _ = write_rows(rows, folder / "a.jsonl", "rows", settings.pop("split", None), **settings)
    lines = (folder / "a.jsonl").read_text().splitlines()
    assert count == len(lines)
    return [json.loads(line, parse_constant=str) for line in lines]


def refused(rows: Any, folder: Path, **settings: Any) -> str:
    with pytest.raises(SourceError) as caught:
        written(rows, folder, **settings)
    return str(caught.value)


def test_missing_cells_of_pandas_are_null_whatever_their_type(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {
            "text": ["a", None],
            "number": [0.5, np.nan],
            "object": [{"a": [1, None]}, np.nan],
            "day": pd.to_datetime(["2026-01-02", None]),
            "whole": pd.array([1, None], "Int64"),
            "flag": pd.array([True, None], "boolean"),
            "kind": pd.Categorical(["x", None]),
        }
    )
    first = {"text": "a", "number": 0.5, "object": {"a": [1, None]}, "day": "2026-01-02T00:00:00", "whole": 1}
    assert written(frame, tmp_path) == [
        {**first, "flag": True, "kind": "x"},
        dict.fromkeys(["text", "number", "object", "day", "whole", "flag", "kind"]),
    ]


def test_whole_numbers_beside_missing_cells_are_whole_and_a_note_says_so(tmp_path: Path) -> None:
    frame = pd.DataFrame([{"id": 7, "score": 2.5, "full": 1.0}, {"id": None, "score": None, "full": 2.0}])
    notes: list[str] = []
    assert written(frame, tmp_path, note=notes.append) == [
        {"id": 7, "score": 2.5, "full": 1.0},
        {"id": None, "score": None, "full": 2.0},
    ]
    assert [type(row["full"]) for row in written(frame, tmp_path)] == [float, float]
    assert notes == ["whole numbers in columns with missing cells are read as 1, not as the 1.0 that pandas has: id"]


@pytest.mark.parametrize("value", [2.0**53, float("inf"), 0.5])
def test_a_column_with_another_number_keeps_its_floats(tmp_path: Path, value: float) -> None:
    frame = pd.DataFrame({"n": [1.0, None, value]})
    assert [type(row["n"]) for row in written(frame, tmp_path)][:2] == [float, type(None)]


def test_an_index_is_a_column_only_if_it_has_a_name(tmp_path: Path) -> None:
    frame = pd.DataFrame({"prompt": ["a", "b", "c"], "user": [1, 2, 3]})
    assert written(frame[frame.user > 1], tmp_path) == [{"prompt": "b", "user": 2}, {"prompt": "c", "user": 3}]
    assert written(frame.set_index("user")[:1], tmp_path) == [{"user": 1, "prompt": "a"}]
    levels = pd.DataFrame({"x": [1]}, index=pd.MultiIndex.from_tuples([("p", 0)], names=["a", None]))
    assert written(levels, tmp_path) == [{"a": "p", "x": 1}]
    clash = pd.DataFrame({"user": [1]}, index=pd.Index(["k"], name="user"))
    assert refused(clash, tmp_path) == "rows: has two columns 'user'; give each a different name"
    nested = pd.DataFrame([[1]], columns=pd.MultiIndex.from_tuples([("a", "b")]))
    assert refused(nested, tmp_path).startswith("rows: has columns with names in several levels")


def test_many_rows_of_a_frame_are_written_in_their_order(tmp_path: Path) -> None:
    frame = pd.DataFrame({"n": range(2500)}).iloc[::-1]
    assert [row["n"] for row in written(frame, tmp_path)] == list(range(2499, -1, -1))


def test_values_of_numpy_are_those_of_python(tmp_path: Path) -> None:
    row = {
        "list": np.array([{"role": "user", "content": "a", "n": np.int64(3)}], dtype=object),
        "nested": [np.array([1, 2]), np.array([True])],
        "day": np.datetime64("2026-01-02"),
        "time": np.datetime64("2026-01-02T03:04:05.000000006", "ns"),
        "none": np.datetime64("NaT"),
        "text": np.str_("x"),
    }
    assert written([row], tmp_path) == [
        {
            "list": [{"role": "user", "content": "a", "n": 3}],
            "nested": [[1, 2], [True]],
            "day": "2026-01-02",
            "time": "2026-01-02T03:04:05",
            "none": None,
            "text": "x",
        }
    ]


def test_mappings_of_other_types_are_objects(tmp_path: Path) -> None:
    assert written([MappingProxyType({"a": MappingProxyType({"b": 1})})], tmp_path) == [{"a": {"b": 1}}]


def test_a_table_of_one_large_chunk_is_written_whole(tmp_path: Path) -> None:
    table = pa.table({"n": list(range(3001))})
    for rows in (table, table.to_reader(), table.to_batches()[0], Dataset(table)):
        assert [row["n"] for row in written(rows, tmp_path)] == list(range(3001))


def test_two_columns_of_one_name_are_refused_in_every_table(tmp_path: Path) -> None:
    table = pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["a", "a"])
    for rows in (table, table.to_reader(), table.to_batches()[0]):
        assert refused(rows, tmp_path) == "rows: has two columns 'a'; give each a different name"


def test_what_can_be_read_once_is_not_read_twice(tmp_path: Path) -> None:
    generator = ({"n": n} for n in range(3))
    reader = pa.table({"n": [1]}).to_reader()
    for rows, name in ((generator, "generator"), (reader, "RecordBatchReader")):
        written(rows, tmp_path)
        what = f"rows: is a {name}, which can be read only once, and was read before; give it anew"
        assert refused(rows, tmp_path).startswith(what)
    mapped = map(dict, [[("n", 1)]])  # takes no weak reference
    written(mapped, tmp_path)
    assert refused(mapped, tmp_path) == "rows: holds no rows; it can be read only once: give it anew, or as a list"
    assert written([{"n": 1}], tmp_path) == [{"n": 1}]


def test_rows_that_are_left_of_a_stopped_run_are_not_taken_for_all(tmp_path: Path) -> None:
    def rows() -> Any:
        yield {"n": 1}
        yield {"n": {2}}
        yield {"n": 3}

    given = rows()
    assert refused(given, tmp_path).startswith("rows:2: cannot be written as JSON (it holds a set)")
    assert "was read before" in refused(given, tmp_path)


PIXEL = b"\x89PNG\r\n\x1a\n"


@pytest.mark.parametrize(
    ("name", "feature", "value"),
    [
        ("picture", Image(decode=False), {"bytes": PIXEL, "path": None}),
        ("recording", Audio(decode=False), {"bytes": None, "path": "a.wav"}),
        ("pages", List(Image(decode=False)), [{"bytes": PIXEL, "path": None}]),
    ],
)
def test_pictures_and_sound_of_datasets_are_refused_by_the_name_of_their_column(
    tmp_path: Path, name: str, feature: Any, value: Any
) -> None:
    features = Features({"prompt": Value("string"), name: feature})
    rows = [{"prompt": "a", name: None}, {"prompt": "b", name: value}]
    given = Dataset(pa.Table.from_pylist(rows, features.arrow_schema))
    kind = "Audio" if name == "recording" else "Image"
    assert refused(given, tmp_path) == (
        f"rows:2: has a value of type {kind} in the column {name}, which cannot be trained on; "
        f"remove the column with remove_columns('{name}'), or name it in keep to train on the text alone"
    )
    assert len(written(given, tmp_path, keep=[name])) == 2
    assert [row["prompt"] for row in written(given.select([0]), tmp_path)] == ["a"]
    assert [row["prompt"] for row in written(given.remove_columns(name), tmp_path)] == ["a", "b"]


def test_splits_are_chosen_by_name(tmp_path: Path) -> None:
    splits = DatasetDict({"train": Dataset.from_list([{"n": 1}]), "dev": Dataset.from_list([{"n": 2}])})
    assert written(splits, tmp_path) == [{"n": 1}]
    assert written(splits, tmp_path, split="dev") == [{"n": 2}]
    assert refused(splits, tmp_path, split="test").startswith("rows: has no split test; set split to one that it has:")
    columns = {"prompt": ["a"], "completion": ["b"]}
    assert refused(columns, tmp_path).endswith("if these are columns, give a list of rows")


def test_what_is_no_row_is_named(tmp_path: Path) -> None:
    assert refused([{"a": {1}, "b": 2}], tmp_path) == (
        "rows:1: cannot be written as JSON (it holds a set, in the column 'a'); convert it"
    )
    assert refused([Path("a.jsonl")], tmp_path).endswith("give paths as a list, or a glob as a text")
    assert refused([], tmp_path) == "rows: holds no rows; give at least one row"
    assert refused(pd.Series(["a"]), tmp_path).startswith("rows:1: is a str, not a dict")
    assert written(pd.Series([{"a": 1}]), tmp_path) == [{"a": 1}]


def test_rows_of_polars_are_those_of_arrow(tmp_path: Path) -> None:
    polars = pytest.importorskip("polars")
    frame = polars.DataFrame({"n": [1, None], "x": [0.5, None], "turns": [[{"role": "user", "content": "a"}], []]})
    assert written(frame, tmp_path) == [
        {"n": 1, "x": 0.5, "turns": [{"role": "user", "content": "a"}]},
        {"n": None, "x": None, "turns": []},
    ]
    assert refused(frame.lazy(), tmp_path) == "rows: is LazyFrame, not rows; call its method collect"
