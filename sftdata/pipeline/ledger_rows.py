"""The ledger's rows, made from the table of rows and the places of their samples."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from sftdata.config import Config
from sftdata.curate.split import TRAIN, VALIDATION
from sftdata.engines.engine import Engine
from sftdata.pipeline.rows import LIVE, REASON_NAMES, Ints, RowTable
from sftdata.pipeline.samples import NOWHERE, SampleTable
from sftdata.reasons import stage_of
from sftdata.store.ledger import DROPPED, PACKED, LedgerWriter, as_text, keep_columns

ROWS_AT_A_TIME = 1 << 16  # changes no byte of the ledger

_STAGES = pa.array([stage_of(reason) for reason in REASON_NAMES], pa.string())
_REASONS = pa.array(REASON_NAMES, pa.string())


class LedgerRows:
    """Makes the ledger of a run. `sources` are their paths as configured; `kept` holds kept columns as JSON."""

    def __init__(
        self, rows: RowTable, samples: SampleTable, sources: Sequence[str], keep: Sequence[str], kept: pa.Array
    ) -> None:
        self._rows = rows
        self._sources = pa.array(sources, pa.string())
        self._keep, self._kept = keep_columns(keep), kept
        is_placed = samples.shard != NOWHERE
        times = np.where(is_placed, samples.copies, 1)
        self._num_tokens = samples.sums(samples.num_tokens * times, rows.size)
        self._num_trained = samples.sums(samples.num_trained * times, rows.size)
        self._num_places = samples.sums(times * is_placed, rows.size)
        self._ends = np.concatenate([[0], np.cumsum(self._num_places)])
        self._of_places = {"places": samples.places(), **samples.proofs()}

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
            "stage": _STAGES.take(reason),
            "reason": _REASONS.take(reason),
            "detail": pa.array([table.detail.get(row) for row in rows.tolist()], pa.string()),
            "duplicate_of": self._repeated(rows),
            "similarity": pa.array(table.similarity[rows], mask=np.isnan(table.similarity[rows])),
            "split": pa.array([TRAIN, VALIDATION], pa.string()).take(sides),
            **self._places_of(rows),
            "num_tokens": pa.array(self._num_tokens[rows], mask=~has_tokens),
            "num_trained_tokens": pa.array(self._num_trained[rows], mask=~has_tokens),
        }
        return pa.table({**columns, **self._kept_columns(rows)})

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
        return {
            name: pa.ListArray.from_arrays(offsets, values.slice(first, last - first))
            for name, values in self._of_places.items()
        }

    def _kept_columns(self, rows: Ints) -> dict[str, pa.Array]:
        """What the sources' `keep` asks for."""
        if not self._keep:
            return {}
        texts = self._kept.take(pa.array(rows)).to_pylist()
        values = [json.loads(text) if text else {} for text in texts]
        return {
            column: pa.array([as_text(row.get(name)) for row in values], pa.string())
            for name, column in self._keep.items()
        }


def write_ledger(rows: RowTable, samples: SampleTable, engine: Engine, config: Config, folder: Path) -> LedgerWriter:
    """Write the ledger into `folder`: one row for each row of the input. Raises OutputError as LedgerWriter."""
    keep = list(dict.fromkeys(name for source in config.sources for name in source.keep))
    kept = engine.collect(rows.pieces, ["keep"])["keep"].combine_chunks() if keep else pa.nulls(0, pa.string())
    ledger_rows = LedgerRows(rows, samples, [source.path for source in config.sources], keep, kept)
    with LedgerWriter(folder, keep) as ledger:
        for table in ledger_rows.tables():
            ledger.write(table)
    return ledger
