"""The ledger's rows, made from the table of rows and the places of their samples."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from sftdata.config import Config
from sftdata.curate.privacy.details import Details
from sftdata.curate.split import TRAIN, VALIDATION
from sftdata.files.atomic import write_bytes
from sftdata.pipeline.rows import LIVE, REASON_NAMES, Ints, RowTable
from sftdata.pipeline.samples import NOWHERE, SampleTable, SmallInts
from sftdata.reasons import stage_of
from sftdata.records.faults import ERROR_LOG
from sftdata.safe.addresses import mask_credentials
from sftdata.store.ledger import DROPPED, PACKED, LedgerWriter, as_text, keep_columns
from sftdata.store.manifest import FileEntry

ROWS_AT_A_TIME = 1 << 16  # changes no byte of the ledger
MAX_LOGGED = 1_000  # rows in the log of errors


class LedgerRows:
    """Makes the ledger of a run. `sources` are their paths as configured, `keep` the columns they keep; `details`
    writes why rows are dropped.
    """

    def __init__(
        self,
        rows: RowTable,
        samples: SampleTable,
        sources: Sequence[str],
        keep: Sequence[str],
        details: Details,
    ) -> None:
        self._rows = rows
        self._details = details
        self._sources = pa.array(sources, pa.string())
        self._stages = pa.array([stage_of(reason) for reason in REASON_NAMES], pa.string())
        self._reasons = pa.array(REASON_NAMES, pa.string())
        self._keep = keep_columns(keep)
        self._samples = samples

    def tables(self) -> Iterator[pa.Table]:
        """One row for each row of the input, in its order, some at a time."""
        for first in range(0, self._rows.size, ROWS_AT_A_TIME):
            last = min(first + ROWS_AT_A_TIME, self._rows.size)
            if self._rows.is_row[first:last].any():
                yield self._table(first, last)

    def _table(self, first: int, last: int) -> pa.Table:
        """The rows among the entries from `first` on and before `last`."""
        table, samples = self._rows, self._samples
        rows = first + np.flatnonzero(table.is_row[first:last])
        codes = table.reason[rows]
        is_packed = codes == LIVE
        reason = pa.array(codes, mask=is_packed)
        sides = pa.array(table.validation[rows].astype(np.int8), mask=~is_packed)
        begin, end = samples.of_rows(first, last)
        is_placed = samples.shard[begin:end] != NOWHERE
        times = np.where(is_placed, samples.copies[begin:end], 1)
        owner = samples.row[begin:end] - first

        def sums(values: Ints | SmallInts) -> Ints:
            """Numbers of samples, summed for each of the rows."""
            found = np.zeros(last - first, np.int64)
            np.add.at(found, owner, values)
            return found[rows - first]

        num_tokens = sums(np.multiply(samples.num_tokens[begin:end], times, dtype=np.int64))
        num_trained = sums(np.multiply(samples.num_trained[begin:end], times, dtype=np.int64))
        similarity = table.similarity(rows)
        columns = {
            "source": self._sources.take(pa.array(table.source_of(rows))),
            "where": table.where(rows),
            "record_id": table.record_ids(rows),
            "fate": pa.array([DROPPED, PACKED], pa.string()).take(pa.array(is_packed.astype(np.int8))),
            "stage": self._stages.take(reason),
            "reason": self._reasons.take(reason),
            "detail": self._detail_of(rows, first, last),
            "duplicate_of": self._repeated(rows),
            "similarity": pa.array(similarity, mask=np.isnan(similarity)),
            "split": pa.array([TRAIN, VALIDATION], pa.string()).take(sides),
            **self._places_of(begin, end, sums(times * is_placed)),
            "num_tokens": pa.array(num_tokens, mask=num_tokens == 0),
            "num_trained_tokens": pa.array(num_trained, mask=num_tokens == 0),
        }
        return pa.table({**columns, **self._kept_columns(rows, first, last)})

    def _detail_of(self, rows: Ints, first: int, last: int) -> pa.Array:
        """Why rows are dropped, as it may be written."""
        texts = dict(self._rows.details.between(first, last))
        details = (texts.get(row) for row in rows.tolist())
        return pa.array([None if text is None else self._details(text) for text in details], pa.string())

    def _repeated(self, rows: Ints) -> pa.Array:
        """`where` of the row that each duplicate repeats."""
        repeats = self._rows.duplicate_of[rows]
        is_repeat = repeats >= 0
        order = pa.array(np.cumsum(is_repeat) - 1, mask=~is_repeat)
        return self._rows.where(repeats[is_repeat]).take(order)

    def _places_of(self, begin: int, end: int, num_places: Ints) -> dict[str, pa.Array]:
        """Lists with an entry for each sample of a row: its place and what proves it; null without samples. The samples
        are the entries from `begin` on and before `end`.
        """
        starts = np.concatenate([[0], np.cumsum(num_places)]).astype(np.int32)
        offsets = pa.array(starts, mask=np.append(num_places == 0, False))
        columns = self._samples.ledger_columns(begin, end)
        return {name: pa.ListArray.from_arrays(offsets, values) for name, values in columns.items()}

    def _kept_columns(self, rows: Ints, first: int, last: int) -> dict[str, pa.Array]:
        """What the sources' `keep` asks for."""
        if not self._keep:
            return {}
        texts = self._rows.kept(first, last)
        values = [json.loads(text) if text else {} for text in map(texts.__getitem__, (rows - first).tolist())]
        return {
            column: pa.array([self._kept_text(row.get(name)) for row in values], pa.string())
            for name, column in self._keep.items()
        }

    def _kept_text(self, value: object) -> str | None:
        """A kept value as it may be written: redacted where the texts are, unless it is a number."""
        text = as_text(value)
        is_redacted = self._details.privacy.mode in ("redact", "drop") and not isinstance(value, (int, float))
        return self._details.mask(text) if text and is_redacted else text


def write_error_log(rows: RowTable, folder: Path) -> list[FileEntry]:
    """Write the tracebacks of the rows that faults of this program cost, in the order of the rows, each traceback once;
    no file if there are none. Personal data and secrets in messages are masked. Raises OutputError where it cannot be
    written.
    """
    if not rows.faults:
        return []
    from sftdata.curate.privacy.redact import redact  # compiles large patterns

    entries = sorted(rows.faults)
    lines = [f"Rows that faults of sftdata cost: {len(entries):,}. Please report them.", ""]
    first: dict[str, str] = {}  # the place of the first row with each fault
    for where, entry in zip(rows.where(np.array(entries[:MAX_LOGGED])).to_pylist(), entries):
        fault = rows.faults[entry]
        if fault in first:
            lines += [f"{where}: as {first[fault]}", ""]
        else:
            first[fault] = where
            lines += [f"{where}: {mask_credentials(redact(fault)[0])}", ""]
    if len(entries) > MAX_LOGGED:
        lines.append(f"The ledger has {len(entries) - MAX_LOGGED:,} more.")
    data = "\n".join(lines).encode("utf-8", "backslashreplace")
    return [FileEntry(path=ERROR_LOG, size_bytes=len(data), sha256=write_bytes(folder / ERROR_LOG, data))]


def write_ledger(rows: RowTable, samples: SampleTable, config: Config, folder: Path) -> LedgerWriter:
    """Write the ledger into `folder`: one row for each row of the input. Raises OutputError as LedgerWriter."""
    keep = list(dict.fromkeys(name for source in config.sources for name in source.keep))
    ledger_rows = LedgerRows(rows, samples, [source.path for source in config.sources], keep, Details(config.privacy))
    with LedgerWriter(folder, keep) as ledger:
        for table in ledger_rows.tables():
            ledger.write(table)
    return ledger
