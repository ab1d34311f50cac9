"""Tables of Parquet and Arrow files, one batch at a time."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from sftdata.errors import SourceError
from sftdata.read.readers.arrow_values import batch_rows, reject_same_names
from sftdata.read.readers.open_files import HEAD_BYTES, is_url, open_unit, read_whole, reject_lfs_pointer
from sftdata.read.units import RawRow, Unit
from sftdata.records.record import Drop

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

_BATCH_ROWS = 1024
_PART_BYTES = 1 << 24  # of a batch: rows that are Python objects at a time


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
        yield from numbered_rows(file.iter_batches(batch_size=_BATCH_ROWS, row_groups=chosen), unit.name)


def read_arrow(unit: Unit) -> Iterator[RawRow]:
    """The rows of an Arrow IPC file or stream (`datasets` writes streams)."""
    import pyarrow as pa

    with _arrow_errors(unit.name), open_unit(unit.path, unit.name, unit.compression) as reader:
        head = reader.peek(8)
        reject_lfs_pointer(head.ljust(len(head)), unit.name)
        if head.startswith(b"ARROW1"):
            is_local = unit.compression is None and not is_url(unit.path)
            data: Any = reader if is_local else io.BytesIO(read_whole(reader, unit.name, unit.compression))
            file = pa.ipc.open_file(data)
            yield from numbered_rows((file.get_batch(index) for index in range(file.num_record_batches)), unit.name)
        else:
            yield from numbered_rows(pa.ipc.open_stream(reader), unit.name)


def read_saved(unit: Unit) -> Iterator[RawRow]:
    """The rows of a saved Dataset that its indices files choose, in their order; `line` counts those rows."""
    line = 0
    with _arrow_errors(unit.name), contextlib.ExitStack() as opened:
        tables = [_mapped_table(path, opened) for path in unit.tables]
        for table in tables:
            reject_same_names(table.schema, unit.name)
        batches = [batch for table in tables for batch in table.to_batches() if batch.num_rows]
        ends = np.cumsum([batch.num_rows for batch in batches])
        for path in unit.indices:
            for part in _mapped_table(path, opened).to_batches(max_chunksize=_BATCH_ROWS):
                places = part.column(0).to_numpy(zero_copy_only=False).astype(np.int64)
                if len(places) and not (len(ends) and places.min() >= 0 and places.max() < ends[-1]):
                    raise SourceError(unit.name, "has an indices file that points at rows it has not", "save it again")
                for row in _chosen(batches, ends, places):
                    line += 1
                    yield _raw_row(line, row)


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
        with pq.ParquetFile(
            reader if compression is None else io.BytesIO(read_whole(reader, name, compression))
        ) as file:
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


def numbered_rows(batches: Iterable[pa.RecordBatch], name: str) -> Iterator[RawRow]:
    """The rows of batches, numbered from 1. Raises SourceError, with the file's name, if columns share a name."""
    line = 0
    schema = None
    for batch in batches:
        if schema is None:
            schema = batch.schema
            reject_same_names(schema, name)
        for part in _parts(batch):
            for row in batch_rows(part):
                line += 1
                yield _raw_row(line, row)


def _parts(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """A batch in parts of which each becomes few Python objects at a time, where its rows are large."""
    num_rows = max(1, batch.num_rows * _PART_BYTES // max(batch.nbytes, 1))
    for start in range(0, batch.num_rows, num_rows):
        yield batch.slice(start, num_rows)


def _raw_row(line: int, row: dict[str, Any] | Drop) -> RawRow:
    return RawRow(line, None, row) if isinstance(row, Drop) else RawRow(line, row, None)
