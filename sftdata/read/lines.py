"""JSON lines as a stream: one broken line costs that line, and memory never holds more than one line."""

from __future__ import annotations

import io
import re
from collections.abc import Generator

from sftdata.errors import SourceError
from sftdata.read.opening import HEAD_BYTES, open_unit, refuse_foreign
from sftdata.read.parse import parse_line
from sftdata.read.units import RawRow, Unit
from sftdata.records import Drop

MAX_LINE_BYTES = 50_000_000

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
        while unit.end is None or position < unit.end:
            line = reader.readline(MAX_LINE_BYTES + 1)
            if not line:
                break
            line_number += 1
            position += len(line)
            too_long = len(line) > MAX_LINE_BYTES and not line.endswith(b"\n")
            if too_long:
                position += _skip_line(reader)
            elif line.isspace():
                continue
            if first:
                _refuse_array(line, reader, unit.name)
                first = False
            if too_long:
                yield RawRow(line_number, None, Drop("line_too_long", f"more than {MAX_LINE_BYTES:,} bytes"))
            else:
                value = parse_line(line)
                if isinstance(value, Drop):
                    yield RawRow(line_number, None, value)
                else:
                    yield RawRow(line_number, value, None)
    return line_number


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


def _refuse_array(line: bytes, reader: io.BufferedReader, name: str) -> None:
    """Raise SourceError where a file's first line begins a JSON array that is the whole file."""
    if not _ARRAY_START.match(line[:HEAD_BYTES].removeprefix(b"\xef\xbb\xbf")):
        return
    whole_value = not isinstance(parse_line(line), Drop)
    if whole_value and reader.peek(HEAD_BYTES).strip():
        return  # lines that are lists: JSON lines all the same, each with its reason
    raise SourceError(
        f"{name}:1", "expected one JSON object a line, found one big JSON array", "rename the file to end in .json"
    )
