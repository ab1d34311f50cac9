"""Tables of Parquet and Arrow files, one batch at a time."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache, partial
from itertools import groupby
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from sftdata.errors import SourceError
from sftdata.read.readers.arrow_values import (
    batch_rows,
    largest_row,
    longest_in_dictionaries,
    reject_same_names,
    repeats_values,
)
from sftdata.read.readers.open_files import HEAD_BYTES, open_unit, read_whole, reject_lfs_pointer
from sftdata.read.units import RawRow, Unit
from sftdata.records.record import Drop
from sftdata.remote.stores import is_url

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

# What is in memory at a time changes no byte of the dataset.
_BATCH_ROWS = 1024
_BATCH_BYTES = 1 << 25  # of a batch of a Parquet file
_PART_BYTES = 1 << 24  # of a batch: rows that are Python objects at a time
_CHEAP_ROWS = 16  # batches of at least this many rows cost less than a look at the longest values
_LOOK_ROWS = 64  # until the first value of a column is found


class _Parquet(NamedTuple):
    """An open Parquet file, and what it is read from: in threads of Arrow's, if that is no object of Python's."""

    file: pq.ParquetFile
    data: Any
    use_threads: bool


def row_groups(path: str, name: str) -> list[tuple[int, int]]:
    """(rows, size in bytes) of each row group of a Parquet file."""
    with _open_parquet(path, name, None) as parquet:
        metadata = parquet.file.metadata
        groups = (metadata.row_group(index) for index in range(metadata.num_row_groups))
        return [(group.num_rows, group.total_byte_size) for group in groups]


def read_parquet(unit: Unit) -> Iterator[RawRow]:
    """The rows of a Parquet file, or of the row groups that begin in the unit's range of rows."""
    with _open_parquet(unit.path, unit.name, unit.compression) as parquet:
        metadata = parquet.file.metadata
        chosen, first_row = [], 0
        for index in range(metadata.num_row_groups):
            if first_row >= unit.start and (unit.end is None or first_row < unit.end):
                chosen.append(index)
            first_row += metadata.row_group(index).num_rows
        yield from numbered_rows(_parquet_batches(parquet, chosen), unit.name)


def _parquet_batches(parquet: _Parquet, chosen: Sequence[int]) -> Iterator[pa.RecordBatch]:
    """The rows of row groups, as many at a time as cannot be large where many of them repeat one long value."""
    file = parquet.file
    for num_rows, run in groupby(chosen, partial(_rows_at_a_time, file.metadata)):
        if num_rows >= _CHEAP_ROWS:
            yield from file.iter_batches(batch_size=num_rows, row_groups=[*run], use_threads=parquet.use_threads)
            continue
        for index in run:
            num_rows = _rows_at_a_time(file.metadata, index, _longest_values(parquet, index))
            yield from file.iter_batches(batch_size=num_rows, row_groups=[index], use_threads=parquet.use_threads)


def _rows_at_a_time(metadata: pq.FileMetaData, index: int, longest: Mapping[str, int] = {}) -> int:
    """How many rows of a row group to decode at a time, a power of two.

    A column with a dictionary has each value once and may repeat it in every row; sizes in the metadata do not tell.
    So every value counts as its column's longest, or as the whole column where `longest` does not have that.
    """
    group = metadata.row_group(index)
    bound = group.total_byte_size / max(group.num_rows, 1)
    for column in map(group.column, range(group.num_columns)):
        if column.has_dictionary_page:
            values_of_row = max(1.0, column.num_values / max(group.num_rows, 1))
            bound += values_of_row * longest.get(column.path_in_schema, column.total_uncompressed_size)
    rows = min(_BATCH_ROWS, int(_BATCH_BYTES / max(bound, 1.0)))
    return 1 << max(rows.bit_length() - 1, 0)


def _longest_values(parquet: _Parquet, index: int) -> dict[str, int]:
    """The sizes of the longest values in the dictionaries of a row group, by column, where they can be read."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    metadata, found = parquet.file.metadata, {}
    group = metadata.row_group(index)
    for column in map(group.column, range(group.num_columns)):
        path = column.path_in_schema
        if column.has_dictionary_page and column.physical_type == "BYTE_ARRAY":
            with contextlib.suppress(pa.ArrowException):  # of a type that has no dictionaries in Arrow
                file = pq.ParquetFile(parquet.data, metadata=metadata, read_dictionary=[path], pre_buffer=False)
                for batch in file.iter_batches(_LOOK_ROWS, row_groups=[index], columns=[path], use_threads=False):
                    size = max(map(longest_in_dictionaries, batch.columns))
                    if size:  # else no row so far has a value
                        found[path] = size
                        break
    return found


def read_arrow(unit: Unit) -> Iterator[RawRow]:
    """The rows of an Arrow IPC file or stream (`datasets` writes streams)."""
    import pyarrow as pa

    with _arrow_errors(unit.name), open_unit(unit.path, unit.name, unit.compression) as reader:
        head = reader.peek(8)
        reject_lfs_pointer(head.ljust(len(head)), unit.name)
        if head.startswith(b"ARROW1"):
            file = pa.ipc.open_file(_seekable(unit.path, reader, unit.name, unit.compression))
            batches: Iterable[pa.RecordBatch] = (file.get_batch(index) for index in range(file.num_record_batches))
        else:
            batches = pa.ipc.open_stream(reader)
        yield from numbered_rows(map(_checked, batches), unit.name)


def read_saved(unit: Unit) -> Iterator[RawRow]:
    """The rows of a saved Dataset that its indices files choose, in their order; `line` counts those rows."""
    line = 0
    with _arrow_errors(unit.name), contextlib.ExitStack() as opened:
        tables = [_mapped_table(path, opened) for path in unit.tables]
        for table in tables:
            reject_same_names(table.schema, unit.name)
        batches = [batch for table in tables for batch in table.to_batches() if batch.num_rows]
        ends = np.cumsum([batch.num_rows for batch in batches])
        bound_of = lru_cache(None)(lambda number: largest_row(_checked(batches[number])))
        for path in unit.indices:
            for part in _mapped_table(path, opened).to_batches(max_chunksize=_BATCH_ROWS):
                places = part.column(0).to_numpy(zero_copy_only=False).astype(np.int64)
                if len(places) and not (len(ends) and places.min() >= 0 and places.max() < ends[-1]):
                    raise SourceError(unit.name, "has an indices file that points at rows it has not", "save it again")
                used = np.unique(np.searchsorted(ends, places, side="right")).tolist()
                num_rows = max(1, _PART_BYTES // max(1, *map(bound_of, used)))  # indices may repeat a large row
                for start in range(0, len(places), num_rows):
                    for row in _chosen(batches, ends, places[start : start + num_rows]):
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


def _checked(batch: pa.RecordBatch) -> pa.RecordBatch:
    """A batch as it is in a file, once its numbers lead nowhere outside of it. Raises ArrowInvalid.

    Texts that are no UTF-8 are left in it: they cost their rows.
    """
    import pyarrow as pa

    try:
        batch.validate(full=True)
    except pa.ArrowInvalid:
        columns = [column.view(_with_bytes(column.type)) for column in batch.columns]
        pa.RecordBatch.from_arrays(columns, names=batch.schema.names).validate(full=True)
    return batch


def _with_bytes(kind: pa.DataType) -> pa.DataType:
    """The type of the same data with bytes in place of texts."""
    import pyarrow as pa

    if pa.types.is_string(kind):
        return pa.binary()
    if pa.types.is_large_string(kind):
        return pa.large_binary()
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        make = pa.list_ if pa.types.is_list(kind) else pa.large_list
        return make(kind.value_field.with_type(_with_bytes(kind.value_type)))
    if pa.types.is_struct(kind):
        fields = [kind.field(at) for at in range(kind.num_fields)]
        return pa.struct([field.with_type(_with_bytes(field.type)) for field in fields])
    return kind


@contextlib.contextmanager
def _open_parquet(path: str, name: str, compression: str | None) -> Iterator[_Parquet]:
    import pyarrow.parquet as pq

    with _arrow_errors(name), open_unit(path, name, compression) as reader:
        reject_lfs_pointer(reader.peek(HEAD_BYTES), name)
        is_store = compression is None and is_url(path)
        data = reader if is_store else _seekable(path, reader, name, compression)
        use_threads = compression is None and not is_store
        with _arrow_errors(name, is_here=not is_store), pq.ParquetFile(data, pre_buffer=use_threads) as file:
            yield _Parquet(file, data, use_threads)


def _seekable(path: str, reader: io.BufferedReader, name: str, compression: str | None) -> pa.NativeFile:
    """A file of Arrow's with the bytes of a local file, or of another one as a whole.

    Arrow reads from threads of its own, which free what they read after the answer is there. Were that an object of
    Python's, such a thread could call Python while it ends, and C++ would abort the process.
    """
    import pyarrow as pa

    if compression is None and not is_url(path):
        return pa.OSFile(path if os.name == "nt" else os.fsencode(path))  # names need not be UTF-8
    return pa.BufferReader(read_whole(reader, name, compression))


@contextlib.contextmanager
def _arrow_errors(name: str, *, is_here: bool = False) -> Iterator[None]:
    """Turn exceptions of pyarrow into a SourceError with the file's name. With `is_here`, no store and no
    decompression is behind the bytes, and an OSError without a number is pyarrow's too.
    """
    import pyarrow as pa

    try:
        yield
    except MemoryError as error:  # the sizes in a damaged file may be anything
        what = "holds more than there is memory for, or is damaged"
        raise SourceError(name, what, "download or write it again") from error
    except UnicodeDecodeError as error:
        raise SourceError(name, f"has a name that is not UTF-8 ({error.reason})", "write it again") from error
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, OSError) and (error.errno is not None or not is_here):
            raise  # of the disk, the store or the decompression
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
    if any(repeats_values(field.type) for field in batch.schema):
        num_rows = max(1, min(num_rows, _PART_BYTES // max(largest_row(batch), 1)))
    for start in range(0, batch.num_rows, num_rows):
        yield batch.slice(start, num_rows)


def _raw_row(line: int, row: dict[str, Any] | Drop) -> RawRow:
    return RawRow(line, None, row) if isinstance(row, Drop) else RawRow(line, row, None)
