"""The table of rows while `prepare` runs: narrow columns in the order of the input, and what was decided about each."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from sftdata.curate.duplicates.exact import first_occurrences, hex_strings, key_bytes, record_ids
from sftdata.curate.split import choose_validation, joined_hashes
from sftdata.engines.stage import Piece
from sftdata.read.units import Unit
from sftdata.reasons import REASONS
from sftdata.records.faults import INTERNAL_ERROR, detail_of
from sftdata.store.ledger import as_text

if TYPE_CHECKING:
    from sftdata.curate.duplicates.near import Verdict

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

# Of ROW_SCHEMA: what a RowTable is made from, and what it keeps for later steps. All are collected at once, because
# each time every piece is opened again.
ROW_COLUMNS = ("line", "key", "reason", "detail", "skip", "unused", "calls", "stripped", "private")
REASON_NAMES = tuple(REASONS)
_DECIDING = ROW_COLUMNS[:5]
LIVE = -1  # in place of a reason: not dropped


class RowTable:
    """All rows of the input and what has been decided about them so far.

    `pieces` are the tables that reading made, `columns` their ROW_COLUMNS; `names` is what users see of the units'
    files. An entry is a row, or the placeholder of a unit without rows. Columns that `columns` has besides, such as
    `keep`, are there for later steps.
    """

    def __init__(self, pieces: Sequence[Piece], units: Sequence[Unit], names: Sequence[str], columns: pa.Table) -> None:
        self.pieces = pieces
        skip = columns["skip"].combine_chunks()
        is_first = skip.is_valid().to_numpy(zero_copy_only=False)
        self.unit: npt.NDArray[np.int32] = np.cumsum(is_first, dtype=np.int32) - np.int32(1)
        self.line: Ints = columns["line"].to_numpy() + _line_bases(units, skip.drop_null().to_pylist())[self.unit]
        self.is_row: Bools = columns["line"].to_numpy() > 0
        self.reason = _reason_codes(columns["reason"])
        self.detail = _details(columns["detail"])
        self.faults: dict[int, str] = {}  # of this program, by row: see faults.py
        self.duplicate_of: Ints = np.full(self.size, -1, np.int64)  # the row that a duplicate repeats
        self.similarity = np.full(self.size, np.nan)  # of a near or semantic duplicate to that row
        self.cluster: npt.NDArray[Any] | None = None  # equal for rows linked by near or semantic duplicates
        self.validation: Bools = np.zeros(self.size, np.bool_)
        self._source: Ints = np.array([unit.source for unit in units], np.int64)
        self._names = pa.array(names, pa.string())
        self._key = columns["key"].combine_chunks()
        later = [name for name in columns.column_names if name not in _DECIDING]
        self._later = {name: columns[name].combine_chunks() for name in later if columns[name].null_count < self.size}

    @property
    def size(self) -> int:
        """The number of entries: the rows read, and one for each unit without rows."""
        return len(self.unit)

    @property
    def live(self) -> Bools:
        """The rows that are not dropped so far."""
        live: Bools = self.is_row & (self.reason == LIVE)
        return live

    @property
    def num_live(self) -> int:
        """How many rows are not dropped so far."""
        return int(np.count_nonzero(self.live))

    @property
    def source(self) -> Ints:
        """The number of each entry's source."""
        return self._source[self.unit]

    @cached_property
    def has_record(self) -> Bools:
        """The rows of which a record could be made."""
        valid: Bools = self._key.is_valid().to_numpy(zero_copy_only=False)
        return valid

    @cached_property
    def id_bytes(self) -> npt.NDArray[np.uint8]:
        """The record id of each entry, as bytes; zeros where there is no record."""
        return record_ids(self._key, first_occurrences(self._key)[1])

    @property
    def id_hashes(self) -> npt.NDArray[np.uint64]:
        """A uniform hash of each entry's record id: an order that depends on neither the row's place nor other rows."""
        return self.id_bytes.view(">u8")[:, 0].astype(np.uint64)

    def record_ids(self, entries: Ints) -> pa.Array:
        """The record ids of entries, as text; null where there is no record."""
        return hex_strings(self.id_bytes[entries], self.has_record[entries])

    def where(self, entries: Ints) -> pa.Array:
        """`file:line` of entries."""
        names = self._names.take(pa.array(self.unit[entries]))
        return pc.binary_join_element_wise(
            names, pc.cast(pa.array(self.line[entries]), pa.string()), pa.scalar(":", pa.string())
        )

    def column(self, name: str) -> pa.Array:
        """A column of texts that reading made for later steps; null where there is nothing."""
        found = self._later.get(name)
        return pa.nulls(self.size, pa.string()) if found is None else found

    def reasons_of_source(self, source: int) -> set[str | None]:
        """The reasons that the rows of a source have; None where a row is not dropped."""
        codes = np.unique(self.reason[self.is_row & (self.source == source)])
        return {None if code == LIVE else REASON_NAMES[code] for code in codes.tolist()}

    def drop(self, entries: Ints, reason: str, details: Mapping[int, str] | None = None) -> None:
        """Give rows their reason. A row that has one keeps it."""
        free = entries[self.reason[entries] == LIVE]
        self.reason[free] = REASON_NAMES.index(reason)
        if details:
            self.detail.update({entry: details[entry] for entry in free.tolist() if entry in details})

    def drop_faults(self, faults: pa.ChunkedArray, entries: Ints | None = None) -> None:
        """Drop the rows that have a fault of this program, given as a column: for every row, or for these entries."""
        found = np.flatnonzero(faults.is_valid().to_numpy())
        texts = dict(zip((found if entries is None else entries[found]).tolist(), faults.drop_null().to_pylist()))
        details = {row: detail_of(text) for row, text in texts.items()}
        self.drop(np.array(list(texts), np.int64), INTERNAL_ERROR, details)
        self.faults |= {row: text for row, text in texts.items() if self.is_dropped_for(row, INTERNAL_ERROR)}

    def drop_duplicates(self) -> None:
        """Drop every live row whose content an earlier live row has."""
        live = self.live
        keys = pc.if_else(pa.array(live), self._key, pa.scalar(None, self._key.type))
        first, _ = first_occurrences(keys)
        self.drop_repeats(np.where(first != np.arange(len(first)), first, -1), "duplicate")

    def drop_similar(self, verdict: Verdict, reason: str) -> None:
        """Drop the near or semantic duplicates of a verdict over all rows, and remember which rows they link: those of
        this verdict and of earlier ones.
        """
        repeats = np.flatnonzero((verdict.duplicate_of >= 0) & self.live)
        self.similarity[repeats] = verdict.similarity[repeats]
        self.drop_repeats(verdict.duplicate_of, reason)
        if self.cluster is None:
            self.cluster = verdict.cluster
        else:
            entries = np.arange(self.size, dtype=np.uint64)
            self.cluster = joined_hashes(entries, [self.cluster, verdict.cluster])

    def drop_repeats(self, duplicate_of: Ints, reason: str) -> None:
        """Drop the live rows for which another row is named (-1: no row)."""
        repeats = np.flatnonzero((duplicate_of >= 0) & self.live)
        self.duplicate_of[repeats] = duplicate_of[repeats]
        self.drop(repeats, reason)

    def is_dropped_for(self, entry: int, reason: str) -> bool:
        """Whether this is why a row was dropped."""
        return int(self.reason[entry]) == REASON_NAMES.index(reason)

    def choose_split(
        self, validation: int | float, values: npt.NDArray[np.uint64] | None = None, present: Bools | None = None
    ) -> None:
        """Choose the live rows that are held out, by a hash of their content or, where `present`, of `values`.

        Rows with equal content, with an equal value, or in one cluster of near or semantic duplicates stay on one side.
        """
        hashes: npt.NDArray[np.uint64] = key_bytes(self._key).view(np.uint64)[:, 1]
        live = self.live
        if validation and (values is not None or self.cluster is not None):
            own = hashes if values is None or present is None else np.where(present, values, hashes)
            groups = [hashes[live]] if self.cluster is None else [hashes[live], self.cluster[live]]
            hashes = np.zeros_like(hashes)
            hashes[live] = joined_hashes(own[live], groups)
        self.validation = choose_validation(hashes, live, validation)

    def dropped(self) -> pa.Table:
        """The column that tells a stage which rows to pass by."""
        return pa.table({"dropped": ~self.live})


def kept_values(rows: RowTable, column: str) -> list[str | None]:
    """Each row's value of a column that reading kept, as text."""
    return [as_text(json.loads(text).get(column)) if text else None for text in rows.column("keep").to_pylist()]


def _line_bases(units: Sequence[Unit], skips: Sequence[int]) -> Ints:
    """For each unit, the line numbers that the earlier units of its file take up."""
    bases = np.zeros(len(units), np.int64)
    for number in range(1, len(units)):
        before, unit = units[number - 1], units[number]
        if before.end is not None and (before.source, before.path) == (unit.source, unit.path):
            bases[number] = bases[number - 1] + skips[number - 1]
    return bases


def _reason_codes(reasons: pa.ChunkedArray) -> npt.NDArray[np.int16]:
    """Reasons as numbers in REASON_NAMES; LIVE where there is none."""
    codes = pc.index_in(reasons, value_set=pa.array(REASON_NAMES, pa.string())).fill_null(LIVE)
    return codes.to_numpy().astype(np.int16)  # type: ignore[no-any-return]


def _details(column: pa.ChunkedArray) -> dict[int, str]:
    """The entries of a column that is mostly null, by position."""
    valid = np.flatnonzero(column.is_valid().to_numpy())
    return dict(zip(valid.tolist(), column.drop_null().to_pylist(), strict=True))
