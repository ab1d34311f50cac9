"""Reading as a stage: units -> rows with their record or the reason why they are dropped, as Arrow tables."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol, cast

import pyarrow as pa

from sftdata.read.file_stamps import Stamp, check_unchanged, unit_checksums
from sftdata.read.formats.convert import RowFormat, convert
from sftdata.read.formats.fields import at_path
from sftdata.read.formats.plain import plain_row
from sftdata.read.formats.structure import check_structure
from sftdata.read.formats.tool_schemas import check_tool_calls
from sftdata.read.sources import lines_in, read_raw
from sftdata.read.units import RawRow, Source, Unit
from sftdata.records.column import RECORD_TYPE, mostly_null_array, record_array
from sftdata.records.end_tokens import EndTokens
from sftdata.records.record import KEY_BYTES, Drop, Record, Row

ROW_SCHEMA = pa.schema(
    [
        ("line", pa.int64()),  # 1-based within the unit; 0 in the only entry of a unit without rows
        ("record", RECORD_TYPE),
        ("key", pa.binary(KEY_BYTES)),  # of the record's content; null if there is no record
        ("reason", pa.string()),  # null if the row is not dropped
        ("detail", pa.string()),
        ("keep", pa.string()),  # the kept columns, as one JSON object
        ("private", pa.string()),  # personal data found, {kind: count} as JSON; null if there is none
        ("stripped", pa.string()),  # the end tokens stripped from each changed answer, as JSON; null if there are none
        ("unused", pa.string()),  # columns and keys of turns that hold something unused, as a JSON list; mostly null
        ("calls", pa.string()),  # what became of tool calls in texts, as a JSON list: see Row; mostly null
        ("skip", pa.int64()),  # line numbers that the unit covers; only in a unit's first entry
    ]
)
TABLE_ROWS = 4096  # rows in memory at a time; does not change the dataset
# Records dropped for these reasons cannot be serialized, so they are not passed on.
_NOT_SERIALIZABLE = ("bad_characters", "wrong_type")


class RecordFilter(Protocol):
    """Looks at one valid record at a time: may drop it, or change it."""

    @property
    def key(self) -> str:
        """Everything that decides the result besides the record."""
        ...

    def __call__(self, record: Record) -> tuple[Record, Drop | None, Mapping[str, int]]:
        """The record to continue with; why it is dropped, or None; counts of its personal data by kind."""
        ...


@dataclass(frozen=True)
class Read:
    """Units, by their numbers -> rows: parsed, converted to records, checked, with the key of their content."""

    units: tuple[Unit, ...]
    sources: tuple[Source, ...]
    key_of: Callable[[Record], bytes]  # KEY_BYTES bytes, equal for equal content
    check_calls: bool = False  # check tool calls against the declared schemas
    stamps: tuple[tuple[Stamp, ...] | None, ...] = ()  # of the units' files, which must not change during the run
    record_filter: RecordFilter | None = None  # applied to records that pass the checks
    end_tokens: EndTokens | None = None  # stripped from the end of answers before the filter; None: nothing is
    calls_written: str = "always"  # by the template: see RowFormat
    name: str = "read"
    columns: tuple[str, ...] = ("unit",)

    @property
    def key(self) -> str:
        """The keys of the record filter and of the end tokens, and which calls the template writes. The key of a piece
        covers everything else: see unit_identities.
        """
        parts = (part.key for part in (self.record_filter, self.end_tokens) if part is not None)
        return "\n".join((*parts, self.calls_written))

    def __call__(self, table: pa.Table) -> Iterator[pa.Table]:
        """The rows of each unit. Raises SourceError like `read_raw`, and if a file changed while it was read."""
        for number in table["unit"].to_pylist():
            unit = self.units[number]
            yield from self._tables(unit, self.sources[unit.source])
            if self.stamps:
                check_unchanged(unit, self.stamps[number])

    def _tables(self, unit: Unit, source: Source) -> Iterator[pa.Table]:
        raw_rows = _LineCounter(read_raw(unit))
        is_changing = self.record_filter is not None or self.end_tokens is not None
        is_first = True
        entries: list[tuple[Any, ...]] = []
        how = row_format(source, self.calls_written)
        for raw in raw_rows:
            plain = None if source.keep or is_changing else plain_row(raw.value, how)
            if plain is not None:
                record, unused = plain
                names = _names_json(unused) if unused else None
                entries.append((raw.line, record, self.key_of(record), None, None, None, None, None, names, None))
            else:
                entries.append(self._entry(raw, source, how))
            if len(entries) == TABLE_ROWS:
                yield _table(entries, lines_in(unit) if is_first else None)
                is_first = False
                entries = []
        if is_first:
            skip = lines_in(unit) if unit.end is None or raw_rows.num_lines is None else raw_rows.num_lines
            yield _table(entries or [(0, *[None] * (len(ROW_SCHEMA) - 2))], skip)
        elif entries:
            yield _table(entries, None)

    def _entry(self, raw: RawRow, source: Source, how: RowFormat) -> tuple[Any, ...]:
        """The values of a row in ROW_SCHEMA without `skip`; the record is not serialized yet."""
        _, record, drop, kept, unused, calls = row_of(raw, source, how)
        stripped: Sequence[Sequence[str]] = ()
        if self.end_tokens is not None and drop is None and record is not None:
            record, stripped = self.end_tokens.strip(record)
            allow = source.merge_same_role == "allow"
            drop = check_structure(record, allow_same_role=allow) if stripped else None  # an answer may be empty now
        if self.check_calls and drop is None and record is not None and record.tools:
            drop = check_tool_calls(record)
        private: Mapping[str, int] = {}
        if self.record_filter is not None and drop is None and record is not None:
            record, drop, private = self.record_filter(record)
        return (
            raw.line,
            record,
            None if record is None else self.key_of(record),
            None if drop is None else drop.reason,
            None if drop is None else drop.detail,
            None if kept is None else json.dumps(kept, default=str),
            json.dumps(private) if private else None,
            json.dumps(stripped) if stripped else None,
            _names_json(unused) if unused and drop is None else None,
            _names_json(calls) if calls and drop is None else None,
        )


class _LineCounter:
    """Raw rows; after the last one, `num_lines` is the line count of their reader, None if it does not count."""

    def __init__(self, rows: Iterator[RawRow]) -> None:
        self._rows = rows
        self.num_lines: int | None = None

    def __iter__(self) -> Iterator[RawRow]:
        self.num_lines = yield from cast("Generator[RawRow, None, int | None]", self._rows)


def unit_identities(units: Sequence[Unit], sources: Sequence[Source], check_calls: bool) -> list[str | None]:
    """For each unit, a key that is equal for equal rows: the bytes and how they are read, but not where they are.

    None for remote files.
    """
    identities: list[str | None] = []
    for unit, content in zip(units, unit_checksums(units), strict=True):
        source = sources[unit.source]
        rows = (0, None) if unit.kind == "jsonl" else (unit.start, unit.end)
        part = (unit.start == 0, unit.end is None, *rows)
        columns = sorted(source.columns.items())
        how: list[Any] = [source.format, columns, source.system, source.keep, sorted(source.roles.items())]
        how += [source.merge_same_role, source.tool_calls_in_text, source.rendered_chats, check_calls]
        text = json.dumps([content, *part, unit.kind, unit.compression, *how])
        identities.append(None if content is None else hashlib.sha256(text.encode()).hexdigest())
    return identities


def _table(entries: list[tuple[Any, ...]], skip: int | None) -> pa.Table:
    """Rows as a table, with `skip` in the first entry."""
    lines, records, keys, *others = zip(*entries)
    others.append((skip, *([None] * (len(entries) - 1))))
    columns = [pa.array(lines, pa.int64()), record_array(records), pa.array(keys, pa.binary(KEY_BYTES))]
    columns += [mostly_null_array(column, field.type) for column, field in zip(others, [*ROW_SCHEMA][len(columns) :])]
    return pa.Table.from_arrays(columns, schema=ROW_SCHEMA)


def rows_of(unit: Unit, source: Source) -> Iterator[Row]:
    """Every row of a unit, in order, as a record or with its reason. Raises SourceError like `read_raw`."""
    for raw in read_raw(unit):
        yield row_of(raw, source)


def row_of(raw: RawRow, source: Source, how: RowFormat | None = None) -> Row:
    """A raw row as a record or with its reason. Never raises, whatever the row holds.

    `how` is the format of the source's rows, if there is more to it than the source says.
    """
    line, value, drop = raw
    kept = {path: _kept_value(value, path) for path in source.keep} if source.keep else None
    if drop is not None:
        return Row(line, None, drop, kept)
    how = how or row_format(source)
    plain = plain_row(value, how)
    if plain is not None:
        return Row(line, plain[0], None, kept, plain[1])
    record, unused, calls = convert(value, how)
    if isinstance(record, Drop):
        return Row(line, None, record, kept)
    same_role = how.merge_same_role
    problem = check_structure(record, allow_same_role=same_role == "allow", merged=same_role == "merge")
    if problem is not None and problem.reason in _NOT_SERIALIZABLE:
        return Row(line, None, problem, kept)
    if problem is not None:
        return Row(line, record, problem, kept)
    return Row(line, record, None, kept, unused, calls)


def row_format(source: Source, calls_written: str = "always") -> RowFormat:
    """The settings of a source, and the calls that the template writes, which decide what its rows mean."""
    return RowFormat(
        source.format,
        source.columns,
        source.system,
        source.keep,
        source.roles,
        source.merge_same_role,
        source.tool_calls_in_text,
        calls_written,
        source.rendered_chats,
    )


@lru_cache(maxsize=1 << 12)
def _names_json(names: tuple[str, ...]) -> str:
    """Names of columns as a JSON list; characters that cannot be encoded are replaced."""
    return json.dumps([name.encode("utf-8", "replace").decode() for name in names], ensure_ascii=False)


def _kept_value(value: object, path: str) -> Any:
    """The value of a column for the ledger; characters that cannot be encoded are replaced."""
    found = at_path(value, path) if isinstance(value, dict) else None
    return found.encode("utf-8", "replace").decode() if isinstance(found, str) and not found.isascii() else found
