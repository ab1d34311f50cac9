"""The table of samples: whose they are, how long, and their places in the shards, as narrow columns."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from sftdata.curate.duplicates.exact import hex_strings, key_bytes
from sftdata.curate.split import TRAIN, VALIDATION
from sftdata.engines.stage import Piece
from sftdata.pipeline.rows import RowTable
from sftdata.store.manifest import ShardEntry
from sftdata.store.shards import ShardStats

Ints = npt.NDArray[np.int64]
SmallInts = npt.NDArray[np.int32]  # a million samples have several such columns
Bools = npt.NDArray[np.bool_]

# Of ENCODED_SCHEMA.
SAMPLE_COLUMNS = (
    *("row", "sample", "num_tokens", "num_trained", "marks", "turns"),
    *("digest", "reason", "detail", "rows", "fault"),
)
NOWHERE = -1


class SampleTable:
    """All samples, in the order of their rows.

    `pieces` are the tables that encoding made, `encoded` their SAMPLE_COLUMNS. An entry is a sample, a record that
    could not be encoded, or the placeholder of a piece without either.
    """

    def __init__(self, pieces: Sequence[Piece], encoded: pa.Table) -> None:
        self._pieces = pieces
        piece_rows = encoded["rows"].combine_chunks()
        piece = np.cumsum(piece_rows.is_valid().to_numpy(zero_copy_only=False)) - 1
        bases = np.concatenate([[0], np.cumsum(piece_rows.drop_null().to_numpy())]).astype(np.int64)
        row = encoded["row"].combine_chunks()
        self._is_row: Bools = row.is_valid().to_numpy(zero_copy_only=False)
        self.row: Ints = row.fill_null(0).to_numpy() + bases[piece]  # the input row of each entry
        self.num_tokens: SmallInts = encoded["num_tokens"].to_numpy()
        self.num_trained: SmallInts = encoded["num_trained"].to_numpy()
        self._marks: npt.NDArray[np.uint8] = encoded["marks"].to_numpy()
        self._reason = encoded["reason"].combine_chunks()
        self._detail = encoded["detail"].combine_chunks()
        self._fault = encoded["fault"]
        self._turns = encoded["turns"].combine_chunks()
        self._digest = encoded["digest"].combine_chunks()
        self._sample: SmallInts = encoded["sample"].to_numpy()
        self.is_sample: Bools = self._is_row & self._reason.is_null().to_numpy(zero_copy_only=False)
        self.shard = np.full(len(self.row), NOWHERE, np.int32)  # the number of each sample's shard
        self.copies: Ints = np.broadcast_to(np.int64(1), len(self.row))  # of a sample in its shard, if it is in one
        self._max_copies = 1
        self._place_row = self._place_index = np.empty(0, np.int32)  # of copy c of sample i at c * len(row) + i
        self.paths: tuple[str, ...] = ()  # of the shards, by number

    def drop_refused(self, rows: RowTable) -> None:
        """Drop the rows that could not be encoded, and say of others which of their turns are not trained."""
        rows.drop_faults(self._fault, self.row)
        refused = np.flatnonzero(self._is_row & ~self.is_sample)
        chosen = pa.array(refused)
        reasons, details = self._reason.take(chosen).to_pylist(), self._detail.take(chosen).to_pylist()
        for row, reason, detail in zip(self.row[refused].tolist(), reasons, details, strict=True):
            rows.drop(np.array([row]), reason, {row: detail} if detail else None)
        noted = np.flatnonzero(self.is_sample & self._detail.is_valid().to_numpy(zero_copy_only=False))
        for row, detail in zip(self.row[noted].tolist(), self._detail.take(pa.array(noted)).to_pylist(), strict=True):
            if rows.live[row]:
                rows.detail[row] = detail

    def drop_overlong(self, rows: RowTable, seq_len: int) -> None:
        """Drop the rows with a sample that no packed row can hold."""
        over = np.flatnonzero(self.is_sample & (self.num_tokens > seq_len))
        limit = f"tokens, and pack.seq_len is {seq_len:,}"
        details = {
            row: f"{num_tokens:,} {limit}"
            for row, num_tokens in zip(self.row[over].tolist(), self.num_tokens[over].tolist(), strict=True)
        }
        rows.drop(np.unique(self.row[over]), "overlong", details)

    def marked(self, mark: int, *, is_packed: bool = True) -> Ints:
        """The input rows with this mark, in order: those with samples in shards, or else all that were encoded."""
        chosen = self.shard != NOWHERE if is_packed else self._is_row
        row = self.row[chosen & (self._marks & mark > 0)]
        return row[np.diff(row, prepend=-1) > 0]  # in order already, where np.unique would look for it again

    def repeat(self, copies: Ints) -> None:
        """Put the samples of each input row into the shards this many times."""
        self.copies = copies[self.row]
        self._max_copies = int(self.copies.max(initial=1))

    def assign_shards(self, rows: RowTable, shard_tokens: int) -> None:
        """Give every sample of a live row its shard, by a hash of the record's id."""
        placed = self.is_sample & rows.live[self.row]
        held = rows.validation[self.row]
        hashes = rows.id_hashes[self.row]
        paths: list[str] = []
        for split, members in ((TRAIN, placed & ~held), (VALIDATION, placed & held)):
            if not members.any():
                continue
            count = max(1, -(-int((self.num_tokens * self.copies)[members].sum()) // shard_tokens))
            numbers = (hashes % np.uint64(count)).astype(np.int64)
            used = np.unique(numbers[members])
            # A shard that no record hashes to would be empty: it gets no number.
            self.shard[members] = len(paths) + np.searchsorted(used, numbers[members])
            paths += [f"{split}/{i:05}-of-{len(used):05}.arrow" for i in range(len(used))]
        self.paths = tuple(paths)

    @property
    def pieces(self) -> list[Piece]:
        """The pieces of the table of samples, once for each copy that some sample has."""
        return list(self._pieces) * self._max_copies

    def to_pack(self, rows: RowTable) -> pa.Table:
        """What the packing stage needs beside each entry of `pieces`."""
        record_id = rows.record_ids(self.row).cast(pa.string())
        samples = int(self._sample.max(initial=0)) + 1
        tables = [
            pa.table(
                {
                    "shard": np.where(self.copies > copy, self.shard, np.int32(NOWHERE)),
                    "record_id": record_id,
                    "sample": pa.array(self._sample + copy * samples, pa.int32()),
                    "position": np.arange(len(self.row)) + copy * len(self.row),
                    "num_tokens": self.num_tokens,
                }
            )
            for copy in range(self._max_copies)
        ]
        return pa.concat_tables(tables)

    def take_places(self, placed: pa.Table) -> None:
        """Take each sample's place from the packing stage."""
        position = placed["position"].to_numpy()
        size = self._max_copies * len(self.row)
        self._place_row, self._place_index = np.full((2, size), NOWHERE, np.int32)
        self._place_row[position] = placed["row"].to_numpy()
        self._place_index[position] = placed["index"].to_numpy()

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

    def ledger_columns(self, entry: Ints, copy: Ints) -> dict[str, pa.Array]:
        """Of these placed samples (see `placed`) the places, the turns trained in them and their digests, as the ledger
        holds them.
        """
        place = copy * len(self.row) + entry
        paths = pa.DictionaryArray.from_arrays(pa.array(self.shard[entry]), pa.array(self.paths, pa.string()))
        columns = [pc.cast(paths, pa.string()), pa.array(self._place_row[place]), pa.array(self._place_index[place])]
        digests = key_bytes(self._digest.take(pa.array(entry)))
        return {
            "places": pa.StructArray.from_arrays(columns, names=["shard", "row", "index"]),
            "turns": self._turns.take(pa.array(entry)),
            "digests": hex_strings(digests, np.ones(len(digests), np.bool_)).cast(pa.string()),
        }

    def placed(self) -> tuple[Ints, Ints]:
        """Every placed sample once for each of its copies, in order, and the number of the copy."""
        counts = np.where(self.shard != NOWHERE, self.copies, 0)
        entry = np.repeat(np.arange(len(self.row)), counts)
        return entry, np.arange(len(entry)) - np.repeat(np.cumsum(counts) - counts, counts)
