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
from sftdata.pipeline.samples import NOWHERE, SampleTable
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
        self._keep, self._kept = keep_columns(keep), rows.column("keep")
        is_placed = samples.shard != NOWHERE
        times = np.where(is_placed, samples.copies, 1)
        self._num_tokens = samples.sums(samples.num_tokens * times, rows.size)
        self._num_trained = samples.sums(samples.num_trained * times, rows.size)
        self._num_places = samples.sums(times * is_placed, rows.size)
        self._ends = np.concatenate([[0], np.cumsum(self._num_places)])
        self._samples, self._placed = samples, samples.placed()

    def tables(self) -> Iterator[pa.Table]:
        """One row for each row of the input, in its order, some at a time."""
        rows = np.flatnonzero(self._rows.is_row)
        for start in range(0, len(rows), ROWS_AT_A_TIME):
            yield self._table(rows[start : start + ROWS_AT_A_TIME])

    def _table(self, rows: Ints) -> pa.Table:
        table = self._rows
        codes = table.reason[rows]
        is_packed = codes == LIVE
        reason = pa.array(codes, mask=is_packed)
        sides = pa.array(table.validation[rows].astype(np.int8), mask=~is_packed)
        has_tokens = self._num_tokens[rows] > 0
        columns = {
            "source": self._sources.take(pa.array(table.source[rows])),
            "where": table.where(rows),
            "record_id": table.record_ids(rows),
            "fate": pa.array([DROPPED, PACKED], pa.string()).take(pa.array(is_packed.astype(np.int8))),
            "stage": self._stages.take(reason),
            "reason": self._reasons.take(reason),
            "detail": pa.array(map(self._detail, rows.tolist()), pa.string()),
            "duplicate_of": self._repeated(rows),
            "similarity": pa.array(table.similarity[rows], mask=np.isnan(table.similarity[rows])),
            "split": pa.array([TRAIN, VALIDATION], pa.string()).take(sides),
            **self._places_of(rows),
            "num_tokens": pa.array(self._num_tokens[rows], mask=~has_tokens),
            "num_trained_tokens": pa.array(self._num_trained[rows], mask=~has_tokens),
        }
        return pa.table({**columns, **self._kept_columns(rows)})

    def _detail(self, row: int) -> str | None:
        """Why a row is dropped, as it may be written."""
        detail = self._rows.detail.get(row)
        return None if detail is None else self._details(detail)

    def _repeated(self, rows: Ints) -> pa.Array:
        """`where` of the row that each duplicate repeats."""
        repeats = self._rows.duplicate_of[rows]
        is_repeat = repeats >= 0
        order = pa.array(np.cumsum(is_repeat) - 1, mask=~is_repeat)
        return self._rows.where(repeats[is_repeat]).take(order)

    def _places_of(self, rows: Ints) -> dict[str, pa.Array]:
        """Lists with an entry for each sample of a row: its place and what proves it; null without samples."""
        first, last = int(self._ends[rows[0]]), int(self._ends[rows[-1] + 1])
        starts = np.append(self._ends[rows], last) - first
        is_null = np.append(self._num_places[rows] == 0, False)
        offsets = pa.array(starts.astype(np.int32), mask=is_null)
        columns = self._samples.ledger_columns(*(numbers[first:last] for numbers in self._placed))
        return {name: pa.ListArray.from_arrays(offsets, values) for name, values in columns.items()}

    def _kept_columns(self, rows: Ints) -> dict[str, pa.Array]:
        """What the sources' `keep` asks for."""
        if not self._keep:
            return {}
        texts = self._kept.take(pa.array(rows)).to_pylist()
        values = [json.loads(text) if text else {} for text in texts]
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
