"""The fate of every input row while `prepare` runs: narrow columns, decided on in one place, in the order of the input."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from sftdata.curate.exact import first_occurrences, record_id
from sftdata.curate.split import TRAIN, VALIDATION, choose_validation
from sftdata.read.units import Unit
from sftdata.reasons import stage_of
from sftdata.store.ledger import DROPPED, PACKED, keep_columns
from sftdata.store.manifest import ShardEntry
from sftdata.store.shards import ShardFacts

LEDGER_ROWS = 1 << 16  # rows made at a time; changes no byte of the ledger
PLACE_FIELDS = ("shard", "row", "index")


class Fates:
    """All rows of the input, what has been decided of them so far, and where their samples are.

    `rows` has the columns unit, line, key, reason, detail and skip of stages.ROW_SCHEMA.
    """

    def __init__(self, sources: Sequence[str], units: Sequence[Unit], rows: pa.Table) -> None:
        self._sources = sources
        self._units = units
        self._unit = rows["unit"].to_numpy()
        self._line = rows["line"].to_numpy()
        self._key = rows["key"].combine_chunks()
        self._is_row = self._line > 0  # a unit without rows is held by one entry that is none
        self._base = self._line_bases(rows)
        self.reason: npt.NDArray[np.object_] = rows["reason"].to_numpy(zero_copy_only=False)
        self._detail: dict[int, str] = _details(rows["detail"], 0)
        self._first, self._occurrence = first_occurrences(self._key)
        self._repeats: npt.NDArray[np.int64] = np.full(len(self._unit), -1, np.int64)
        self._validation = np.zeros(len(self._unit), bool)
        self._paths: tuple[str, ...] = ()

    def _line_bases(self, rows: pa.Table) -> npt.NDArray[np.int64]:
        """For each unit, the line numbers that the units before it in its file take up."""
        bases = np.zeros(len(self._units), np.int64)
        skips = rows["skip"].combine_chunks()
        first = np.flatnonzero(skips.is_valid().to_numpy(zero_copy_only=False))
        skip_of = dict(zip(self._unit[first].tolist(), skips.drop_null().to_pylist(), strict=True))
        for number in range(1, len(self._units)):
            before, unit = self._units[number - 1], self._units[number]
            if (before.source, before.path) == (unit.source, unit.path):
                bases[number] = bases[number - 1] + skip_of[number - 1]
        return bases

    @property
    def num_rows(self) -> int:
        """Rows read."""
        return int(self._is_row.sum())

    @property
    def size(self) -> int:
        """Entries: the rows read, and one for each unit without rows."""
        return len(self._unit)

    def where(self, row: int) -> str:
        """`file:line` of a row."""
        unit = int(self._unit[row])
        return f"{self._units[unit].name}:{self._base[unit] + self._line[row]}"

    def live(self) -> npt.NDArray[np.bool_]:
        """The rows that nothing has dropped yet."""
        return self._is_row & np.equal(self.reason, None)

    def reasons_of_source(self, source: int) -> set[str | None]:
        """The reasons that the rows of a source have; None stands for rows that are not dropped."""
        of_unit = np.array([unit.source == source for unit in self._units])
        return set(self.reason[of_unit[self._unit] & self._is_row].tolist())

    def drop(self, rows: npt.NDArray[np.int64], reason: str, details: Mapping[int, str] | None = None) -> None:
        """Give rows their reason. A row that has one keeps it."""
        free = rows[np.equal(self.reason[rows], None)]
        self.reason[free] = reason
        for row in free.tolist():
            if details and row in details:
                self._detail[row] = details[row]

    def drop_duplicates(self) -> None:
        """Drop every live row whose content a live row before it has."""
        live = self.live()
        keys = pc.if_else(pa.array(live), self._key, pa.scalar(None, self._key.type))
        first, _ = first_occurrences(keys)
        repeats = np.flatnonzero((first != np.arange(len(first))) & live)
        self._repeats[repeats] = first[repeats]
        self.drop(repeats, "duplicate")

    def beside(self) -> pa.Table:
        """What the encoding stage needs beside each row."""
        return pa.table({"row": np.arange(len(self._unit)), "dropped": ~self.live()})

    def take_samples(self, samples: pa.Table) -> None:
        """Learn of the samples that encoding made, or why it made none."""
        self._sample_row = samples["row"].to_numpy()
        self._sample = samples["sample"].to_numpy()
        self._num_tokens = samples["num_tokens"].to_numpy()
        self._num_trained = samples["num_trained"].to_numpy()
        refused = ~samples["reason"].is_null().to_numpy()
        rows = self._sample_row[refused]
        details = samples["detail"].filter(pa.array(refused)).to_pylist()
        for row, reason, detail in zip(
            rows.tolist(), samples["reason"].filter(pa.array(refused)).to_pylist(), details, strict=True
        ):
            self.drop(np.array([row]), reason, {row: detail} if detail else None)
        self._is_sample = ~refused

    def drop_overlong(self, seq_len: int) -> None:
        """Drop every record with a sample that no packed row can hold."""
        over = np.flatnonzero(self._is_sample & (self._num_tokens > seq_len))
        details = {
            int(self._sample_row[i]): f"{self._num_tokens[i]:,} tokens, and pack.seq_len is {seq_len:,}" for i in over
        }
        self.drop(np.unique(self._sample_row[over]), "overlong", details)

    def choose_split(self, validation: int | float) -> None:
        """Choose the live records that are held out."""
        hashes = np.zeros(len(self._unit), np.uint64)
        valid = self._key.is_valid().to_numpy(zero_copy_only=False)
        keys = np.frombuffer(b"".join(self._key.drop_null().to_pylist()), np.uint64)
        hashes[valid] = keys.reshape(-1, 2)[:, 1]
        self._validation = choose_validation(hashes, self.live(), validation)

    def assign_shards(self, shard_tokens: int) -> tuple[str, ...]:
        """Give every sample of a live record its shard, by a hash of the record's id. The shards' paths, by number."""
        placed = self._is_sample & self.live()[self._sample_row]
        held = self._validation[self._sample_row]
        self._shard = np.full(len(self._sample_row), -1, np.int32)
        self._record_ids = self._ids()
        hashes = self._id_hashes()[self._sample_row]
        paths: list[str] = []
        for split, members in ((TRAIN, placed & ~held), (VALIDATION, placed & held)):
            if not members.any():
                continue
            count = max(1, -(-int(self._num_tokens[members].sum()) // shard_tokens))
            numbers = (hashes % np.uint64(count)).astype(np.int64)
            used = np.unique(numbers[members])
            # A shard that no record hashes to would be empty: the numbers of the others close up.
            self._shard[members] = len(paths) + np.searchsorted(used, numbers[members])
            paths += [f"{split}/{i:05}-of-{len(used):05}.arrow" for i in range(len(used))]
        self._paths = tuple(paths)
        return self._paths

    def _ids(self) -> pa.Array:
        """The record ids of all rows; null where there is no record."""
        valid = self._key.is_valid().to_numpy(zero_copy_only=False)
        codes = np.frombuffer(b"".join(self._key.drop_null().to_pylist()), np.uint8)
        digits = np.frombuffer(b"0123456789abcdef", np.uint8)
        text = np.stack([digits[codes >> 4], digits[codes & 15]], axis=-1).tobytes()
        ids: npt.NDArray[np.object_] = np.full(len(valid), None, object)
        ids[valid] = [text[i : i + 32].decode() for i in range(0, len(text), 32)]
        for row in np.flatnonzero((self._occurrence > 0) & valid).tolist():
            ids[row] = record_id(self._key[row].as_py(), int(self._occurrence[row]))
        return pa.array(ids, pa.string())

    def _id_hashes(self) -> npt.NDArray[np.uint64]:
        """The first 64 bits of each record id."""
        heads = [0 if id_ is None else int(id_[:16], 16) for id_ in self._record_ids.to_pylist()]
        return np.array(heads, np.uint64)

    def sample_columns(self) -> pa.Table:
        """What the packing stage needs beside each sample."""
        return pa.table(
            {
                "shard": self._shard,
                "record_id": self._record_ids.take(pa.array(self._sample_row)),
                "position": np.arange(len(self._shard)),
            }
        )

    def take_places(self, placed: pa.Table) -> list[ShardEntry]:
        """Learn where each sample stands; the shards' entries in the order of their numbers."""
        position = placed["position"].to_numpy()
        self._row = np.full(len(self._shard), -1, np.int32)
        self._index = np.full(len(self._shard), -1, np.int32)
        self._row[position] = placed["row"].to_numpy()
        self._index[position] = placed["index"].to_numpy()
        entries = []
        for text in placed["facts"].drop_null().to_pylist():
            facts: dict[str, Any] = json.loads(text)
            path = facts.pop("path")
            entries.append(ShardEntry.of(path, path.partition("/")[0], ShardFacts(**facts)))
        return entries

    def ledger(self, keep: Sequence[str], kept: pa.Array) -> Iterator[pa.Table]:
        """The ledger's rows in order, some at a time. `kept` holds the kept columns of each row as JSON."""
        sample_counts = np.bincount(self._sample_row[self._shard >= 0], minlength=len(self._unit))
        tokens = np.bincount(self._sample_row, self._num_tokens, len(self._unit)).astype(np.int64)
        trained = np.bincount(self._sample_row, self._num_trained, len(self._unit)).astype(np.int64)
        places = pa.StructArray.from_arrays(
            [
                pa.DictionaryArray.from_arrays(pa.array(self._shard[self._shard >= 0]), pa.array(self._paths, pa.string())).cast(
                    pa.string()
                ),
                pa.array(self._row[self._shard >= 0]),
                pa.array(self._index[self._shard >= 0]),
            ],
            names=PLACE_FIELDS,
        )
        ends = np.concatenate([[0], np.cumsum(sample_counts)])
        for start in range(0, len(self._unit), LEDGER_ROWS):
            rows = np.arange(start, min(start + LEDGER_ROWS, len(self._unit)))
            first, last = int(ends[rows[0]]), int(ends[rows[-1] + 1])
            lists = pa.ListArray.from_arrays(
                pa.array(_with_nulls(ends[rows[0] : rows[-1] + 2] - first, sample_counts[rows] == 0), pa.int32()),
                places.slice(first, last - first),
            )
            table = self._ledger_table(rows, lists, tokens, trained, keep, kept)
            yield table.filter(pa.array(self._is_row[rows]))

    def _ledger_table(
        self,
        rows: npt.NDArray[np.int64],
        places: pa.Array,
        tokens: npt.NDArray[np.int64],
        trained: npt.NDArray[np.int64],
        keep: Sequence[str],
        kept: pa.Array,
    ) -> pa.Table:
        reasons = self.reason[rows].tolist()
        packed = [reason is None for reason in reasons]
        repeats = self._repeats[rows].tolist()
        held = self._validation[rows].tolist()
        units = self._unit[rows].tolist()
        kept_rows = [json.loads(text) if text else {} for text in kept.slice(int(rows[0]), len(rows)).to_pylist()]
        encoded = tokens[rows] > 0
        columns: dict[str, Any] = {
            "source": [self._sources[self._units[unit].source] for unit in units],
            "where": [self.where(row) for row in rows.tolist()],
            "record_id": self._record_ids.slice(int(rows[0]), len(rows)),
            "fate": [PACKED if is_packed else DROPPED for is_packed in packed],
            "stage": [None if reason is None else stage_of(reason) for reason in reasons],
            "reason": reasons,
            "detail": [self._detail.get(row) for row in rows.tolist()],
            "duplicate_of": [None if first < 0 else self.where(first) for first in repeats],
            "similarity": pa.nulls(len(rows), pa.float64()),
            "split": [
                (VALIDATION if side else TRAIN) if is_packed else None
                for side, is_packed in zip(held, packed, strict=True)
            ],
            "places": places,
            "num_tokens": pa.array(tokens[rows], mask=~encoded),
            "num_trained_tokens": pa.array(trained[rows], mask=~encoded),
        }
        for name, column in keep_columns(keep).items():
            columns[column] = pa.array([row.get(name) for row in kept_rows], pa.string())
        return pa.table(columns)


def _details(column: pa.ChunkedArray, start: int) -> dict[int, str]:
    """The entries of a column that is mostly null, by position."""
    valid = np.flatnonzero(column.is_valid().to_numpy()) + start
    return dict(zip(valid.tolist(), column.drop_null().to_pylist(), strict=True))


def _with_nulls(offsets: npt.NDArray[np.int64], is_null: npt.NDArray[np.bool_]) -> list[int | None]:
    """List offsets with null where the list is null, as ListArray.from_arrays takes them."""
    return [None if null else int(at) for at, null in zip(offsets[:-1], is_null, strict=True)] + [int(offsets[-1])]
