"""A source without usable rows -> an error that says what its rows look like and how to fix the settings."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from itertools import islice

from sftdata.errors import SourceError
from sftdata.read.advice import Advice, TriedRows, describe, find_advice, other_shapes
from sftdata.read.column_names import is_cell
from sftdata.read.formats.convert import RowFormat
from sftdata.read.formats.fields import key_list
from sftdata.read.sources import read_raw
from sftdata.read.stage import row_format, row_of
from sftdata.read.units import Source, Unit
from sftdata.records.record import Drop
from sftdata.settings.yaml_line import override

# If all rows of a source have these reasons, its settings or its format are wrong, not its rows.
NOT_DATA = {"bad_json", "not_an_object", "unknown_shape", "missing_field", "rendered_chat"}

_MAX_READ = 5000  # rows to read for an error


def no_rows_error(units: Sequence[Unit], source: Source) -> SourceError:
    """The error for a source none of whose rows became a record. `units` are the units of this source; its first rows
    are read again, and what the error suggests is tried on them.
    """
    rows = TriedRows(row_format(source))
    first: tuple[Unit, int, Drop] | None = None
    for unit, raw in islice(((one, raw) for one in units for raw in read_raw(one)), _MAX_READ):
        row = row_of(raw, source)
        rows.add(raw.value, None if row.drop is None else row.drop.reason)
        if row.drop is not None and first is None:
            first = unit, raw.line, row.drop
    if first is None:
        return SourceError(source.path, "holds no rows", "check the path, or remove it from the sources")
    unit, line, problem = first
    if unit.kind in ("csv", "tsv") and rows.failing and any(map(is_cell, rows.failing[0])):
        named = f"the first line is taken for the names of its columns ({key_list(rows.failing[0])})"
        hint = "if it is a row, put a line with names above it, such as prompt,completion"
        hint += f"; if not, {_fix(rows, unit.source)}"
        return SourceError(source.path, "none of its rows is a conversation", f"{named}; {hint}")
    if rows.failing or problem.reason == "not_an_object":
        return SourceError(source.path, "none of its rows is a conversation", _fix(rows, unit.source))
    hint = f"the first, {unit.name}:{line}, is {problem.reason} ({problem.detail})"
    if problem.reason == "bad_json" and unit.kind == "jsonl" and _is_json(unit, source):
        hint += "; the file is one JSON document: rename it to end in .json"
    return SourceError(source.path, "none of its rows can be used", hint)


def _is_json(unit: Unit, source: Source) -> bool:
    """Whether a file of JSON lines can be read as one JSON document that has a conversation."""
    whole = unit._replace(kind="json", start=0, end=None)
    with contextlib.suppress(SourceError):
        return any(row_of(raw, source).drop is None for raw in islice(read_raw(whole), _MAX_READ))
    return False


def advice_for(units: Sequence[Unit], source: Source) -> Advice | None:
    """Settings for a source some of whose rows are no conversations, tried on its first rows; None if none helps."""
    rows = TriedRows(row_format(source))
    for raw in islice((raw for one in units for raw in read_raw(one)), _MAX_READ):
        row = row_of(raw, source)
        rows.add(raw.value, None if row.drop is None else row.drop.reason)
    found = find_advice(rows)
    return found if found is not None and found.is_safe else None


def suggest_fix(value: object) -> str:
    """What to do about a row that fits no format: its keys, and settings that were tried on it."""
    rows = TriedRows(RowFormat())
    rows.add(value, "unknown_shape")
    return _fix(rows, None)


def _fix(rows: TriedRows, source: int | None) -> str:
    """What to do about a source with these rows. `source` is its number, for settings on the command line."""
    if not rows.failing:
        return 'write every row as an object such as {"messages": [{"role": "user", "content": "..."}, ...]}'
    value = rows.failing[0]
    keys = f"its rows have the keys {key_list(value)}"
    if value and all(isinstance(item, dict) and "0" in item for item in value.values()):
        return f"{keys}, each a whole column; write one object per row (pandas: to_json(orient='records', lines=True))"
    advice = find_advice(rows)
    place = ""
    if advice is not None and source is not None:
        settings = (override(f"sources.{source}.{name}", setting) for name, setting in advice.settings.items())
        place = f" (on the command line: {' '.join(settings)})"
    others = other_shapes(advice, rows)
    return f"{keys}; {describe(advice, rows, place)}" + (f"; other rows have the keys {others}" if others else "")
