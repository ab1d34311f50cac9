"""`.json` files: an array of rows, an object that holds such an array, a single row, or JSON lines."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator

from sftdata.errors import SourceError
from sftdata.read.formats.convert import detect_format
from sftdata.read.formats.fields import key_list
from sftdata.read.readers.json_lines import read_json_lines
from sftdata.read.readers.open_files import open_unit, reject_non_text
from sftdata.read.readers.parse_json import parse_json, parse_line
from sftdata.read.units import RawRow, Unit
from sftdata.records.record import Drop


def read_json(unit: Unit) -> Iterator[RawRow]:
    """The rows of a `.json` file, numbered from 1. The file is read into memory as a whole, unless it is JSON lines.

    Raises SourceError with line and column if the file is not JSON, and if it holds several lists of rows.
    """
    if _is_json_lines(unit):
        yield from read_json_lines(unit)
        return
    with open_unit(unit.path, unit.name, unit.compression) as reader:
        data = reader.read()
    for number, value in enumerate(_rows_in(_parse(data, unit.name), unit.name), 1):
        yield RawRow(number, value, None)


def _is_json_lines(unit: Unit) -> bool:
    """Whether the first line is a complete JSON object, and more lines follow."""
    with open_unit(unit.path, unit.name, unit.compression) as reader:
        reject_non_text(reader, unit.name)
        if reader.peek(1)[:1] == b"[":
            return False  # may be a single line of gigabytes: do not read it twice
        first = _next_line(reader)
        if first.lstrip(b"\xef\xbb\xbf \t")[:1] != b"{" or isinstance(parse_line(first), Drop):
            return False
        return bool(_next_line(reader))


def _next_line(reader: io.BufferedReader) -> bytes:
    """The next line that is not blank; empty at the end."""
    while line := reader.readline():
        if not line.isspace():
            break
    return line


def _parse(data: bytes, name: str) -> object:
    try:
        return parse_json(data)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise SourceError(f"{name}:{line}", "is not UTF-8 text", "save the file as UTF-8") from error
    except json.JSONDecodeError as error:
        where = f"{name}:{error.lineno}:{error.colno}"
        what = f"is not JSON ({error.msg[0].lower()}{error.msg[1:]})"
        raise SourceError(where, what, "fix the file, or use JSON lines, where a broken line costs one row") from error
    except ValueError as error:
        raise SourceError(name, f"is not JSON ({error})", "fix the file") from error


def _rows_in(value: object, name: str) -> list[object]:
    """The rows of a parsed file: see the module's docstring."""
    if isinstance(value, list):
        return value
    if not isinstance(value, dict) or detect_format(value) is not None:
        return [value]
    lists = {key: item for key, item in value.items() if _holds_rows(item)}
    if len(lists) > 1:
        raise SourceError(name, f"holds several lists of rows ({key_list(lists)})", "put each list into its own file")
    return next(iter(lists.values())) if lists else [value]


def _holds_rows(value: object) -> bool:
    """Whether a value is a list of objects that are not the turns of one conversation."""
    if not isinstance(value, list) or not value:
        return False
    return all(isinstance(item, dict) and not ({"role", "from"} & item.keys()) for item in value)
