"""Reading as a stage: units -> rows with their record or the reason why they are dropped, as Arrow tables."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol, cast

import pyarrow as pa

from sftdata.read.file_stamps import Stamps, check_unchanged, unit_checksums
from sftdata.read.formats.convert import RowFormat, convert
from sftdata.read.formats.fields import at_path
from sftdata.read.formats.plain import plain_row
from sftdata.read.formats.structure import check_structure
from sftdata.read.formats.tool_schemas import UNJUDGED, check_tool_calls
from sftdata.read.sources import lines_in, read_raw
from sftdata.read.units import RawRow, Source, Unit
from sftdata.records.column import RECORD_TYPE, mostly_null_array, record_array
from sftdata.records.end_tokens import EndTokens
from sftdata.records.faults import INTERNAL_ERROR, detail_of, fault_text, is_fault
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
        ("fault", pa.string()),  # of this program, for which the row is dropped: see faults.py; nearly always null
        ("skip", pa.int64()),  # line numbers that the unit covers; only in a unit's first entry
    ]
)
# Rows in memory at a time, and characters of their texts; neither changes the dataset.
TABLE_ROWS = 4096
TABLE_CHARS = 1 << 24
_JOINED_BYTES = 1 << 24  # of small tables that become one
ADDRESS = "address"  # column beside the units: what to open where that has a password or a token; mostly null
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


class DetailWriter(Protocol):
    """Writes why a row is dropped, without secrets and personal data."""

    @property
    def key(self) -> str:
        """Everything that decides the result besides the detail and the row."""
        ...

    def __call__(self, detail: str, row: object = None) -> str:
        """What is written of a detail of this row."""
        ...


@dataclass(frozen=True)
class Read:
    """Units, by their numbers -> rows: parsed, converted to records, checked, with the key of their content."""

    units: tuple[Unit, ...]
    sources: tuple[Source, ...]
    key_of: Callable[[Record], bytes]  # KEY_BYTES bytes, equal for equal content
    check_calls: bool = False  # check tool calls against the declared schemas
    stamps: tuple[Stamps, ...] = ()  # of the units' files, which must not change during the run
    record_filter: RecordFilter | None = None  # applied to records that pass the checks
    end_tokens: EndTokens | None = None  # stripped from the end of answers before the filter; None: nothing is
    calls_written: str = "always"  # by the template: see RowFormat
    tool_calls: str = "keep"  # or inline, of sources that do not say it: see row_format
    details: DetailWriter | None = None  # what is written of a detail and its row; None: the detail as it is
    name: str = "read"
    columns: tuple[str, ...] = ("unit",)

    @property
    def key(self) -> str:
        """The keys of the record filter, the end tokens and the details, and which calls the template writes. The key
        of a piece covers everything else: see unit_identities.
        """
        parts = (part.key for part in (self.record_filter, self.end_tokens, self.details) if part is not None)
        return "\n".join((*parts, self.calls_written, self.tool_calls))

    def __call__(self, table: pa.Table) -> Iterator[pa.Table]:
        """The rows of each unit. Raises SourceError like `read_raw`, and if a file changed while it was read."""
        tables = self._of_units(table)
        return tables if table.num_rows == 1 else _joined(tables)

    def _of_units(self, table: pa.Table) -> Iterator[pa.Table]:
        numbers = table["unit"].to_pylist()
        addresses = table[ADDRESS].to_pylist() if ADDRESS in table.column_names else [None] * len(numbers)
        for number, address in zip(numbers, addresses, strict=True):
            unit = self.units[number] if address is None else self.units[number]._replace(path=address)
            yield from self._tables(unit, self.sources[unit.source])
            if self.stamps:
                check_unchanged(unit, self.stamps[number])

    def _tables(self, unit: Unit, source: Source) -> Iterator[pa.Table]:
        raw_rows = _LineCounter(read_raw(unit))
        rows = iter(raw_rows)
        is_first = True
        while True:
            entries, is_end = self._entries(rows, source)
            if is_end:
                break
            yield _table(entries, lines_in(unit) if is_first else None)
            is_first = False
        if is_first:
            skip = lines_in(unit) if unit.end is None or raw_rows.num_lines is None else raw_rows.num_lines
            yield _table(entries or [(0, *[None] * (len(ROW_SCHEMA) - 2))], skip)
        elif entries:
            yield _table(entries, None)

    def _entries(self, rows: Iterator[RawRow], source: Source) -> tuple[list[tuple[Any, ...]], bool]:
        """The next rows, as many as a table holds, and whether they are the last. A fault costs the row that has it."""
        entries: list[tuple[Any, ...]] = []
        num_chars = 0
        how = row_format(source, self.calls_written, self.tool_calls)
        is_changing = self.record_filter is not None or self.end_tokens is not None
        while True:
            raw: RawRow | None = None
            try:
                for raw in rows:
                    plain = None if source.keep or is_changing else plain_row(raw.value, how)
                    if plain is not None:
                        record, unused = plain
                        names = _names_json(unused) if unused else None
                        key = self.key_of(record)
                        entries.append((raw.line, record, key, None, None, None, None, None, names, None, None))
                        for text in record.contents:
                            num_chars += len(text)
                    else:
                        entries.append(self._entry(raw, source, how))
                        num_chars += _num_chars(raw.value)
                    if len(entries) == TABLE_ROWS or num_chars >= TABLE_CHARS:
                        return entries, False
                    raw = None  # what the reader raises for the next row is not this one's
                return entries, True
            except BaseException as error:
                if raw is None or not is_fault(error):
                    raise
                entries.append(_fault_entry(raw.line, fault_text(error)))
            if len(entries) == TABLE_ROWS:
                return entries, False

    def _entry(self, raw: RawRow, source: Source, how: RowFormat) -> tuple[Any, ...]:
        """The values of a row in ROW_SCHEMA without `skip`; the record is not serialized yet."""
        _, record, drop, kept, unused, calls, fault = row_of(raw, source, how)
        stripped: Sequence[Sequence[str]] = ()
        if self.end_tokens is not None and drop is None and record is not None:
            record, stripped = self.end_tokens.strip(record)
            allow = source.merge_same_role == "allow"
            drop = check_structure(record, allow_same_role=allow) if stripped else None  # an answer may be empty now
        if self.check_calls and drop is None and record is not None and record.tools:
            unjudged: dict[str, None] = {}
            drop = check_tool_calls(record, lambda why: unjudged.update({why: None}))
            calls = (*calls, *(f"{UNJUDGED}: {why}" for why in unjudged))
        private: Mapping[str, int] = {}
        if self.record_filter is not None and drop is None and record is not None:
            record, drop, private = self.record_filter(record)
        return (
            raw.line,
            record,
            None if record is None else self.key_of(record),
            None if drop is None else drop.reason,
            None if drop is None or drop.detail is None else self._detail(_encodable(drop.detail), raw.value),
            None if kept is None else json.dumps(kept, default=str),
            json.dumps(private) if private else None,
            json.dumps(stripped) if stripped else None,
            _names_json(unused) if unused and drop is None else None,
            _names_json(calls) if calls and drop is None else None,
            fault,
        )

    def _detail(self, detail: str, value: object) -> str:
        """What is written of a detail."""
        return detail if self.details is None else self.details(detail, value)


def _joined(tables: Iterator[pa.Table]) -> Iterator[pa.Table]:
    """The rows of many small tables in few larger ones: a table in a file costs as much as hundreds of rows."""
    waiting: list[pa.Table] = []
    num_rows = size_bytes = 0
    for table in tables:
        waiting.append(table)
        num_rows += table.num_rows
        size_bytes += table.nbytes
        if num_rows >= TABLE_ROWS or size_bytes >= _JOINED_BYTES:
            yield pa.concat_tables(waiting).combine_chunks()
            waiting.clear()
            num_rows = size_bytes = 0
    if waiting:
        yield pa.concat_tables(waiting).combine_chunks()


def _num_chars(value: object) -> int:
    """About how many characters the texts of a raw row have. Takes no recursion."""
    num_chars, left = 0, [value]
    while left:
        item = left.pop()
        if isinstance(item, (str, bytes)):
            num_chars += len(item)
        elif isinstance(item, dict):
            left += item.values()
        elif isinstance(item, list):
            left += item
    return num_chars


class _LineCounter:
    """Raw rows; after the last one, `num_lines` is the line count of their reader, None if it does not count."""

    def __init__(self, rows: Iterator[RawRow]) -> None:
        self._rows = rows
        self.num_lines: int | None = None

    def __iter__(self) -> Iterator[RawRow]:
        self.num_lines = yield from cast("Generator[RawRow, None, int | None]", self._rows)


def unit_identities(units: Sequence[Unit], sources: Sequence[Source], check_calls: bool) -> list[str | None]:
    """For each unit, a key that is equal for equal rows: the bytes and how they are read, but not where they are.

    None for files on a store that gives no ETags.
    """
    identities: list[str | None] = []
    for unit, content in zip(units, unit_checksums(units), strict=True):
        source = sources[unit.source]
        rows = (0, None) if unit.kind == "jsonl" else (unit.start, unit.end)
        part = (unit.start == 0, unit.end is None, *rows)
        columns = sorted(source.columns.items())
        how: list[Any] = [source.format, columns, source.system, source.keep, sorted(source.roles.items())]
        how += [source.merge_same_role, source.tool_calls_in_text, source.tool_calls, source.rendered_chats]
        how.append(check_calls)
        text = json.dumps([content, *part, unit.kind, unit.compression, *how])
        identities.append(None if content is None else hashlib.sha256(text.encode()).hexdigest())
    return identities


def _fault_entry(line: int, fault: str) -> tuple[Any, ...]:
    """The entry of a row that has a fault of ours."""
    return (line, None, None, INTERNAL_ERROR, detail_of(fault), None, None, None, None, None, fault)


def _table(entries: list[tuple[Any, ...]], skip: int | None) -> pa.Table:
    """Rows as a table, with `skip` in the first entry. A row that cannot be written is a fault of its own."""
    try:
        return _arrow_table(entries, skip)
    except BaseException as error:
        if not is_fault(error):
            raise
    return _arrow_table([_storable(entry) for entry in entries], skip)


def _storable(entry: tuple[Any, ...]) -> tuple[Any, ...]:
    """The entry of a row, or that of its fault if it cannot be written."""
    try:
        _arrow_table([entry], None)
    except BaseException as error:
        if not is_fault(error):
            raise
        return _fault_entry(entry[0], fault_text(error))
    return entry


def _arrow_table(entries: list[tuple[Any, ...]], skip: int | None) -> pa.Table:
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
    """A raw row as a record or with its reason. Never raises, whatever the row holds: a fault of ours is a reason too.

    `how` is the format of the source's rows, if there is more to it than the source says.
    """
    try:
        return _row_of(raw, source, how)
    except BaseException as error:
        if not is_fault(error):
            raise
        fault = fault_text(error)
        return Row(raw.line, None, Drop(INTERNAL_ERROR, detail_of(fault)), fault=fault)


def _row_of(raw: RawRow, source: Source, how: RowFormat | None) -> Row:
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


def row_format(source: Source, calls_written: str = "always", tool_calls: str = "keep") -> RowFormat:
    """The settings of a source, and the calls that the template writes, which decide what its rows mean. Calls that are
    written as text (`tool_calls`, of the run, or of the source) are written for all rows.
    """
    if (source.tool_calls or tool_calls) == "inline":
        calls_written = "always"
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
    return json.dumps([_encodable(name) for name in names], ensure_ascii=False)


def _encodable(text: str) -> str:
    """Text that Arrow can hold: half a character becomes a question mark."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def _kept_value(value: object, path: str) -> Any:
    """The value of a column for the ledger; characters that cannot be encoded are replaced."""
    found = at_path(value, path) if isinstance(value, dict) else None
    return _encodable(found) if isinstance(found, str) else found
