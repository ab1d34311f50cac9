"""JSON lines as a stream: a broken line costs only itself. Memory holds one block of lines, or one longer line."""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Generator, Iterator
from functools import partial
from itertools import repeat
from typing import NamedTuple

import orjson

from sftdata.errors import SourceError
from sftdata.read.readers.open_files import HEAD_BYTES, open_unit, reject_non_text
from sftdata.read.readers.parse_json import may_hold_long_number, parse_line
from sftdata.read.readers.repeated_keys import find_repeated, keys_written
from sftdata.read.units import RawRow, Unit
from sftdata.records.record import Drop

MAX_LINE_BYTES = 50_000_000
BLOCK_BYTES = 1 << 18  # read from a file at a time

_BLANK = object()  # in place of the value of a line without one
_raw_row = partial(tuple.__new__, RawRow)  # as RawRow(*values), in less time
_ARRAY_START = re.compile(rb"\s*\[\s*([\[{\"\]]|$)")


class _Block(NamedTuple):
    """Lines that were read at once."""

    lines: list[bytes]
    may_be_long: bool  # whether one of them may contain a long number
    keys_written: int  # see repeated_keys.keys_written


def read_json_lines(unit: Unit) -> Generator[RawRow, None, int]:
    """The rows of a JSON-lines unit, one per line. Returns the number of lines, blank ones included, which are no rows.

    Raises SourceError if the file is something else: a compressed file, UTF-16, one big JSON array.
    """
    with open_unit(unit.path, unit.name, unit.compression) as reader:
        position = unit.start
        if unit.start == 0:
            reject_non_text(reader, unit.name)
        else:
            reader.seek(unit.start - 1)
            position += _skip_line(reader, None if unit.end is None else unit.end - unit.start) - 1
        first = unit.start == 0
        line_number = 0
        for block in _blocks(reader, None if unit.end is None else unit.end - position):
            if first:
                first = not _check_first(block.lines, reader, unit.name)
            values, is_good = _parse_block(block)
            numbers = range(line_number + 1, line_number + 1 + len(values))
            line_number += len(values)
            if is_good:
                yield from map(_raw_row, zip(numbers, values, repeat(None)))
                continue
            for number, value in zip(numbers, values, strict=True):
                if type(value) is Drop:
                    yield RawRow(number, None, value)
                elif value is not _BLANK:
                    yield RawRow(number, value, None)
    return line_number


def _parse_block(block: _Block) -> tuple[list[object], bool]:
    """The value of each line, its Drop, or _BLANK; and whether all are values."""
    values: list[object] | None = None
    is_good = True
    if not block.may_be_long and max(map(len, block.lines)) <= MAX_LINE_BYTES:
        with contextlib.suppress(orjson.JSONDecodeError):
            values = list(map(orjson.loads, block.lines))
    if values is None:
        is_good = False
        values = [_parse_or_drop(line, block.may_be_long) for line in block.lines]
    for index, drop in find_repeated(block.lines, values, block.keys_written).items():
        values[index], is_good = drop, False
    return values, is_good


def _parse_or_drop(line: bytes, may_be_long: bool) -> object:
    if len(line) > MAX_LINE_BYTES:
        return Drop("line_too_long", f"more than {MAX_LINE_BYTES:,} bytes")
    return _BLANK if not line or line.isspace() else parse_line(line, may_be_long)


def _check_first(lines: list[bytes], reader: io.BufferedReader, name: str) -> bool:
    """Whether the first line that is not blank is among these. Raises SourceError if the file is one JSON array."""
    index = next((index for index, line in enumerate(lines) if line and not line.isspace()), None)
    if index is not None:
        _reject_array(lines[index], b"".join(lines[index + 1 :]) or reader.peek(HEAD_BYTES), name)
    return index is not None


def _blocks(reader: io.BufferedReader, size: int | None) -> Iterator[_Block]:
    """The lines that begin in the next `size` bytes (None: all), in batches, without line ends.

    A line that is too long is cut to a little more than MAX_LINE_BYTES.
    """
    while size is None or size > 0:
        block = reader.read(BLOCK_BYTES if size is None else min(BLOCK_BYTES, size))
        skipped = 0
        if block and not block.endswith(b"\n"):
            rest = reader.readline(MAX_LINE_BYTES + 1)
            if len(rest) > MAX_LINE_BYTES and not rest.endswith(b"\n"):
                skipped = _skip_line(reader)
            block += rest
            del rest
        if not block:
            break
        if size is not None:
            size -= len(block) + skipped
        keys = keys_written(block)
        may_be_long = len(block) > 2 * BLOCK_BYTES or may_hold_long_number(block)  # for a long line, parse_line checks
        lines = block.split(b"\n")
        del block
        if not lines[-1]:
            lines.pop()
        yield _Block(lines, may_be_long, keys)


def count_lines(unit: Unit) -> int:
    """How many lines begin in a unit that is a byte range. The line numbers of the next unit continue from there."""
    with open_unit(unit.path, unit.name, unit.compression) as reader:
        lines = 1 if unit.start == 0 else 0
        position = max(unit.start - 1, 0)
        reader.seek(position)
        last = b"\n"
        while unit.end is None or position < unit.end - 1:
            chunk = reader.read(1 << 20 if unit.end is None else min(1 << 20, unit.end - 1 - position))
            if not chunk:
                break
            lines += chunk.count(b"\n")
            position += len(chunk)
            last = chunk[-1:]
        at_end = not reader.peek(1)
    return lines - 1 if at_end and last == b"\n" else lines


def _skip_line(reader: io.BufferedReader, limit: int | None = None) -> int:
    """Skip to the start of the next line, or up to the limit if that comes first, so that a line of gigabytes is not
    read again by every unit that it spans. Returns the number of bytes skipped; few of them are in memory at a time.
    """
    skipped = 0
    while limit is None or skipped <= limit:
        part = reader.readline(1 << 20)
        skipped += len(part)
        if not part or part.endswith(b"\n"):
            break
    return skipped


def _reject_array(line: bytes, following: bytes, name: str) -> None:
    """Raise SourceError if a file's first line starts a JSON array that is the whole file."""
    if not _ARRAY_START.match(line[:HEAD_BYTES].removeprefix(b"\xef\xbb\xbf")):
        return
    is_complete = not isinstance(parse_line(line), Drop)
    if is_complete and following.strip():
        return  # JSON lines whose values are lists; each row is dropped with its reason
    raise SourceError(
        f"{name}:1", "expected one JSON object per line, found one big JSON array", "rename the file to end in .json"
    )
