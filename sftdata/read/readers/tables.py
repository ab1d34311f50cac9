"""Tables of Parquet and Arrow files, one batch at a time."""

from __future__ import annotations

import contextlib
import datetime
import decimal
import io
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from sftdata.errors import SourceError
from sftdata.read.readers.open_files import HEAD_BYTES, is_url, open_unit, reject_lfs_pointer
from sftdata.read.units import RawRow, Unit

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

_BATCH_ROWS = 1024


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


def read_saved(unit: Unit) -> Iterator[RawRow]:
    """The rows of a saved Dataset that its indices files choose, in their order; `line` counts those rows."""
    line = 0
    with _arrow_errors(unit.name), contextlib.ExitStack() as opened:
        tables = [_mapped_table(path, opened) for path in unit.tables]
        batches = [batch for table in tables for batch in table.to_batches() if batch.num_rows]
        ends = np.cumsum([batch.num_rows for batch in batches])
        for path in unit.indices:
            for part in _mapped_table(path, opened).to_batches(max_chunksize=_BATCH_ROWS):
                places = part.column(0).to_numpy(zero_copy_only=False).astype(np.int64)
                if len(places) and not (len(ends) and places.min() >= 0 and places.max() < ends[-1]):
                    raise SourceError(unit.name, "has an indices file that points at rows it has not", "save it again")
                for row in _chosen(batches, ends, places):
                    line += 1
                    yield RawRow(line, row, None)


def _chosen(batches: Sequence[pa.RecordBatch], ends: npt.NDArray[np.int64], places: npt.NDArray[np.int64]) -> list[Any]:
    """The rows at these places of batches that stand one behind another; `ends` are their ends."""
    import pyarrow as pa

    rows: list[Any] = [None] * len(places)
    of_place = np.searchsorted(ends, places, side="right")
    for number in np.unique(of_place).tolist():
        batch, wanted = batches[number], np.flatnonzero(of_place == number)
        inside = batch.take(pa.array(places[wanted] - (ends[number] - batch.num_rows)))
        for at, row in zip(wanted.tolist(), batch_rows(inside)):
            rows[at] = row
    return rows


def _mapped_table(path: str, opened: contextlib.ExitStack) -> pa.Table:
    """An Arrow file or stream on the local disk as a table that is not in memory."""
    import pyarrow as pa

    file = opened.enter_context(pa.memory_map(path))
    is_file = file.read(6) == b"ARROW1"
    file.seek(0)
    return (pa.ipc.open_file(file) if is_file else pa.ipc.open_stream(file)).read_all()


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
        for row in batch_rows(batch):
            line += 1
            yield RawRow(line, row, None)


def batch_rows(batch: pa.RecordBatch) -> Iterator[dict[str, Any]]:
    """The rows of a batch, as JSON has them."""
    to_convert = [field.name for field in batch.schema if not _is_json(field.type)]
    for row in batch.to_pylist():
        for name in to_convert:
            row[name] = to_json_value(row[name])
        yield row


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
