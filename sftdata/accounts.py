"""The ledger's rows, made from the fates of the input rows and the places of their samples."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa

from sftdata.curate.split import TRAIN, VALIDATION
from sftdata.fates import LIVE, REASON_NAMES, Fates, Ints
from sftdata.reasons import stage_of
from sftdata.samples import NOWHERE, Samples
from sftdata.store.ledger import DROPPED, PACKED, as_text, keep_columns

ROWS_AT_A_TIME = 1 << 16  # changes no byte of the ledger

_STAGES = pa.array([stage_of(reason) for reason in REASON_NAMES], pa.string())
_REASONS = pa.array(REASON_NAMES, pa.string())


class Accounts:
    """Makes the ledger of a run. `sources` are their paths as configured; `kept` holds kept columns as JSON."""

    def __init__(
        self, fates: Fates, samples: Samples, sources: Sequence[str], keep: Sequence[str], kept: pa.Array
    ) -> None:
        self._fates = fates
        self._sources = pa.array(sources, pa.string())
        self._keep, self._kept = keep_columns(keep), kept
        is_placed = samples.shard != NOWHERE
        times = np.where(is_placed, samples.copies, 1)
        self._num_tokens = samples.sums(samples.num_tokens * times, fates.size)
        self._num_trained = samples.sums(samples.num_trained * times, fates.size)
        self._num_places = samples.sums(times * is_placed, fates.size)
        self._ends = np.concatenate([[0], np.cumsum(self._num_places)])
        self._of_places = {"places": samples.places(), **samples.proofs()}

    def tables(self) -> Iterator[pa.Table]:
        """One row for each row of the input, in its order, some at a time."""
        rows = np.flatnonzero(self._fates.is_row)
        for start in range(0, len(rows), ROWS_AT_A_TIME):
            yield self._table(rows[start : start + ROWS_AT_A_TIME])

    def _table(self, rows: Ints) -> pa.Table:
        fates = self._fates
        codes = fates.reason[rows]
        is_packed = codes == LIVE
        reason = pa.array(codes, mask=is_packed)
        sides = pa.array(fates.validation[rows].astype(np.int8), mask=~is_packed)
        has_tokens = self._num_tokens[rows] > 0
        columns = {
            "source": self._sources.take(pa.array(fates.source[rows])),
            "where": fates.where(rows),
            "record_id": fates.record_ids(rows),
            "fate": pa.array([DROPPED, PACKED], pa.string()).take(pa.array(is_packed.astype(np.int8))),
            "stage": _STAGES.take(reason),
            "reason": _REASONS.take(reason),
            "detail": pa.array([fates.detail.get(row) for row in rows.tolist()], pa.string()),
            "duplicate_of": self._repeated(rows),
            "similarity": pa.array(fates.similarity[rows], mask=np.isnan(fates.similarity[rows])),
            "split": pa.array([TRAIN, VALIDATION], pa.string()).take(sides),
            **self._places_of(rows),
            "num_tokens": pa.array(self._num_tokens[rows], mask=~has_tokens),
            "num_trained_tokens": pa.array(self._num_trained[rows], mask=~has_tokens),
        }
        return pa.table({**columns, **self._kept_columns(rows)})

    def _repeated(self, rows: Ints) -> pa.Array:
        """`where` of the row that each duplicate repeats."""
        repeats = self._fates.repeats[rows]
        is_repeat = repeats >= 0
        order = pa.array(np.cumsum(is_repeat) - 1, mask=~is_repeat)
        return self._fates.where(repeats[is_repeat]).take(order)

    def _places_of(self, rows: Ints) -> dict[str, pa.Array]:
        """Lists with an entry for each sample of a row: where it stands and what proves it; null without samples."""
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
