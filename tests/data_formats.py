"""The same rows in every format that is read: files, saved datasets, and objects of Python."""

from __future__ import annotations

import csv
import gzip
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from sftdata.config import SourceConfig
from sftdata.read import plan_units, rows_of
from sftdata.read.python_rows import write_rows
from sftdata.records.record import Row

RawRow = dict[str, Any]
Source = dict[str, Any]
Writer = Callable[[list[RawRow], pa.Schema, Path], Source]


def read(source: Source, folder: Path) -> list[Row]:
    """The rows of a source, as `prepare` reads it."""
    if "rows" in source:
        write_rows(source["rows"], folder / "rows.jsonl", "rows", None)
        source = {"path": str(folder / "rows.jsonl")}
    config = SourceConfig(**source)
    return [row for unit in plan_units([config]) for row in rows_of(unit, config)]


def without_nan(value: Any) -> Any:
    """A value without numbers that are none, which Python text cannot say."""
    if isinstance(value, dict):
        return {key: without_nan(item) for key, item in value.items()}
    if isinstance(value, list):
        return [without_nan(item) for item in value]
    return None if value != value else value


def as_json_lines(rows: list[RawRow], schema: pa.Schema, folder: Path) -> Source:
    path = folder / "data.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return {"path": str(path)}


def as_compressed_lines(rows: list[RawRow], schema: pa.Schema, folder: Path) -> Source:
    """With the letters of all languages as they are."""
    text = "".join(json.dumps(row, ensure_ascii=False) + "\r\n" for row in rows)
    (folder / "data.jsonl.gz").write_bytes(gzip.compress(text.encode()))
    return {"path": str(folder / "data.jsonl.gz")}


def as_json(rows: list[RawRow], schema: pa.Schema, folder: Path) -> Source:
    path = folder / "data.json"
    path.write_text(json.dumps(rows, indent=1))
    return {"path": str(path)}


def frame_of(rows: list[RawRow], schema: pa.Schema) -> Any:
    """The rows as a table of pandas, whose columns hold what they are given."""
    import pandas as pd

    return pd.DataFrame([{name: row.get(name) for name in schema.names} for row in rows], dtype=object)


def as_pandas_json(orient: str) -> Writer:
    """JSON as pandas writes it. It has no -0.0."""

    def write(rows: list[RawRow], schema: pa.Schema, folder: Path) -> Source:
        frame = frame_of(rows, schema)
        frame.to_json(folder / "data.json", orient=orient, double_precision=15)
        return {"path": str(folder / "data.json")}

    write.__name__ = f"as_pandas_json_{orient}"
    return write


def as_csv(rows: list[RawRow], schema: pa.Schema, folder: Path, suffix: str = "csv", mark: str = ",") -> Source:
    """Cells are JSON, but for text and for nothing; numbers as spreadsheets write them, and an empty cell for NaN."""
    path = folder / f"data.{suffix}"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, delimiter=mark)
        writer.writerow(schema.names)
        for row in rows:
            cells = [row.get(name) for name in schema.names]
            writer.writerow(
                [
                    "" if cell is None or cell != cell else cell if isinstance(cell, str) else json.dumps(cell)
                    for cell in cells
                ]
            )
    return {"path": str(path)}


def as_tsv(rows: list[RawRow], schema: pa.Schema, folder: Path) -> Source:
    return as_csv(rows, schema, folder, "tsv", "\t")


def as_python_text(rows: list[RawRow], schema: pa.Schema, folder: Path) -> Source:
    """Cells as pandas' to_csv writes lists: the text of Python."""
    path = folder / "data.csv"
    frame_of(without_nan(rows), schema).to_csv(path, index=False, quoting=csv.QUOTE_NONNUMERIC)
    return {"path": str(path)}


def as_parquet(rows: list[RawRow], schema: pa.Schema, folder: Path) -> Source:
    pq.write_table(pa.Table.from_pylist(rows, schema), folder / "data.parquet", row_group_size=3)
    return {"path": str(folder / "data.parquet")}


def as_arrow_stream(rows: list[RawRow], schema: pa.Schema, folder: Path) -> Source:
    table = pa.Table.from_pylist(rows, schema)
    with pa.OSFile(str(folder / "data.arrow"), "wb") as file, pa.ipc.new_stream(file, schema) as writer:
        writer.write_table(table)
    return {"path": str(folder / "data.arrow")}


def as_arrow_file_of_large_types(rows: list[RawRow], schema: pa.Schema, folder: Path) -> Source:
    """As polars writes it: large texts and lists, and texts that are stored once for all."""
    large = pa.schema([(field.name, _large(field.type)) for field in schema])
    table = pa.Table.from_pylist(rows, large)
    with pa.OSFile(str(folder / "data.arrow"), "wb") as file, pa.ipc.new_file(file, large) as writer:
        writer.write_table(table, max_chunksize=2)
    return {"path": str(folder / "data.arrow")}


def _large(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_string(kind):
        return pa.large_string()
    if pa.types.is_list(kind):
        return pa.large_list(_large(kind.value_type))
    if pa.types.is_struct(kind):
        role = pa.dictionary(pa.int8(), pa.string())
        fields = [kind.field(at) for at in range(kind.num_fields)]
        return pa.struct([(field.name, role if field.name == "role" else _large(field.type)) for field in fields])
    return kind


def dataset_of(rows: list[RawRow], schema: pa.Schema) -> Any:
    from datasets import Dataset

    return Dataset(pa.Table.from_pylist(rows, schema))


def as_saved_dataset(rows: list[RawRow], schema: pa.Schema, folder: Path) -> Source:
    dataset_of(rows, schema).save_to_disk(str(folder / "saved"))
    return {"path": str(folder / "saved")}


def as_saved_splits(rows: list[RawRow], schema: pa.Schema, folder: Path) -> Source:
    """A DatasetDict: the split `train`, whose rows are chosen by indices, beside one that is not asked for."""
    from datasets import DatasetDict

    given = dataset_of([*reversed(rows), rows[0]], schema)
    train = given.select(range(len(rows) - 1, -1, -1))
    DatasetDict({"train": train, "test": given.select([len(rows)])}).save_to_disk(str(folder / "saved"))
    return {"path": str(folder / "saved")}


def as_json_columns(rows: list[RawRow], schema: pa.Schema, folder: Path) -> Source:
    """A Dataset whose columns of objects are of the type Json, as `datasets` makes them where types differ."""
    from datasets import Dataset, Features, Json, Value

    kinds = {field.name: Value("string") if pa.types.is_string(field.type) else Json() for field in schema}
    full = [{name: row.get(name) for name in schema.names} for row in without_nan(rows)]
    Dataset.from_list(full, features=Features(kinds)).to_parquet(folder / "data.parquet")
    return {"path": str(folder / "data.parquet")}


def as_objects(rows: list[RawRow], schema: pa.Schema, folder: Path) -> Source:
    return {"rows": rows}


def as_dataset(rows: list[RawRow], schema: pa.Schema, folder: Path) -> Source:
    return {"rows": dataset_of(rows, schema)}


def as_frame(rows: list[RawRow], schema: pa.Schema, folder: Path) -> Source:
    return {"rows": frame_of(rows, schema)}


def as_table(rows: list[RawRow], schema: pa.Schema, folder: Path) -> Source:
    return {"rows": pa.Table.from_pylist(rows, schema)}


# The first is what the others are compared with.
WRITERS: tuple[Writer, ...] = (
    as_json_lines,
    as_compressed_lines,
    as_json,
    as_csv,
    as_tsv,
    as_python_text,
    as_parquet,
    as_arrow_stream,
    as_arrow_file_of_large_types,
    as_saved_dataset,
    as_saved_splits,
    as_objects,
    as_dataset,
    as_frame,
    as_table,
)
# JSON that is written by libraries of their own, which have no -0.0.
OTHER_JSON: tuple[Writer, ...] = (*map(as_pandas_json, ("records", "split", "index", "columns")), as_json_columns)


def emptied(folder: Path) -> Path:
    """A folder without what was in it."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder
