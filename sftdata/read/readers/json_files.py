"""`.json` files: one JSON value that holds rows, several behind one another, or JSON lines."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterable, Iterator

from sftdata.errors import SourceError
from sftdata.read.readers.json_lines import read_json_lines
from sftdata.read.readers.json_shapes import rows_in
from sftdata.read.readers.open_files import MAX_WHOLE_BYTES, open_unit, read_whole, reject_non_text
from sftdata.read.readers.parse_json import parse_json, parse_line
from sftdata.read.readers.repeated_keys import Repeated, drop_of, mark_repeated, repeated_in
from sftdata.read.units import RawRow, Unit
from sftdata.records.record import Drop

_NOT_SPACE = re.compile(r"[^ \t\r\n]")
_COMMA_BEFORE_BRACKET = re.compile(r",\s*([\]}])")
_SCANNER = json.JSONDecoder(parse_constant=lambda name: None)


def read_json(unit: Unit) -> Iterator[RawRow]:
    """The rows of a `.json` file, numbered from 1. The file is read into memory as a whole, unless it is JSON lines.

    Raises SourceError with line and column if the file is not JSON, if it holds several lists of rows, and as
    `read_whole`.
    """
    if _is_json_lines(unit):
        yield from read_json_lines(unit)
        return
    with open_unit(unit.path, unit.name, unit.compression) as reader:
        data = read_whole(reader, unit.name, unit.compression)
    if data.isspace():
        return
    values = _values(data, unit.name)
    del data
    rows = rows_in(values[0], unit.name) if len(values) == 1 else _rows_of_all(values)
    repeated = {number: found for number, row in enumerate(rows, 1) if (found := [*repeated_in(row)])}
    _reject_repeated_outside(values, repeated.values(), unit.name)
    for number, row in enumerate(rows, 1):
        if number in repeated:
            yield RawRow(number, None, drop_of(repeated[number][0]))
        else:
            yield RawRow(number, row, None)


def _reject_repeated_outside(values: list[object], inside: Iterable[list[Repeated]], name: str) -> None:
    """Raise SourceError if an object around the rows gives a key twice, as one of them would be lost."""
    known = {id(one) for found in inside for one in found}
    outside = next((one for value in values for one in repeated_in(value) if id(one) not in known), None)
    if outside is not None:
        what = f"has an object that gives {outside.key[:100]!r} twice, with different values"
        raise SourceError(name, what, "put each of them into its own file")


def _rows_of_all(values: list[object]) -> list[object]:
    """The rows of a file with several values: each is a row, or a list of rows."""
    return [row for value in values for row in (value if isinstance(value, list) else [value])]


def _is_json_lines(unit: Unit) -> bool:
    """Whether the first line is a complete JSON object, and more lines follow."""
    with open_unit(unit.path, unit.name, unit.compression) as reader:
        reject_non_text(reader, unit.name)
        if reader.peek(1)[:1] == b"[":
            return False  # may be a single line of gigabytes: do not read it twice
        limit = -1 if unit.compression is None else MAX_WHOLE_BYTES + 1
        first = _next_line(reader, limit)
        if first.lstrip(b"\xef\xbb\xbf \t")[:1] != b"{" or isinstance(parse_line(first), Drop):
            return False
        return bool(_next_line(reader, limit))


def _next_line(reader: io.BufferedReader, limit: int) -> bytes:
    """The next line that is not blank, or `limit` bytes of it; empty at the end."""
    while line := reader.readline(limit):
        if not line.isspace():
            break
    return line


def _values(data: bytes, name: str) -> list[object]:
    """The JSON values of a file: one, or several behind one another. Raises SourceError."""
    try:
        return [mark_repeated(data, parse_json(data, allow_infinite=True))]
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise SourceError(f"{name}:{line}", "is not UTF-8 text", "save the file as UTF-8") from error
    except json.JSONDecodeError as error:
        if error.msg != "Extra data":
            raise _not_json(error, name) from error
    except ValueError as error:
        raise SourceError(name, f"is not JSON ({error})", "fix the file") from error
    return _several_values(data.decode("utf-8-sig"), name)


def _several_values(text: str, name: str) -> list[object]:
    values: list[object] = []
    position = 0
    while match := _NOT_SPACE.search(text, position):
        start = match.start()
        if text[start] == "," and values:
            line = text.count("\n", 0, start) + 1
            hint = "put [ before the first object and ] behind the last one"
            raise SourceError(f"{name}:{line}", "has commas between its objects, but they are no array", hint)
        try:
            _, position = _SCANNER.raw_decode(text, start)
            part = text[start:position].encode()
            values.append(mark_repeated(part, parse_json(part, allow_infinite=True)))
        except json.JSONDecodeError as error:
            raise _not_json(error, name) from error
        except (ValueError, RecursionError) as error:
            raise SourceError(name, f"is not JSON ({error})", "fix the file") from error
    return values


def _not_json(error: json.JSONDecodeError, name: str) -> SourceError:
    """The error for a file that is not JSON, with line and column."""
    where = f"{name}:{error.lineno}:{error.colno}"
    at = error.pos
    comma = _COMMA_BEFORE_BRACKET.match(error.doc, max(error.doc.rfind(",", 0, at + 1), 0))
    if comma and comma.end() > at:
        line = error.doc.count("\n", 0, comma.start()) + 1
        return SourceError(f"{name}:{line}", f"is not JSON (a comma comes before a {comma[1]})", "remove the comma")
    if at >= len(error.doc.rstrip()) or error.msg.startswith("Unterminated string"):
        return SourceError(where, "is not complete JSON (it ends in the middle)", "download or write it again")
    what = f"is not JSON ({error.msg[0].lower()}{error.msg[1:]})"
    return SourceError(where, what, "fix the file, or use JSON lines, where a broken line costs one row")
