"""The table of rows while `prepare` runs: narrow columns in the order of the input, and what was decided about each."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from sftdata.curate.duplicates.exact import key_integers, repeat_ids
from sftdata.curate.duplicates.grouping import MAX_NODES, find_repeats
from sftdata.curate.split import choose_validation, joined_hashes
from sftdata.engines.engine import Engine
from sftdata.engines.stage import Piece
from sftdata.errors import SourceError
from sftdata.pipeline.columns.in_files import ColumnsInFiles, in_batches
from sftdata.pipeline.columns.texts import RowTexts
from sftdata.read.units import Unit
from sftdata.reasons import REASONS
from sftdata.records.faults import INTERNAL_ERROR, detail_of
from sftdata.records.ids import hex_strings
from sftdata.records.record import KEY_BYTES
from sftdata.store.ledger import as_text

Ints = npt.NDArray[np.int64]
Int32s = npt.NDArray[np.int32]
Bools = npt.NDArray[np.bool_]

# Of ROW_SCHEMA: what a RowTable is made from. All are collected at once, because each time every piece is opened again.
_DECIDING = ("line", "key", "reason", "detail", "skip")
TEXTS = ("unused", "calls", "stripped", "private")  # mostly null; for later steps
REASON_NAMES = tuple(REASONS)
LIVE = -1  # in place of a reason: not dropped
KEPT_AT_A_TIME = 1 << 16


class RowTable:
    """All rows of the input and what has been decided about them so far.

    `pieces` are the tables that reading made, which `engine` reads; `names` is what users see of the units' files;
    `is_keeping` says whether the column `keep` holds something. An entry is a row, or the placeholder of a unit without
    rows. For each entry some 35 bytes are held: very many rows are to fit into the memory of one machine.

    Raises SourceError where there are more rows than 32-bit numbers can count.
    """

    def __init__(
        self, pieces: Sequence[Piece], units: Sequence[Unit], names: Sequence[str], engine: Engine, *, is_keeping: bool
    ) -> None:
        self.pieces = pieces
        self.size = sum(piece.num_rows for piece in pieces)  # the rows read, and one for each unit without rows
        if self.size > MAX_NODES:
            what = f"have {self.size:,} rows, and one run takes {MAX_NODES:,} at most"
            raise SourceError("sources", what, "prepare some of the sources at a time, each into a folder of its own")
        self.unit: Int32s = np.empty(self.size, np.int32)
        self.reason: npt.NDArray[np.int16] = np.empty(self.size, np.int16)
        self.details, self.texts = RowTexts(), {name: RowTexts() for name in TEXTS}
        self.has_record: Bools = np.empty(self.size, np.bool_)
        self._line: Int32s = np.empty(self.size, np.int32)  # within the unit, from 1
        self._key: npt.NDArray[np.uint64] = np.empty((self.size, KEY_BYTES // 8), np.uint64)
        skips: list[int] = []
        for first, table in in_batches(engine, pieces, [*_DECIDING, *TEXTS]):
            self._take(first, table, skips)
        self._bases = _line_bases(units, skips)
        self.is_row: Bools = self._line > 0
        self.faults: dict[int, str] = {}  # of this program, by row: see faults.py
        self.duplicate_of: Int32s = np.full(self.size, -1, np.int32)  # the row that a duplicate repeats
        self.validation: Bools = np.zeros(self.size, np.bool_)
        self._similarity: npt.NDArray[np.float64] | None = None  # of a near or semantic duplicate to that row
        self._cluster: npt.NDArray[np.uint64] | Int32s | None = None  # equal for rows that such duplicates link
        self._source: Int32s = np.array([unit.source for unit in units], np.int32)
        self._names = pa.array(names, pa.string())
        self._keep = ColumnsInFiles(engine, pieces, ["keep"]) if is_keeping else None

    def _take(self, first: int, table: pa.Table, skips: list[int]) -> None:
        """Take the columns of the rows from `first` on."""
        here = slice(first, first + table.num_rows)
        is_first = table["skip"].is_valid().to_numpy()
        self.unit[here] = np.cumsum(is_first) + (len(skips) - 1)
        skips += table["skip"].drop_null().to_pylist()
        lines = table["line"].to_numpy()
        if len(lines) and lines.max() > MAX_NODES:
            raise SourceError("sources", f"have a file of more than {MAX_NODES:,} lines", "cut it into several files")
        self._line[here] = lines
        key = table["key"].combine_chunks()
        self.has_record[here] = key.is_valid().to_numpy(zero_copy_only=False)
        self._key[here] = key_integers(key)
        codes = pc.index_in(table["reason"], value_set=pa.array(REASON_NAMES, pa.string())).fill_null(LIVE)
        self.reason[here] = codes.to_numpy()
        self.details.put_valid(first, table["detail"])
        for name, texts in self.texts.items():
            texts.put_valid(first, table[name])

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
    def source(self) -> Int32s:
        """The number of each entry's source."""
        return self._source[self.unit]

    def source_of(self, entries: Ints) -> Int32s:
        """The numbers of the sources of these entries."""
        return self._source[self.unit[entries]]

    @cached_property
    def _repeats(self) -> tuple[Int32s, npt.NDArray[np.uint64]]:
        """The entries whose key an earlier one has, dropped or not, and their ids as two integers each."""
        repeats = find_repeats(self._key, np.flatnonzero(self.has_record))
        return repeats.row.astype(np.int32), repeat_ids(self._key[repeats.row], repeats.number)

    @property
    def id_hashes(self) -> npt.NDArray[np.uint64]:
        """A uniform hash of each entry's record id: an order that depends on neither the row's place nor other rows."""
        rows, ids = self._repeats
        hashes = self._key[:, 0].copy()
        hashes[rows] = ids[:, 0]
        return hashes.view(">u8").astype(np.uint64)

    def id_bytes(self, entries: Ints | Int32s) -> npt.NDArray[np.uint8]:
        """The record ids of entries, KEY_BYTES bytes each; zeros where there is no record."""
        rows, repeated = self._repeats
        ids = self._key[entries]
        if len(rows):
            place = np.minimum(np.searchsorted(rows, entries), len(rows) - 1)
            is_repeat = rows[place] == entries
            ids[is_repeat] = repeated[place[is_repeat]]
        return ids.view(np.uint8)

    def record_ids(self, entries: Ints) -> pa.Array:
        """The record ids of entries, as text; null where there is no record."""
        return hex_strings(self.id_bytes(entries), self.has_record[entries])

    def line(self, entries: Ints | Int32s) -> Ints:
        """The line of each of these entries in its file, from 1."""
        return self._line[entries] + self._bases[self.unit[entries]]

    def where(self, entries: Ints | Int32s) -> pa.Array:
        """`file:line` of entries."""
        names = self._names.take(pa.array(self.unit[entries]))
        return pc.binary_join_element_wise(
            names, pc.cast(pa.array(self.line(entries)), pa.string()), pa.scalar(":", pa.string())
        )

    def similarity(self, entries: Ints) -> npt.NDArray[np.float64]:
        """Of near and semantic duplicates among these entries to the row that they repeat; NaN for others."""
        return np.full(len(entries), np.nan) if self._similarity is None else self._similarity[entries]

    def kept(self, first: int, last: int) -> list[str | None]:
        """The kept columns of the entries from `first` on and before `last`, each as one JSON object."""
        if self._keep is None:
            return [None] * (last - first)
        return self._keep.rows(first, last)["keep"].to_pylist()  # type: ignore[no-any-return]

    def reasons_of_source(self, source: int) -> set[str | None]:
        """The reasons that the rows of a source have; None where a row is not dropped."""
        codes = np.unique(self.reason[self.is_row & (self.source == source)])
        return {None if code == LIVE else REASON_NAMES[code] for code in codes.tolist()}

    def drop(self, entries: Ints, reason: str, details: pa.Array | None = None) -> None:
        """Give rows, ascending, their reason, and why it is theirs. A row that has a reason keeps it."""
        is_free = self.reason[entries] == LIVE
        free = entries[is_free]
        self.reason[free] = REASON_NAMES.index(reason)
        if details is not None:
            self.details.put(free, details.filter(pa.array(is_free)))

    def drop_faults(self, faults: pa.ChunkedArray, entries: Ints | Int32s) -> None:
        """Drop the rows that have a fault of this program, given as a column for these entries."""
        if faults.null_count == len(faults):
            return
        found = entries[np.flatnonzero(faults.is_valid().to_numpy())].astype(np.int64)
        texts = faults.drop_null().to_pylist()
        self.drop(found, INTERNAL_ERROR, pa.array(map(detail_of, texts), pa.string()))
        pairs = zip(found.tolist(), texts)
        self.faults |= {row: text for row, text in pairs if self.is_dropped_for(row, INTERNAL_ERROR)}

    def drop_repeats_of(self, keys: npt.NDArray[np.uint64], present: Bools, reason: str) -> None:
        """Drop every live row that is `present` and has the key of an earlier one. `keys` are [entries, 2]."""
        repeats = find_repeats(keys, np.flatnonzero(self.live & present))
        self.duplicate_of[repeats.row] = repeats.first
        self.drop(repeats.row, reason)

    def drop_duplicates(self) -> None:
        """Drop every live row whose content an earlier live row has."""
        self.drop_repeats_of(self._key, self.has_record, "duplicate")

    def drop_similar(self, found: pa.Table, reason: str) -> None:
        """Drop near or semantic duplicates: of some rows `row`, `duplicate_of` (-1: none), `similarity` and `cluster`.

        Which rows are linked is remembered, with the links of earlier verdicts.
        """
        row, duplicate_of, similarity, linked = (
            found[name].to_numpy() for name in ("row", "duplicate_of", "similarity", "cluster")
        )
        entries = np.arange(self.size, dtype=np.int32)
        cluster = entries.copy()
        cluster[row] = linked
        self._cluster = (
            cluster if self._cluster is None else joined_hashes(entries.astype(np.uint64), [self._cluster, cluster])
        )
        is_repeat = (duplicate_of >= 0) & self.live[row]
        order = np.argsort(row[is_repeat])
        repeats = row[is_repeat][order]
        if self._similarity is None:
            self._similarity = np.full(self.size, np.nan)
        self._similarity[repeats] = similarity[is_repeat][order]
        self.duplicate_of[repeats] = duplicate_of[is_repeat][order]
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
        hashes: npt.NDArray[np.uint64] = self._key[:, 1]
        live = self.live
        if validation and (values is not None or self._cluster is not None):
            own = hashes if values is None or present is None else np.where(present, values, hashes)
            groups = [hashes[live]] if self._cluster is None else [hashes[live], self._cluster[live]]
            hashes = np.zeros(self.size, np.uint64)
            hashes[live] = joined_hashes(own[live], groups)
        self.validation = choose_validation(hashes, live, validation)

    def dropped(self) -> pa.Table:
        """The column that tells a stage which rows to pass by."""
        return pa.table({"dropped": ~self.live})


def kept_values(rows: RowTable, column: str) -> Iterator[tuple[int, str]]:
    """The rows that have a value of a column that reading kept, and the value as text."""
    for first in range(0, rows.size, KEPT_AT_A_TIME):
        for row, text in enumerate(rows.kept(first, min(first + KEPT_AT_A_TIME, rows.size)), first):
            value = as_text(json.loads(text).get(column)) if text else None
            if value is not None:
                yield row, value


def _line_bases(units: Sequence[Unit], skips: Sequence[int]) -> Ints:
    """For each unit, the line numbers that the earlier units of its file take up."""
    bases = np.zeros(len(units), np.int64)
    for number in range(1, len(units)):
        before, unit = units[number - 1], units[number]
        if before.end is not None and (before.source, before.path) == (unit.source, unit.path):
            bases[number] = bases[number - 1] + skips[number - 1]
    return bases
