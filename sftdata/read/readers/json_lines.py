"""JSON lines as a stream: one broken line costs that line. Memory holds a block of lines, or one that is longer."""

from __future__ import annotations

import io
import re
from collections.abc import Generator, Iterator

from sftdata.errors import SourceError
from sftdata.read.readers.opening import HEAD_BYTES, open_unit, refuse_foreign
from sftdata.read.readers.parse import may_hold_long_number, parse_line
from sftdata.read.units import RawRow, Unit
from sftdata.records.record import Drop

MAX_LINE_BYTES = 50_000_000
BLOCK_BYTES = 1 << 18  # that are taken from a file at a time

_ARRAY_START = re.compile(rb"\s*\[\s*([\[{\"\]]|$)")


def read_lines(unit: Unit) -> Generator[RawRow, None, int]:
    """The rows of a JSON-lines unit, one a line, and in the end the number of lines: blank ones count, but are no rows.

    Raises SourceError where the file is something else: a compressed file, UTF-16, one big JSON array.
    """
    with open_unit(unit.path, unit.name, unit.compression) as reader:
        position = unit.start
        if unit.start == 0:
            refuse_foreign(reader, unit.name)
        else:
            reader.seek(unit.start - 1)
            position += _skip_line(reader, None if unit.end is None else unit.end - unit.start) - 1
        first = unit.start == 0
        line_number = 0
        for lines, may_be_long in _blocks(reader, None if unit.end is None else unit.end - position):
            for at, line in enumerate(lines):
                line_number += 1
                too_long = len(line) > MAX_LINE_BYTES
                if not too_long and (not line or line.isspace()):
                    continue
                if first:
                    _refuse_array(line, b"".join(lines[at + 1 :]) or reader.peek(HEAD_BYTES), unit.name)
                    first = False
                if too_long:
                    yield RawRow(line_number, None, Drop("line_too_long", f"more than {MAX_LINE_BYTES:,} bytes"))
                    continue
                value = parse_line(line, may_be_long)
                if isinstance(value, Drop):
                    yield RawRow(line_number, None, value)
                else:
                    yield RawRow(line_number, value, None)
    return line_number


def _blocks(reader: io.BufferedReader, size: int | None) -> Iterator[tuple[list[bytes], bool]]:
    """The lines that begin in so many bytes, or all, some of them at a time, without their ends; and whether a long
    number may stand in them.

    Of a line that is too long there is more than MAX_LINE_BYTES, and not much more.
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
        may_be_long = len(block) > 2 * BLOCK_BYTES or may_hold_long_number(block)  # a long line is looked at by itself
        lines = block.split(b"\n")
        del block
        if not lines[-1]:
            lines.pop()
        yield lines, may_be_long


def count_lines(unit: Unit) -> int:
    """How many lines begin in a unit that is a byte range: what the line numbers of the next unit go on from."""
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
    """Read on behind the next line end, or to the limit where that comes first, so that a line of gigabytes is not
    read again by every unit that it runs through. Gives the number of bytes read; holds few of them.
    """
    skipped = 0
    while limit is None or skipped <= limit:
        part = reader.readline(1 << 20)
        skipped += len(part)
        if not part or part.endswith(b"\n"):
            break
    return skipped


def _refuse_array(line: bytes, following: bytes, name: str) -> None:
    """Raise SourceError where a file's first line begins a JSON array that is the whole file."""
    if not _ARRAY_START.match(line[:HEAD_BYTES].removeprefix(b"\xef\xbb\xbf")):
        return
    whole_value = not isinstance(parse_line(line), Drop)
    if whole_value and following.strip():
        return  # lines that are lists: JSON lines all the same, each with its reason
    raise SourceError(
        f"{name}:1", "expected one JSON object a line, found one big JSON array", "rename the file to end in .json"
    )
