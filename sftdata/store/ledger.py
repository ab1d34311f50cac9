"""The ledger: what happened to each input row. One row per input row, in input order."""

from __future__ import annotations

import json
import sys
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from sftdata.errors import DatasetError, pluralize
from sftdata.files.atomic import Sink, atomic_write
from sftdata.files.parquet_file import read_row_groups
from sftdata.files.regular import regular_file, shorten
from sftdata.records.record import NOT_TRAINED
from sftdata.store.manifest import Counts, LedgerEntry

PREPARE_AGAIN = "prepare the dataset again"
PACKED = "packed"
DROPPED = "dropped"

# Rows per file and per row group. Part of the format: other values give different bytes.
FILE_ROWS = 1 << 20
GROUP_ROWS = 1 << 16
# Ledger columns with one entry per sample of a row -> what an entry is called in messages.
PER_PLACE_COLUMNS = {"places": "a place in a shard", "turns": "a trained turn", "digests": "a digest"}
# Columns with many repeated values, by their Parquet names. Only these are dictionary-encoded.
DICTIONARY_COLUMNS = ("source", "fate", "stage", "reason", "detail", "split", "places.list.element.shard")

PLACE = pa.struct([("shard", pa.string()), ("row", pa.int32()), ("index", pa.int32())])
LEDGER_SCHEMA = pa.schema(
    [
        ("source", pa.string()),  # path of the source, as configured
        ("where", pa.string()),  # "gsm8k_train.jsonl:17": file within the source, line counted from 1
        ("record_id", pa.string()),  # null if the row could not be parsed to a record
        ("fate", pa.string()),  # packed or dropped
        ("stage", pa.string()),  # stage and reason are null if packed
        ("reason", pa.string()),
        ("detail", pa.string()),  # if packed: which turns are not trained, and why (NOT_TRAINED)
        ("duplicate_of", pa.string()),  # `where` of the kept row that this row duplicates
        ("similarity", pa.float64()),
        ("split", pa.string()),
        ("places", pa.list_(PLACE)),  # of the row's samples; null if dropped
        ("turns", pa.list_(pa.list_(pa.int32()))),  # for each place: the trained turns, counted from 1
        ("digests", pa.list_(pa.string())),  # for each place: sample_digest of its sample, in hex
        ("num_tokens", pa.int64()),  # null if the row was dropped before encoding
        ("num_trained_tokens", pa.int64()),
    ]
)


def keep_columns(keep: Sequence[str]) -> dict[str, str]:
    """Kept column -> its ledger column: the same name, prefixed with `keep_` until it is unique."""
    taken = set(LEDGER_SCHEMA.names)
    columns = {}
    for name in dict.fromkeys(keep):
        column = name
        while column in taken:
            column = f"keep_{column}"
        taken.add(column)
        columns[name] = column
    return columns


def ledger_schema(keep: Sequence[str]) -> pa.Schema:
    """LEDGER_SCHEMA, followed by the columns kept from the sources, as strings."""
    return pa.schema([*LEDGER_SCHEMA, *((column, pa.string()) for column in keep_columns(keep).values())])


def as_text(value: object) -> str | None:
    """A kept value as ledger text: strings as they are, None as null, everything else as JSON.

    A string that is not valid Unicode (a lone surrogate in the source) is also written as JSON, with escapes.
    """
    if value is None:
        return None
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    try:
        text.encode()
    except UnicodeEncodeError:
        return json.dumps(value, default=str)
    return text


class LedgerWriter:
    """A context manager that writes OUT/ledger/00000.parquet and so on, and counts the rows.

    Tables must come in input order, but may be split anywhere: the same rows give the same bytes. `files` and
    `counts` are complete after the block. Raises OutputError if the folder cannot be written.
    """

    def __init__(self, folder: str | Path, keep: Sequence[str] = ()) -> None:
        self._folder = Path(folder)
        self._schema = ledger_schema(keep)
        self._pending: list[pa.Table] = []
        self._num_pending = 0
        self._file: ExitStack | None = None
        self._sink: Sink | None = None
        self._parquet: Any = None
        self._file_rows = 0
        self._tally = Tally()
        self.files: list[LedgerEntry] = []

    @property
    def counts(self) -> Counts:
        """Counts of the rows written so far."""
        return self._tally.counts()

    def write(self, rows: pa.Table) -> None:
        """Append rows. They must have the columns of `ledger_schema(keep)`, in any order."""
        rows = rows.select(self._schema.names).cast(self._schema)
        self._tally.add(rows)
        self._pending.append(rows)
        self._num_pending += rows.num_rows
        while self._num_pending >= GROUP_ROWS:
            self._write_group(GROUP_ROWS)

    def __enter__(self) -> LedgerWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self._abandon_file(kind, error, trace)
            return
        if self._num_pending or (not self.files and self._file is None):
            self._write_group(self._num_pending)
        self._finish_file()

    def _write_group(self, num_rows: int) -> None:
        """Write one row group. Open a new file if needed, and close it when it is full."""
        table = pa.concat_tables(self._pending) if self._pending else self._schema.empty_table()
        self._pending = [table.slice(num_rows)] if num_rows < table.num_rows else []
        self._num_pending -= num_rows
        if self._file is None:
            self._start_file()
        try:
            self._parquet.write_table(table.slice(0, num_rows).combine_chunks(), row_group_size=GROUP_ROWS)
        except BaseException:
            self._abandon_file(*sys.exc_info())  # raises OutputError if the disk is full, for example
            raise
        self._file_rows += num_rows
        if self._file_rows >= FILE_ROWS:
            self._finish_file()

    def _start_file(self) -> None:
        """Open the next file under its temporary name."""
        with ExitStack() as stack:
            path = self._folder / "ledger" / f"{len(self.files):05}.parquet"
            self._sink = stack.enter_context(atomic_write(path))
            dictionary = [*DICTIONARY_COLUMNS, *self._schema.names[len(LEDGER_SCHEMA) :]]
            writer = pq.ParquetWriter(self._sink, self._schema, compression="zstd", use_dictionary=dictionary)
            self._parquet = stack.enter_context(writer)
            self._file = stack.pop_all()
        self._file_rows = 0

    def _finish_file(self) -> None:
        """Close the open file, if any, and move it to its final name."""
        if self._file is None or self._sink is None:
            return
        file, self._file = self._file, None
        file.close()
        path = f"ledger/{len(self.files):05}.parquet"
        entry = LedgerEntry(path=path, rows=self._file_rows, size_bytes=self._sink.size_bytes, sha256=self._sink.sha256)
        self.files.append(entry)

    def _abandon_file(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Delete the open file, if any, after an exception."""
        file, self._file = self._file, None
        if file is not None:
            file.__exit__(kind, error, trace)


class Tally:
    """Counts packed and dropped rows, table by table."""

    def __init__(self) -> None:
        self._fates: dict[tuple[str | None, str | None, str | None], int] = {}
        self._examples: dict[str, str] = {}

    def add(self, rows: pa.Table) -> None:
        """Count the rows of a table."""
        codes = np.zeros(rows.num_rows, np.int64)  # of the three columns together; Table.group_by is slow to import
        for name in ("fate", "stage", "reason"):
            column = pc.dictionary_encode(rows[name].combine_chunks(), null_encoding="encode")
            codes = codes * len(column.dictionary) + column.indices.to_numpy()
        firsts, counts = np.unique(codes, return_index=True, return_counts=True)[1:]
        for first, count in zip(firsts.tolist(), counts.tolist()):
            key = (rows["fate"][first].as_py(), rows["stage"][first].as_py(), rows["reason"][first].as_py())
            self._fates[key] = self._fates.get(key, 0) + count
            if key[2] is not None and key[2] not in self._examples:
                self._examples[key[2]] = rows["where"][first].as_py()

    def counts(self) -> Counts:
        """The counts, sorted by stage and reason. Raises ValueError if fate, stage and reason do not fit together."""
        packed = 0
        dropped: dict[str, dict[str, int]] = {}
        for (fate, stage, reason), rows in sorted(self._fates.items(), key=str):
            if fate == PACKED and stage is None and reason is None:
                packed += rows
            elif fate == DROPPED and stage is not None and reason is not None:
                dropped.setdefault(stage, {})[reason] = rows
            else:
                raise ValueError(f"{rows} rows have the fate {fate}, stage {stage} and reason {reason}")
        examples = {reason: self._examples[reason] for reasons in dropped.values() for reason in reasons}
        return Counts(rows_read=sum(self._fates.values()), packed=packed, dropped=dropped, examples=examples)


def ledger_files(folder: str | Path) -> list[Path]:
    """The files of the ledger, in input order. Raises DatasetError if there are none."""
    files = sorted(Path(folder, "ledger").glob("*.parquet"))
    if not files:
        raise DatasetError(str(folder), "contains no ledger", "give a folder written by `sftdata prepare`")
    return files


def read_ledger(folder: str | Path, columns: Sequence[str] | None = None) -> pa.Table:
    """The ledger, or some of its columns, in input order. Raises DatasetError as `read_ledger_file` does."""
    return pa.concat_tables([read_ledger_file(path, columns) for path in ledger_files(folder)])


def read_ledger_file(path: str | Path, columns: Sequence[str] | None = None) -> pa.Table:
    """One file of the ledger. Raises DatasetError if it does not exist, is not Parquet, or has the wrong columns."""
    return pa.concat_tables(read_row_groups(path, LEDGER_SCHEMA, columns))


def checked_ledger(folder: str | Path, entry: LedgerEntry, groups: Collection[int] | None = None) -> Iterator[pa.Table]:
    """The columns of LEDGER_SCHEMA in a file of the ledger, row group by row group, each checked first.

    The file is a regular one in the folder, of the size and with the number of rows in the manifest; each row has one
    fate, and what belongs to it. With `groups`, only these row groups. Raises DatasetError for what is not so.
    """
    path = Path(folder, entry.path)
    regular_file(path, folder, entry.size_bytes)
    num_rows = 0
    for table in read_row_groups(path, LEDGER_SCHEMA, LEDGER_SCHEMA.names, groups):
        check_fates(path, table)
        num_rows += table.num_rows
        yield table
    if groups is None:
        _check_rows(path, num_rows, entry)


def ledger_names(folder: str | Path, entry: LedgerEntry) -> Iterator[pa.ChunkedArray]:
    """The column `where` of a file of the ledger, row group by row group. Raises DatasetError as `checked_ledger`."""
    path = Path(folder, entry.path)
    regular_file(path, folder, entry.size_bytes)
    num_rows = 0
    for table in read_row_groups(path, LEDGER_SCHEMA, ["where"]):
        num_rows += table.num_rows
        yield table["where"]
    _check_rows(path, num_rows, entry)


def _check_rows(path: Path, num_rows: int, entry: LedgerEntry) -> None:
    if num_rows != entry.rows:
        raise DatasetError(str(path), f"has {pluralize(num_rows, 'row')} instead of {entry.rows}", PREPARE_AGAIN)


def reject(path: Path, table: pa.Table, bad: Any, what: str) -> None:
    """Raise DatasetError for the first row of the ledger that is bad. `what` may name columns in braces."""
    if pc.any(bad).as_py():
        at = int(np.argmax(bad.to_numpy(zero_copy_only=False) if isinstance(bad, pa.Array) else bad.to_numpy()))
        row = table.slice(at, 1).to_pylist()[0]
        shown = {name: shorten(value) if isinstance(value, str) else value for name, value in row.items()}
        raise DatasetError(
            str(path), shorten(f"the row of {shown['where']}: {what.format(**shown)}", 1000), PREPARE_AGAIN
        )


def check_fates(path: Path, table: pa.Table) -> None:
    """Each row has a name, and is either packed, with places and token counts, or dropped, without places.

    A packed row has one list of turns and one digest for each place. Raises DatasetError for a row that is not so.
    """
    is_packed = pc.fill_null(pc.equal(table["fate"], PACKED), False)
    is_dropped = pc.fill_null(pc.equal(table["fate"], DROPPED), False)
    reject(path, table, pc.is_null(table["where"]), "where is null")
    reject(path, table, pc.is_null(table["source"]), "source is null")
    reject(path, table, pc.invert(pc.or_(is_packed, is_dropped)), "its fate is {fate!r}, neither packed nor dropped")
    for column in ("record_id", "split", "num_tokens", "num_trained_tokens"):
        bad = pc.and_(is_packed, pc.is_null(table[column]))
        reject(path, table, bad, f"packed, but its {column} is null")
    of_turns = pc.fill_null(pc.starts_with(table["detail"], NOT_TRAINED), False)
    for column in ("stage", "reason", "detail"):
        bad = pc.and_(is_packed, pc.is_valid(table[column]))
        if column == "detail":
            bad = pc.and_(bad, pc.invert(of_turns))
        reject(path, table, bad, f"packed, but with a {column}, {{{column}!r}}")
    places = pc.fill_null(pc.list_value_length(table["places"]), 0)
    for column, noun in PER_PLACE_COLUMNS.items():
        number = pc.fill_null(pc.list_value_length(table[column]), 0)
        reject(path, table, pc.and_(is_packed, pc.equal(number, 0)), f"packed, but without {noun}")
        reject(path, table, pc.and_(is_dropped, pc.greater(number, 0)), f"dropped, but with {noun}")
        if pc.any(differs := pc.not_equal(number, places)).as_py():
            at = pc.index(differs, True).as_py()
            reject(path, table, differs, f"it has {places[at]} places, but {number[at]} {column}")
    if any(chunk.flatten().null_count for chunk in table["places"].chunks):
        raise DatasetError(str(path), "has a place that is null", PREPARE_AGAIN)
