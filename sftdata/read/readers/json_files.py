"""`.json` files: an array of rows, an object that holds one, a single row, or JSON lines under another name."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator

from sftdata.errors import SourceError
from sftdata.read.formats.convert import detect, key_list
from sftdata.read.readers.json_lines import read_lines
from sftdata.read.readers.opening import open_unit, refuse_foreign
from sftdata.read.readers.parse import parse_json, parse_line
from sftdata.read.units import RawRow, Unit
from sftdata.records.record import Drop


def read_document(unit: Unit) -> Iterator[RawRow]:
    """The rows of a `.json` file, numbered from 1. The file is read whole, unless it is JSON lines.

    Raises SourceError with line and column where the file is not JSON, and where it holds several lists of rows.
    """
    if _is_lines(unit):
        yield from read_lines(unit)
        return
    with open_unit(unit.path, unit.name, unit.compression) as reader:
        data = reader.read()
    for number, value in enumerate(_rows_in(_parse(data, unit.name), unit.name), 1):
        yield RawRow(number, value, None)


def _is_lines(unit: Unit) -> bool:
    """Whether the first line is a JSON object by itself, and more follows."""
    with open_unit(unit.path, unit.name, unit.compression) as reader:
        refuse_foreign(reader, unit.name)
        if reader.peek(1)[:1] == b"[":
            return False  # perhaps one line of gigabytes: not to be read twice
        first = _first_line(reader)
        if first.lstrip(b"\xef\xbb\xbf \t")[:1] != b"{" or isinstance(parse_line(first), Drop):
            return False
        return bool(_first_line(reader))


def _first_line(reader: io.BufferedReader) -> bytes:
    """The next line that is not blank, or nothing at the end."""
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
        raise SourceError(
            where, what, "mend the file, or write JSON lines, where a broken line costs one row"
        ) from error
    except ValueError as error:
        raise SourceError(name, f"is not JSON ({error})", "mend the file") from error


def _rows_in(value: object, name: str) -> list[object]:
    """The rows of a parsed file: see the module's docstring."""
    if isinstance(value, list):
        return value
    if not isinstance(value, dict) or detect(value) is not None:
        return [value]
    lists = {key: item for key, item in value.items() if _holds_rows(item)}
    if len(lists) > 1:
        raise SourceError(name, f"holds several lists of rows ({key_list(lists)})", "put each into a file of its own")
    return next(iter(lists.values())) if lists else [value]


def _holds_rows(value: object) -> bool:
    """Whether a value is a list of objects that are not the turns of one conversation."""
    if not isinstance(value, list) or not value:
        return False
    return all(isinstance(item, dict) and not ({"role", "from"} & item.keys()) for item in value)
