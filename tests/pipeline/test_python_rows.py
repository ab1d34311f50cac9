"""Rows that are given as Python objects give the bytes that the same rows in a file give."""

from __future__ import annotations

import datetime
import decimal
import json
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from raw_rows import write_lines
from runs import ledger, prepare

import sftdata
from sftdata.errors import ConfigError, SourceError
from sftdata.read.python_rows import write_rows

CALL = {"id": "a", "type": "function", "function": {"name": "f", "arguments": {"x": 1}}}
ROWS: list[dict[str, Any]] = [
    {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ho \U0001f600"}]},
    {"messages": [{"role": "user", "content": "1+1?"}, {"role": "assistant", "content": "2"}]},
]


def table(name: str) -> Callable[[list[Any]], Any]:
    """What makes a table of a library from rows; the test skips where the library is absent."""
    module = pytest.importorskip(name)
    makers: dict[str, Callable[[list[Any]], Any]] = {
        "datasets": lambda rows: module.Dataset.from_list(rows),
        "pandas": lambda rows: module.DataFrame(rows),
        "pyarrow": lambda rows: module.Table.from_pylist(rows),
    }
    return makers[name]


@pytest.mark.parametrize("kind", ["list", "tuple", "generator", "datasets", "streamed", "pandas", "pyarrow", "splits"])
def test_any_form_of_rows_gives_the_bytes_of_a_file_with_them(tiny_tokenizer: Path, tmp_path: Path, kind: str) -> None:
    forms: dict[str, Callable[[], Any]] = {
        "list": lambda: ROWS,
        "tuple": lambda: tuple(ROWS),
        "generator": lambda: (row for row in ROWS),
        "datasets": lambda: table("datasets")(ROWS),
        "streamed": lambda: table("datasets")(ROWS).to_iterable_dataset(),
        "pandas": lambda: table("pandas")(ROWS),
        "pyarrow": lambda: table("pyarrow")(ROWS),
        "splits": lambda: {"train": ROWS, "test": ROWS[:1]},
    }
    file = prepare(tmp_path / "file", tiny_tokenizer, [str(write_lines(tmp_path / "rows.jsonl", ROWS))])
    made = prepare(tmp_path / "made", tiny_tokenizer, [{"rows": forms[kind]()}])
    assert made.dataset_hash == file.dataset_hash
    assert [row["where"] for row in ledger(tmp_path / "made")] == ["rows:1", "rows:2"]
    sftdata.verify(tmp_path / "made")


def test_the_manifest_counts_the_rows_and_has_their_hash_but_not_the_rows(tiny_tokenizer: Path, tmp_path: Path) -> None:
    manifest = prepare(tmp_path / "out", tiny_tokenizer, [{"rows": [{"prompt": "a", "completion": "b"}]}])
    (source,) = manifest.config["sources"]
    # printf '{"prompt": "a", "completion": "b"}\n' | sha256sum
    sha256 = "000693b3a77e54a3159f9beedf4a3d906bd5c550b760a13fa624723e1857a5eb"
    assert (source["path"], source["rows"]) == ("rows", {"count": 1, "sha256": sha256})


def test_several_sources_of_rows_have_names_of_their_own(tiny_tokenizer: Path, tmp_path: Path) -> None:
    prepare(tmp_path / "out", tiny_tokenizer, [{"rows": ROWS[:1]}, {"rows": ROWS[1:]}])
    assert [(row["source"], row["where"]) for row in ledger(tmp_path / "out")] == [
        ("rows", "rows:1"),
        ("rows-2", "rows-2:1"),
    ]


def test_rows_that_cannot_be_used_are_named_by_their_place(tiny_tokenizer: Path, tmp_path: Path) -> None:
    def refused(rows: Any, **settings: Any) -> str:
        with pytest.raises(SourceError) as caught:
            prepare(tmp_path / "out", tiny_tokenizer, [{"rows": rows, **settings}])
        return str(caught.value)

    assert refused([ROWS[0], {"a": {1, 2}}]) == "rows:2: cannot be written as JSON (it holds a set); convert it"
    assert refused(7) == "rows: is int, not rows; give a list of dicts, or a datasets.Dataset"
    assert refused({"train": ROWS}, split="dev").startswith(
        "rows: has no split dev; set split to one that it has: train"
    )
    assert refused(ROWS, split="dev").startswith("rows: split: dev does nothing")
    assert refused([]).startswith("rows: holds no rows")
    assert refused([("q", "a")]).startswith("rows:1: is a tuple, not a dict; give dicts with the names of the columns")
    assert refused([[{"role": "user", "content": "q"}]]).startswith("rows:1: is a list, not a dict; give dicts")
    assert refused(["q", "a"]) == "rows:1: is a str, not a dict; give dicts with the names of the columns"
    assert refused([{"question": "a", "answer": "b"}]).startswith("rows: none of its rows is a conversation")
    assert not (tmp_path / "out").exists() or [path.name for path in (tmp_path / "out").iterdir()] == [".work"]


def test_path_and_rows_together_are_an_error() -> None:
    with pytest.raises(ConfigError, match="path and rows are both given"):
        sftdata.parse_config({"tokenizer": "t", "out": "o", "sources": [{"path": "a.jsonl", "rows": ROWS}]})


def test_rows_without_a_mapping_are_a_source(tiny_tokenizer: Path, tmp_path: Path) -> None:
    config = sftdata.parse_config({"tokenizer": str(tiny_tokenizer), "sources": [ROWS], "out": str(tmp_path / "out")})
    assert sftdata.prepare(config, workers=1).manifest.counts.packed == 2


def test_values_of_python_are_written_as_other_files_have_them(tmp_path: Path) -> None:
    row = {
        "day": datetime.date(2026, 1, 2),
        "price": decimal.Decimal("1.50"),
        "raw": b"text",
        "pair": (1, 2),
        "long": 10**30,
        "tools": [CALL],
        5: float("nan"),
    }
    write_rows([row], tmp_path / "a.jsonl", "rows", None)
    written = json.loads((tmp_path / "a.jsonl").read_text())
    assert written.pop("5") != 0  # NaN, which reading takes for null
    assert written == {
        "day": "2026-01-02",
        "price": "1.50",
        "raw": "text",
        "pair": [1, 2],
        "long": 10**30,
        "tools": [CALL],
    }


def written(rows: Any, folder: Path) -> list[Any]:
    """The values of rows as they are written."""
    write_rows(rows, folder / "a.jsonl", "rows", None)
    return [json.loads(line) for line in (folder / "a.jsonl").read_text().splitlines()]


def test_values_of_numpy_and_pandas_are_written_as_a_table_of_arrow_has_them(tmp_path: Path) -> None:
    import numpy as np

    pandas = pytest.importorskip("pandas")
    narrow = np.array([0.1, 3.8], np.float32)
    assert written([{"x": narrow, "y": narrow[0], "z": np.float16(0.1), "n": np.int64(7)}], tmp_path) == [
        {"x": [0.1, 3.8], "y": 0.1, "z": 0.1, "n": 7}
    ]
    hour = pandas.Timedelta(minutes=90)
    frame = pandas.DataFrame({"x": narrow, "half": narrow.astype(np.float16), "span": [hour, None]})
    assert written(frame, tmp_path) == [
        {"x": 0.1, "half": 0.1, "span": "1:30:00"},
        {"x": 3.8, "half": 3.8, "span": None},
    ]
    twice = pandas.DataFrame([["Hi", "Ho", "He"]], columns=["prompt", "completion", "completion"])
    with pytest.raises(SourceError, match="rows: has two columns 'completion'; give each a different name"):
        written(twice, tmp_path)


def test_bytes_that_are_no_text_stay_those_of_a_file(tmp_path: Path) -> None:
    """As in Parquet, where a row with such a column is untrainable_content."""
    assert written([{"raw": b"\x89PNG", "id": uuid.UUID(int=1)}], tmp_path) == [
        {"raw": {"bytes": "iVBORw=="}, "id": "00000000-0000-0000-0000-000000000001"}
    ]
