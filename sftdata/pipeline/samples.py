"""The table of samples: whose they are, how long, and their places in the shards, as narrow columns."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from sftdata.curate.duplicates.exact import key_integers
from sftdata.curate.duplicates.grouping import MAX_NODES
from sftdata.curate.split import TRAIN, VALIDATION
from sftdata.engines.engine import Engine
from sftdata.engines.stage import Piece
from sftdata.errors import SourceError
from sftdata.pipeline.columns.in_files import ColumnsInFiles, in_batches
from sftdata.pipeline.columns.texts import RowTexts, coded
from sftdata.pipeline.rows import RowTable
from sftdata.records.ids import hex_strings
from sftdata.records.record import KEY_BYTES
from sftdata.store.manifest import ShardEntry
from sftdata.store.shards import ShardStats

Ints = npt.NDArray[np.int64]
SmallInts = npt.NDArray[np.int32]  # a million samples have several such columns
Bools = npt.NDArray[np.bool_]

# Of ENCODED_SCHEMA.
_COLUMNS = ("row", "sample", "num_tokens", "num_trained", "marks", "reason", "detail", "rows", "fault", "stats")
_PROVING = ("turns", "digest")  # which only the ledger needs
NOWHERE = -1


class SampleTable:
    """All samples, in the order of their rows.

    `pieces` are the tables that encoding made, which `engine` reads. An entry is a sample, a record that could not be
    encoded, or the placeholder of a piece without either. For each entry some 35 bytes are held.

    Raises SourceError where there are more samples than 32-bit numbers can count: one row can give many.
    """

    def __init__(self, pieces: Sequence[Piece], engine: Engine) -> None:
        self._pieces = pieces
        self.size = size = sum(piece.num_rows for piece in pieces)
        if size > MAX_NODES:
            what = f"give {size:,} samples, and one run takes {MAX_NODES:,} at most"
            raise SourceError("sources", what, "prepare some of the sources at a time, each into a folder of its own")
        self.row: SmallInts = np.empty(size, np.int32)  # the input row of each entry
        self.num_tokens: SmallInts = np.empty(size, np.int32)
        self.num_trained: SmallInts = np.empty(size, np.int32)
        self._sample: SmallInts = np.empty(size, np.int32)
        self._marks: npt.NDArray[np.uint8] = np.empty(size, np.uint8)
        self._is_row: Bools = np.empty(size, np.bool_)
        self.is_sample: Bools = np.empty(size, np.bool_)
        self.stats: list[str] = []  # EncodingStats of the pieces
        self._reasons, self._details, self._faults = RowTexts(), RowTexts(), RowTexts()  # by entry
        bases = np.zeros(1, np.int64)  # the rows before each table that has `rows`, and after the last one
        for first, table in in_batches(engine, pieces, _COLUMNS):
            bases = self._take(first, table, bases[-2:])
        self._proving = ColumnsInFiles(engine, pieces, _PROVING)
        self.shard = np.full(size, NOWHERE, np.int32)  # the number of each sample's shard
        self.copies: SmallInts = np.broadcast_to(np.int32(1), size)  # of a sample in its shard, if it is in one
        self._max_copies = 1
        self._place_row = self._place_index = np.empty(0, np.int32)  # of copy c of sample i at c * size + i
        self.paths: tuple[str, ...] = ()  # of the shards, by number

    def _take(self, first: int, table: pa.Table, before: Ints) -> Ints:
        """Take the columns of the entries from `first` on. `before` are the rows before the last table that began, and
        after it; the same of this batch is returned.
        """
        here = slice(first, first + table.num_rows)
        bases = np.concatenate([before, before[-1] + np.cumsum(table["rows"].drop_null().to_numpy())])
        started = np.cumsum(table["rows"].is_valid().to_numpy()) + (len(before) - 2)
        row = table["row"]
        self._is_row[here] = row.is_valid().to_numpy()
        self.row[here] = row.fill_null(0).to_numpy() + bases[started]
        self.num_tokens[here] = table["num_tokens"].to_numpy()
        self.num_trained[here] = table["num_trained"].to_numpy()
        self._sample[here] = table["sample"].to_numpy()
        self._marks[here] = table["marks"].to_numpy()
        self.is_sample[here] = self._is_row[here] & table["reason"].is_null().to_numpy()
        self.stats += table["stats"].drop_null().to_pylist()
        for name, texts in (("reason", self._reasons), ("detail", self._details), ("fault", self._faults)):
            texts.put_valid(first, table[name])
        return bases

    def drop_refused(self, rows: RowTable) -> None:
        """Drop the rows that could not be encoded, and say of others which of their turns are not trained."""
        for entries, faults in self._faults.parts():
            rows.drop_faults(pa.chunked_array([faults]), self.row[entries])
        details = {entry: text for entry, text in self._details.between(0, self.size) if not self.is_sample[entry]}
        for entries, reasons in self._reasons.parts():
            for reason in reasons.unique().to_pylist():
                chosen = entries[pc.equal(reasons, reason).to_numpy(zero_copy_only=False)]
                texts = pa.array([details.get(entry) or None for entry in chosen.tolist()], pa.string())
                rows.drop(self.row[chosen].astype(np.int64), reason, texts)
        for entries, texts in self._details.parts():
            is_noted = self.is_sample[entries] & rows.live[self.row[entries]]
            rows.details.put(self.row[entries[is_noted]], texts.filter(pa.array(is_noted)))

    def drop_overlong(self, rows: RowTable, seq_len: int) -> None:
        """Drop the rows with a sample that no packed row can hold."""
        over = np.flatnonzero(self.is_sample & (self.num_tokens > seq_len))
        row = self.row[over]
        is_last = np.append(row[1:] != row[:-1], True)[: len(row)]  # of the samples of its row
        limit = f"tokens, and pack.seq_len is {seq_len:,}"
        details = coded(self.num_tokens[over[is_last]], lambda number: f"{number:,} {limit}")
        rows.drop(row[is_last].astype(np.int64), "overlong", details)

    def marked(self, mark: int, *, is_packed: bool = True) -> SmallInts:
        """The input rows with this mark, in order: those with samples in shards, or else all that were encoded."""
        chosen = self.shard != NOWHERE if is_packed else self._is_row
        row: SmallInts = self.row[chosen & (self._marks & mark > 0)]
        return row[np.diff(row, prepend=-1) > 0]  # in order already, where np.unique would look for it again

    def repeat(self, copies: Ints) -> None:
        """Put the samples of each input row into the shards this many times."""
        self.copies = copies.astype(np.int32)[self.row]
        self._max_copies = int(self.copies.max(initial=1))

    def assign_shards(self, rows: RowTable, shard_tokens: int) -> None:
        """Give every sample of a live row its shard, by a hash of the record's id."""
        placed = self.is_sample & rows.live[self.row]
        held = rows.validation[self.row]
        hashes = rows.id_hashes
        paths: list[str] = []
        for split, members in ((TRAIN, placed & ~held), (VALIDATION, placed & held)):
            if not members.any():
                continue
            num_tokens = np.multiply(self.num_tokens, self.copies, dtype=np.int64).sum(where=members)
            count = max(1, -(-int(num_tokens) // shard_tokens))
            numbers = (hashes % np.uint64(count)).astype(np.int32)[self.row[members]]
            used = np.flatnonzero(np.bincount(numbers, minlength=count))
            # A shard that no record hashes to would be empty: it gets no number.
            self.shard[members] = len(paths) + np.searchsorted(used, numbers)
            paths += [f"{split}/{i:05}-of-{len(used):05}.arrow" for i in range(len(used))]
        self.paths = tuple(paths)

    @property
    def pieces(self) -> list[Piece]:
        """The pieces of the table of samples, once for each copy that some sample has."""
        return list(self._pieces) * self._max_copies

    def to_pack(self, rows: RowTable) -> pa.Table:
        """What the packing stage needs beside each entry of `pieces`."""
        record_id = pa.FixedSizeBinaryArray.from_buffers(
            pa.binary(KEY_BYTES), self.size, [None, pa.py_buffer(rows.id_bytes(self.row))]
        )
        samples = int(self._sample.max(initial=0)) + 1
        tables = [
            pa.table(
                {
                    "shard": np.where(self.copies > copy, self.shard, np.int32(NOWHERE)) if copy else self.shard,
                    "record_id": record_id,
                    "sample": self._sample + np.int32(copy * samples) if copy else self._sample,
                    "num_tokens": self.num_tokens,
                }
            )
            for copy in range(self._max_copies)
        ]
        return pa.concat_tables(tables)

    def take_places(self, placed: Iterable[pa.Table]) -> None:
        """Take each sample's place from the packing stage."""
        self._place_row, self._place_index = np.full((2, self._max_copies * self.size), NOWHERE, np.int32)
        for table in placed:
            position = table["position"].to_numpy()
            self._place_row[position] = table["row"].to_numpy()
            self._place_index[position] = table["index"].to_numpy()

    def to_write(self, packed: pa.Table) -> pa.Table:
        """What the writing stage needs: the columns of `to_pack`, and the places."""
        packed = packed.append_column("row", pa.array(self._place_row))
        return packed.append_column("index", pa.array(self._place_index))

    def entries(self, written: pa.Table) -> list[ShardEntry]:
        """The shards' entries, in the order of their numbers, from the `stats` of the writing stage."""
        stats = [ShardStats(**json.loads(text)) for text in written["stats"].to_pylist()]
        return [
            ShardEntry.of(path, path.partition("/")[0], written)
            for path, written in zip(self.paths, stats, strict=True)
        ]

    def sums(self, values: Ints | SmallInts, num_rows: int) -> Ints:
        """A number of each sample, summed over the samples of each input row."""
        sums = np.zeros(num_rows, np.int64)
        np.add.at(sums, self.row, values)
        return sums

    @property
    def num_sequences(self) -> int:
        """How many packed rows the shards have, once the samples have their places: each has a first sample."""
        return int(np.count_nonzero(self._place_index == 0))

    def of_rows(self, first: int, last: int) -> tuple[int, int]:
        """The entries of the input rows from `first` on and before `last`: from which, and before which."""
        begin, end = np.searchsorted(self.row, np.array([first, last], np.int32)).tolist()
        return begin, end

    def placed(self, first: int, last: int) -> tuple[Ints, Ints]:
        """Of the entries from `first` on and before `last` every placed sample, once for each of its copies, in order,
        and the number of the copy.
        """
        counts = np.where(self.shard[first:last] != NOWHERE, self.copies[first:last], 0).astype(np.int64)
        entry = np.repeat(np.arange(first, last), counts)
        return entry, np.arange(len(entry)) - np.repeat(np.cumsum(counts) - counts, counts)

    def ledger_columns(self, first: int, last: int) -> dict[str, pa.Array]:
        """Of the samples that are `placed` the places, the turns trained in them and their digests, as the ledger holds
        them.
        """
        entry, copy = self.placed(first, last)
        place = copy * self.size + entry
        paths = pa.DictionaryArray.from_arrays(pa.array(self.shard[entry]), pa.array(self.paths, pa.string()))
        columns = [pc.cast(paths, pa.string()), pa.array(self._place_row[place]), pa.array(self._place_index[place])]
        proving = self._proving.rows(first, last).take(pa.array(entry - first)).combine_chunks()
        digests = key_integers(proving["digest"].combine_chunks()).view(np.uint8)
        return {
            "places": pa.StructArray.from_arrays(columns, names=["shard", "row", "index"]),
            "turns": proving["turns"].combine_chunks(),
            "digests": hex_strings(digests, np.ones(len(digests), np.bool_)).cast(pa.string()),
        }
