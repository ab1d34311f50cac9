"""Arrow IPC streams from someone else: a record batch is made only of what is in the file, uncompressed and in bounds.

Arrow checks how a message is written, but not what it says: a body may be compressed to a thousandth of its size, and
offsets may point anywhere. So the numbers in the header of each message are compared with its body before Arrow makes a
batch of them, and each batch is validated before anyone sees it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from sftdata.errors import DatasetError, first_line
from sftdata.files.regular import RESTORE, regular_file, shorten

CONTINUATION = b"\xff\xff\xff\xff"  # each message starts with it
MAX_HEADER_BYTES = 1 << 20  # of a message, without its body
ALIGNMENT = 8  # of a buffer within a body
# Fields of the tables in Arrow's Message.fbs, by number.
HEADER = 2  # of Message
LENGTH, NODES, BUFFERS, COMPRESSION = range(4)  # of RecordBatch


def read_stream(path: str | Path, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """The record batches of a stream file with exactly this schema, memory-mapped and validated.

    Raises DatasetError if the file does not exist, is not such a stream, or a batch of it is corrupt.
    """
    shown = str(path)
    regular_file(path)
    try:
        with open(path, "rb") as file:
            if file.read(len(CONTINUATION)) != CONTINUATION:
                raise DatasetError(shown, "cannot be read as an Arrow stream (it does not start like one)", RESTORE)
        with pa.memory_map(shown) as file:
            reader = pa.ipc.MessageReader.open_stream(file)
            first = _next_message(reader)
            found = pa.ipc.read_schema(first) if first is not None and first.type == "schema" else None
            if found is None:
                raise DatasetError(
                    shown, "cannot be read as an Arrow stream (it does not start with a schema)", RESTORE
                )
            _check_schema(shown, found, schema)
            while (message := _next_message(reader)) is not None:
                _check_message(shown, message, schema)
                yield _validated(shown, pa.ipc.read_record_batch(message, schema))
            if (rest := file.size() - file.tell()) > 0:
                raise DatasetError(shown, f"has {rest} bytes after the end of its Arrow stream", RESTORE)
    except PermissionError as error:
        raise DatasetError(shown, "cannot be read: permission denied", "change its permissions") from error
    except (pa.ArrowException, OSError, struct.error, ValueError) as error:
        what = f"cannot be read as an Arrow stream ({shorten(first_line(error))})"
        raise DatasetError(shown, what, RESTORE) from error


def _validated(where: str, batch: pa.RecordBatch) -> pa.RecordBatch:
    """The batch. Raises DatasetError if its offsets are out of bounds, or its texts are not UTF-8."""
    try:
        batch.validate(full=True)
    except pa.ArrowException as error:
        raise DatasetError(where, f"is corrupt ({shorten(first_line(error))})", RESTORE) from error
    return batch


def _next_message(reader: Any) -> Any:
    """The next message of a stream; None at its end."""
    try:
        return reader.read_next_message()
    except StopIteration:
        return None


def _check_schema(where: str, found: pa.Schema, schema: pa.Schema) -> None:
    """Raise DatasetError if a stream has other columns, or metadata, which other readers would follow."""
    if found.equals(schema, check_metadata=True):
        return
    if found.equals(schema):
        raise DatasetError(where, "has metadata in its schema, which no shard has", RESTORE)
    try:
        columns = shorten(", ".join(f"{field.name} {field.type}" for field in found))
    except UnicodeDecodeError:
        columns = "with names that are not UTF-8"
    what = f"has the columns {columns} instead of those of a shard"
    raise DatasetError(where, what, RESTORE)


def _check_message(where: str, message: Any, schema: pa.Schema) -> None:
    """Raise DatasetError if a message is not a record batch whose buffers lie in its body as they are."""
    if message.type != "record batch":
        raise DatasetError(where, f"is corrupt (it has a message of the type {message.type})", RESTORE)
    if message.metadata.size > MAX_HEADER_BYTES:
        raise DatasetError(where, f"is corrupt (the header of a message has {message.metadata.size:,} bytes)", RESTORE)
    header = _Header(message.metadata.to_pybytes())
    num_rows, nodes, buffers = header.batch()
    body_bytes = 0 if message.body is None else message.body.size
    fields = [kind for field in schema for kind in _flattened(field.type)]
    problem = ""
    if header.is_compressed:
        problem = "a record batch is compressed, which no shard is"
    elif len(nodes) != len(fields) or len(buffers) != sum(kind.num_buffers for kind in fields):
        problem = f"a record batch has {len(nodes)} arrays and {len(buffers)} buffers"
    elif num_rows < 0 or any(length < 0 or nulls < 0 for length, nulls in nodes):
        problem = "a record batch has a negative length"
    elif any(at < 0 or at % ALIGNMENT or size < 0 or at + size > body_bytes for at, size in buffers):
        problem = "a buffer of a record batch lies outside of its body"
    if problem:
        raise DatasetError(where, f"is corrupt ({problem})", RESTORE)


def _flattened(kind: pa.DataType) -> list[pa.DataType]:
    """A type, and those of the lists in it."""
    return [kind, *_flattened(kind.value_type)] if pa.types.is_list(kind) else [kind]


class _Header:
    """The header of a record batch: a flatbuffer, whose form Arrow has verified. Raises struct.error outside of it."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        message = self._number("<I", 0)
        self._batch = self._follow(self._field(message, HEADER))
        self.is_compressed = self._field(self._batch, COMPRESSION) != 0

    def batch(self) -> tuple[int, list[tuple[int, int]], list[tuple[int, int]]]:
        """The number of rows; length and nulls of each array; place and size of each buffer."""
        length = self._field(self._batch, LENGTH)
        return self._number("<q", length) if length else 0, self._pairs(NODES), self._pairs(BUFFERS)

    def _number(self, form: str, at: int) -> int:
        if at < 0:
            raise struct.error("a negative position")
        return int(struct.unpack_from(form, self._data, at)[0])

    def _field(self, table: int, number: int) -> int:
        """Where a field of a table is; 0 if it has its default."""
        vtable = table - self._number("<i", table)
        entry = 4 + 2 * number
        if entry >= self._number("<H", vtable):
            return 0
        offset = self._number("<H", vtable + entry)
        return table + offset if offset else 0

    def _follow(self, at: int) -> int:
        return at + self._number("<I", at)

    def _pairs(self, number: int) -> list[tuple[int, int]]:
        """A vector of structs of two 64-bit integers."""
        field = self._field(self._batch, number)
        if not field:
            return []
        start = self._follow(field)
        count = self._number("<I", start)
        return list(struct.iter_unpack("<qq", self._data[start + 4 : start + 4 + 16 * count]))
