"""The ledger: the fate of every input row, one row for each, in the order of the input."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from sftdata.errors import DatasetError
from sftdata.files.atomic import Sink, atomic_write
from sftdata.store.manifest import Counts, LedgerEntry

PACKED = "packed"
DROPPED = "dropped"

# Rows of one file and of one row group: part of the format, as other values give other bytes.
FILE_ROWS = 1 << 20
GROUP_ROWS = 1 << 16
# The columns whose values come again and again, by Parquet's names for them; a dictionary of the others is of no use.
DICTIONARY_COLUMNS = ("source", "fate", "stage", "reason", "detail", "split", "places.list.element.shard")

PLACE = pa.struct([("shard", pa.string()), ("row", pa.int32()), ("index", pa.int32())])
LEDGER_SCHEMA = pa.schema(
    [
        ("source", pa.string()),  # its path, as configured
        ("where", pa.string()),  # "gsm8k_train.jsonl:17": the file within the source, the line from 1
        ("record_id", pa.string()),  # null where no record could be made
        ("fate", pa.string()),  # packed or dropped
        ("stage", pa.string()),  # null where packed, as the next two
        ("reason", pa.string()),
        ("detail", pa.string()),
        ("duplicate_of", pa.string()),  # the `where` of the row that this one repeats
        ("similarity", pa.float64()),
        ("split", pa.string()),
        ("places", pa.list_(PLACE)),  # of its samples; null where dropped
        ("turns", pa.list_(pa.list_(pa.int32()))),  # the turns trained in each place, from 1
        ("digests", pa.list_(pa.string())),  # sample_digest of each place's sample, in hex
        ("num_tokens", pa.int64()),  # null where nothing was encoded
        ("num_trained_tokens", pa.int64()),
    ]
)


def keep_columns(keep: Sequence[str]) -> dict[str, str]:
    """The ledger's column for each kept column: its own name, with `keep_` before it where that name is taken."""
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
    """The ledger's columns, those kept from the sources at the end as strings."""
    return pa.schema([*LEDGER_SCHEMA, *((column, pa.string()) for column in keep_columns(keep).values())])


def as_text(value: object) -> str | None:
    """A kept value as the ledger holds it: strings as they are, None as null, everything else as JSON.

    A string that is not Unicode (a lone surrogate in the source) is written as JSON too, with escapes.
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
    """Writes OUT/ledger/00000.parquet and so on, and counts. Used with `with`.

    Tables come in the order of the input, cut anywhere: the same rows give the same bytes. `files` and `counts` are
    complete when the block has ended. Raises OutputError where the folder cannot be written.
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
        """The fates of the rows written so far."""
        return self._tally.counts()

    def write(self, rows: pa.Table) -> None:
        """Add rows; their columns must be those of `ledger_schema(keep)`, in any order."""
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
        self._end_file()

    def _write_group(self, num_rows: int) -> None:
        """Write one row group, opening and ending files as their size asks."""
        table = pa.concat_tables(self._pending) if self._pending else self._schema.empty_table()
        self._pending = [table.slice(num_rows)] if num_rows < table.num_rows else []
        self._num_pending -= num_rows
        if self._file is None:
            self._start_file()
        try:
            self._parquet.write_table(table.slice(0, num_rows).combine_chunks(), row_group_size=GROUP_ROWS)
        except BaseException:
            self._abandon_file(*sys.exc_info())  # raises an OutputError in the place of a full disk and the like
            raise
        self._file_rows += num_rows
        if self._file_rows >= FILE_ROWS:
            self._end_file()

    def _start_file(self) -> None:
        """Open the next file under its hidden name."""
        with ExitStack() as stack:
            path = self._folder / "ledger" / f"{len(self.files):05}.parquet"
            self._sink = stack.enter_context(atomic_write(path))
            dictionary = [*DICTIONARY_COLUMNS, *self._schema.names[len(LEDGER_SCHEMA) :]]
            writer = pq.ParquetWriter(self._sink, self._schema, compression="zstd", use_dictionary=dictionary)
            self._parquet = stack.enter_context(writer)
            self._file = stack.pop_all()
        self._file_rows = 0

    def _end_file(self) -> None:
        """Put the open file, if any, under its name."""
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
        """Remove the open file, if any, because of a fault."""
        file, self._file = self._file, None
        if file is not None:
            file.__exit__(kind, error, trace)


class Tally:
    """Counts fates, table by table."""

    def __init__(self) -> None:
        self._fates: dict[tuple[str | None, str | None, str | None], int] = {}
        self._examples: dict[str, str] = {}

    def add(self, rows: pa.Table) -> None:
        """Count these rows."""
        codes = np.zeros(rows.num_rows, np.int64)  # of the three together; Table.group_by takes long to import
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
        """What was counted; stages and reasons in the order of their names. Raises ValueError on an unknown fate."""
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
    """The ledger's files in the order of the input. Raises DatasetError where there are none."""
    files = sorted(Path(folder, "ledger").glob("*.parquet"))
    if not files:
        raise DatasetError(str(folder), "holds no ledger", "give the folder that `sftdata prepare` wrote")
    return files


def read_ledger(folder: str | Path, columns: Sequence[str] | None = None) -> pa.Table:
    """The ledger, or some of its columns, in the order of the input. Raises DatasetError as `read_ledger_file`."""
    return pa.concat_tables([read_ledger_file(path, columns) for path in ledger_files(folder)])


def read_ledger_file(path: str | Path, columns: Sequence[str] | None = None) -> pa.Table:
    """One file of the ledger. Raises DatasetError where it is absent, no Parquet file, or has other columns."""
    hint = "prepare the dataset again, or restore the file"
    try:
        with pq.ParquetFile(path) as file:
            _check_schema(path, file.schema_arrow)
            return file.read(columns=None if columns is None else list(columns))
    except FileNotFoundError as error:
        raise DatasetError(str(path), "is not there", hint) from error
    except (pa.ArrowException, OSError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise DatasetError(str(path), f"cannot be read as a Parquet file ({reason})", hint) from error


def _check_schema(path: str | Path, schema: pa.Schema) -> None:
    """Raises DatasetError where a column of the ledger is absent or of another type."""
    for field in LEDGER_SCHEMA:
        at = schema.get_field_index(field.name)
        if at < 0:
            raise DatasetError(str(path), f"has no column {field.name}", "prepare the dataset again")
        if schema.field(at).type != field.type:
            what = f"holds {schema.field(at).type} in the column {field.name} instead of {field.type}"
            raise DatasetError(str(path), what, "prepare the dataset again")
