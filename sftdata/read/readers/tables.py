"""Tables: CSV and TSV with the csv module, Parquet and Arrow with pyarrow, one batch at a time."""

from __future__ import annotations

import contextlib
import csv
import datetime
import decimal
import io
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from sftdata.errors import SourceError
from sftdata.read.readers.json_lines import MAX_LINE_BYTES
from sftdata.read.readers.open_files import HEAD_BYTES, is_url, open_unit, reject_lfs_pointer, reject_non_text
from sftdata.read.units import RawRow, Unit
from sftdata.records.record import Drop

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

_NULL = "\udc00"  # replaces null bytes, which the csv module of Python 3.10 rejects
_BATCH_ROWS = 1024


def read_delimited(unit: Unit) -> Iterator[RawRow]:
    """The rows of a CSV or TSV file with a header, as objects of strings; `line` is the first line of the row.

    A `.csv` file whose header has no comma may use semicolons or tabs, as spreadsheets write it.
    """
    with open_unit(unit.path, unit.name, unit.compression) as reader:
        reject_non_text(reader, unit.name)
        delimiter = "\t" if unit.kind == "tsv" else _delimiter(reader)
        text = io.TextIOWrapper(reader, encoding="utf-8-sig", errors="surrogateescape", newline="")
        csv.field_size_limit(MAX_LINE_BYTES)
        rows = csv.reader((line.replace("\0", _NULL) for line in text), delimiter=delimiter, strict=True)
        header: list[str] | None = None
        while True:
            line = rows.line_num + 1
            try:
                row = next(rows)
            except StopIteration:
                return
            except csv.Error as error:
                yield RawRow(line, None, Drop("bad_row", f"lines {line} to {rows.line_num}: {error}"))
                continue
            if not row:
                continue
            if header is None:
                header = _checked_header(row, f"{unit.name}:{line}")
            else:
                drop = _check_row(row, header)
                yield RawRow(line, None, drop) if drop else RawRow(line, dict(zip(header, row, strict=True)), None)


def _delimiter(reader: io.BufferedReader) -> str:
    header = reader.peek(HEAD_BYTES).lstrip().partition(b"\n")[0]
    return next((mark for mark in ",;\t" if mark.encode() in header), ",")


def _checked_header(header: list[str], where: str) -> list[str]:
    if any("\udc00" <= char <= "\udcff" for name in header for char in name):
        raise SourceError(where, "the header is not UTF-8 text", "save the file as UTF-8")
    twice = [name for name in dict.fromkeys(header) if header.count(name) > 1]
    if twice:
        raise SourceError(where, f"the header names {twice[0]!r} twice", "give every column a different name")
    return header


def _check_row(row: list[str], header: list[str]) -> Drop | None:
    """Why a row cannot be read under this header, or None."""
    for text in row:
        if text.isascii():
            continue
        if _NULL in text:
            return Drop("null_byte", f"in column {header[row.index(text)] if len(row) <= len(header) else '?'}")
        escaped = next((char for char in text if "\udc80" <= char <= "\udcff"), None)
        if escaped is not None:
            return Drop(
                "bad_encoding", f"the row holds the byte 0x{ord(escaped) - 0xDC00:02X}, which is not UTF-8 here"
            )
    if len(row) != len(header):
        return Drop("bad_row", f"{len(row)} fields where the header has {len(header)}")
    return None


def row_groups(path: str, name: str) -> list[tuple[int, int]]:
    """(rows, size in bytes) of each row group of a Parquet file."""
    with _open_parquet(path, name, None) as file:
        groups = (file.metadata.row_group(index) for index in range(file.metadata.num_row_groups))
        return [(group.num_rows, group.total_byte_size) for group in groups]


def read_parquet(unit: Unit) -> Iterator[RawRow]:
    """The rows of a Parquet file, or of the row groups that begin in the unit's range of rows."""
    with _open_parquet(unit.path, unit.name, unit.compression) as file:
        chosen, first_row = [], 0
        for index in range(file.metadata.num_row_groups):
            if first_row >= unit.start and (unit.end is None or first_row < unit.end):
                chosen.append(index)
            first_row += file.metadata.row_group(index).num_rows
        yield from _numbered(file.iter_batches(batch_size=_BATCH_ROWS, row_groups=chosen))


def read_arrow(unit: Unit) -> Iterator[RawRow]:
    """The rows of an Arrow IPC file or stream (`datasets` writes streams)."""
    import pyarrow as pa

    with _arrow_errors(unit.name), open_unit(unit.path, unit.name, unit.compression) as reader:
        head = reader.peek(8)
        reject_lfs_pointer(head.ljust(len(head)), unit.name)
        if head.startswith(b"ARROW1"):
            data: Any = reader if unit.compression is None and not is_url(unit.path) else io.BytesIO(reader.read())
            file = pa.ipc.open_file(data)
            yield from _numbered(file.get_batch(index) for index in range(file.num_record_batches))
        else:
            yield from _numbered(pa.ipc.open_stream(reader))


@contextlib.contextmanager
def _open_parquet(path: str, name: str, compression: str | None) -> Iterator[pq.ParquetFile]:
    import pyarrow.parquet as pq

    with _arrow_errors(name), open_unit(path, name, compression) as reader:
        reject_lfs_pointer(reader.peek(HEAD_BYTES), name)
        with pq.ParquetFile(reader if compression is None else io.BytesIO(reader.read())) as file:
            yield file


@contextlib.contextmanager
def _arrow_errors(name: str) -> Iterator[None]:
    """Turn exceptions of pyarrow into a SourceError with the file's name."""
    import pyarrow as pa

    try:
        yield
    except pa.ArrowException as error:
        what = " ".join(str(error).split())[:200]
        raise SourceError(name, f"is not a complete file ({what})", "download or write it again") from error


def _numbered(batches: Iterable[pa.RecordBatch]) -> Iterator[RawRow]:
    line = 0
    for batch in batches:
        to_convert = [field.name for field in batch.schema if not _is_json(field.type)]
        for row in batch.to_pylist():
            line += 1
            for name in to_convert:
                row[name] = to_json_value(row[name])
            yield RawRow(line, row, None)


def _is_json(kind: pa.DataType) -> bool:
    """Whether the values of a column are strings, integers or booleans, which need no conversion."""
    import pyarrow as pa

    types = pa.types
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        return _is_json(kind.value_type)
    return bool(
        types.is_string(kind) or types.is_large_string(kind) or types.is_integer(kind) or types.is_boolean(kind)
    )


def to_json_value(value: Any) -> Any:
    """An Arrow value as a JSON value.

    Arrow gives every struct all keys of its column, so a null in a struct is read as an absent key: a tool's schema has
    the keys that it had before. Maps become objects, bytes text if they are UTF-8, dates and times their ISO format,
    NaN null.
    """
    if isinstance(value, dict):
        return {str(key): to_json_value(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        if value and all(isinstance(item, tuple) and len(item) == 2 for item in value):  # a map
            return {str(key): to_json_value(item) for key, item in value}
        return [to_json_value(item) for item in value]
    if isinstance(value, float):
        return None if value != value else value
    if isinstance(value, bytes):
        with contextlib.suppress(UnicodeDecodeError):
            return value.decode()
        return value
    if isinstance(value, (datetime.date, datetime.time)):
        return value.isoformat()
    if isinstance(value, (decimal.Decimal, datetime.timedelta)):
        return str(value)
    return value
