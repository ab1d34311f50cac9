"""Values of Arrow's types as JSON has them, whichever file or table they come from."""

from __future__ import annotations

import datetime
import decimal
import json
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sftdata.errors import SourceError
from sftdata.read.python_rows import write_rows
from sftdata.read.readers.arrow_values import batch_rows, to_json_value
from sftdata.records.record import Drop

RawRows = Callable[[Path], list[tuple[Any, ...]]]
JSON = pa.json_()


def struct(**fields: Any) -> pa.StructArray:
    return pa.StructArray.from_arrays(list(fields.values()), names=list(fields))


def as_json(*texts: str | None) -> pa.Array:
    return pa.ExtensionArray.from_storage(JSON, pa.array(texts, pa.string()))


COLUMNS: dict[str, tuple[pa.Array, list[Any]]] = {
    "numbers of 32 bits": (
        pa.array([0.1, 3.8, 16777216.0, float("nan"), None], pa.float32()),
        [0.1, 3.8, 16777216.0, None, None],
    ),
    "numbers of 16 bits": (pa.array([0.1, -0.0], pa.float16()), [0.1, -0.0]),
    "numbers of 64 bits": (pa.array([0.1, 1e16, float("nan")]), [0.1, 1e16, None]),
    "numbers without a sign": (pa.array([2**64 - 1], pa.uint64()), [18446744073709551615]),
    "decimals": (pa.array([decimal.Decimal("1.50")]), ["1.50"]),
    "days": (pa.array([datetime.date(2026, 1, 2)]), ["2026-01-02"]),
    "times": (pa.array([1767323045678000000], pa.timestamp("ns")), ["2026-01-02T03:04:05.678000"]),
    "spans of time": (pa.array([datetime.timedelta(minutes=90)]), ["1:30:00"]),
    "text once for all": (pa.array(["a", "b", "a"]).dictionary_encode(), ["a", "b", "a"]),
    "large text": (pa.array(["a", None], pa.large_string()), ["a", None]),
    "views of text": (pa.array(["a", "b"], pa.string_view()), ["a", "b"]),
    "views of lists": (pa.array([[0.1], None], pa.list_view(pa.float32())), [[0.1], None]),
    "lists of one length": (pa.array([[0.1, 0.2]], pa.list_(pa.float32(), 2)), [[0.1, 0.2]]),
    "runs of one value": (pa.RunEndEncodedArray.from_arrays([2, 3], ["a", "b"]), ["a", "a", "b"]),
    "bytes": (pa.array([b"text", b"\xff"]), ["text", b"\xff"]),
    "maps": (pa.array([[("a", 0.1)], [], None], pa.map_(pa.string(), pa.float32())), [{"a": 0.1}, {}, None]),
    "structs": (struct(a=pa.array([1, None]), b=pa.array([None, [None, "x"]])), [{"a": 1}, {"b": [None, "x"]}]),
    "identifiers": (pa.array([b"0123456789abcdef"], pa.uuid()), ["30313233-3435-3637-3839-616263646566"]),
    "text that is JSON": (
        as_json('"Hi"', '[{"a": null}]', "7", None, "no JSON"),
        ["Hi", [{"a": None}], 7, None, "no JSON"],
    ),
    "structs of text that is JSON": (
        struct(role=pa.array(["user"]), content=as_json('"Hi"')),
        [{"role": "user", "content": "Hi"}],
    ),
    "nothing": (pa.nulls(2), [None, None]),
}


@pytest.mark.parametrize("kind", COLUMNS)
def test_a_column_of_any_type_has_the_values_of_json(kind: str) -> None:
    column, expected = COLUMNS[kind]
    found = [row["x"] for row in batch_rows(pa.record_batch({"x": column})) if not isinstance(row, Drop)]
    assert list(map(repr, found)) == list(map(repr, expected))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"text", "text"),
        (b"\xff", b"\xff"),
        (float("nan"), None),
        (1.5, 1.5),
        (datetime.datetime(2026, 1, 2, 3, 4), "2026-01-02T03:04:00"),
        (datetime.date(2026, 1, 2), "2026-01-02"),
        (datetime.timedelta(days=1, seconds=1), "1 day, 0:00:01"),
        (decimal.Decimal("1.50"), "1.50"),
        (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        ([("a", 1), ("b", {"c": None})], {"a": 1, "b": {}}),
        ({"a": None, "b": [{"c": None, "d": 0}]}, {"b": [{"d": 0}]}),
    ],
)
def test_values_of_python_become_json_values(value: object, expected: object) -> None:
    assert to_json_value(value) == expected


def test_a_value_that_cannot_be_read_costs_its_row(tmp_path: Path, raw_rows: RawRows) -> None:
    broken = pa.Array.from_buffers(pa.string(), 3, pa.array([b"a", b"\xff", b"c"]).buffers())
    days = pa.array([1, 1, 2**30], pa.int32()).cast(pa.date32())
    table = pa.table({"text": broken, "day": days})
    first, second, third = batch_rows(table.to_batches()[0])
    assert first == {"text": "a", "day": "1970-01-02"}
    assert second == Drop("bad_encoding", "its column 'text' holds the byte 0xFF, which is not UTF-8 here")
    assert isinstance(third, Drop) and third.reason == "wrong_type"
    assert str(third.detail).startswith("its column 'day' holds a value that cannot be read (")
    pq.write_table(table, tmp_path / "a.parquet")
    found = [(line, reason) for _, line, _, reason in raw_rows(tmp_path / "a.parquet")]
    assert found == [(1, None), (2, "bad_encoding"), (3, "wrong_type")]
    with pytest.raises(SourceError, match=r"^rows:2: cannot be read \(its column 'text' holds the byte 0xFF"):
        write_rows(table, tmp_path / "rows.jsonl", "rows", None)


@pytest.mark.parametrize(
    ("table", "name"),
    [
        (pa.Table.from_arrays([pa.array(["a"]), pa.array(["b"])], names=["text", "text"]), "text"),
        (pa.table({"turns": pa.array([[]], pa.list_(pa.struct([("x", pa.int8()), ("x", pa.int8())])))}), "turns.x"),
    ],
)
def test_two_columns_of_one_name_are_an_error(tmp_path: Path, raw_rows: RawRows, table: pa.Table, name: str) -> None:
    pq.write_table(table, tmp_path / "a.parquet")
    with pytest.raises(SourceError, match=f"has two columns '{name}'; give each a different name"):
        raw_rows(tmp_path / "a.parquet")
    with pytest.raises(SourceError, match=f"rows: has two columns '{name}'"):
        write_rows(table, tmp_path / "rows.jsonl", "rows", None)


def test_values_of_several_types_that_the_datasets_library_keeps_as_json_are_read(
    tmp_path: Path, raw_rows: RawRows
) -> None:
    datasets = pytest.importorskip("datasets")
    answer = [{"type": "text", "text": "Ho"}]
    rows = [
        {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": answer}]},
        {"messages": [{"role": "user", "content": "He"}, {"role": "assistant", "content": "Ha"}]},
    ]
    features = datasets.Features({"messages": [{"role": datasets.Value("string"), "content": datasets.Json()}]})
    data = datasets.Dataset.from_list(rows, features=features)
    data.to_parquet(tmp_path / "a.parquet")
    assert [value for _, _, value, _ in raw_rows(tmp_path / "a.parquet")] == rows
    write_rows(data, tmp_path / "rows.jsonl", "rows", None)
    assert [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text().splitlines()] == rows
