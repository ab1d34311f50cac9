"""Reading, end to end: a unit -> rows with their record or their reason."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sftdata.read.formats import at_path, to_record
from sftdata.read.sources import read_raw
from sftdata.read.units import Source, Unit
from sftdata.read.validate import check_structure
from sftdata.records import Drop, Row

# Records dropped for these reasons cannot be written as JSON, so they do not travel on.
_UNWRITABLE = ("bad_characters", "wrong_type")


def rows_of(unit: Unit, source: Source) -> Iterator[Row]:
    """Every row of a unit, in order, as a record, or dropped with its reason. Raises SourceError as `read_raw`."""
    format, columns, system, keep = source.format, source.columns, source.system, source.keep
    for line, value, drop in read_raw(unit):
        kept = {path: _kept(value, path) for path in keep} if keep else None
        if drop is not None:
            yield Row(line, None, drop, kept)
            continue
        record = to_record(value, format=format, columns=columns, system=system)
        if isinstance(record, Drop):
            yield Row(line, None, record, kept)
            continue
        problem = check_structure(record)
        if problem is not None and problem.reason in _UNWRITABLE:
            yield Row(line, None, problem, kept)
        else:
            yield Row(line, record, problem, kept)


def _kept(value: object, path: str) -> Any:
    """A column for the ledger; text in it is always text that can be written."""
    found = at_path(value, path) if isinstance(value, dict) else None
    return found.encode("utf-8", "replace").decode() if isinstance(found, str) and not found.isascii() else found
