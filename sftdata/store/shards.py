"""Shards: packed rows as Arrow IPC stream files. Build the rows, write them, read them back."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from sftdata.files.arrow_stream import read_stream
from sftdata.files.atomic import atomic_write
from sftdata.records.labels import IGNORE
from sftdata.store.pack import Packing, Strategy, pack
from sftdata.store.tokens import TokenColumns

SHARD_SCHEMA = pa.schema(
    [
        ("input_ids", pa.list_(pa.int32())),
        ("labels", pa.list_(pa.int32())),  # the id if trained, else IGNORE; not shifted
        ("seq_lengths", pa.list_(pa.int32())),  # lengths of the samples in the row, in order
        ("record_ids", pa.list_(pa.string())),  # one per sample
    ]
)
BATCH_TOKENS = 1 << 20  # maximum tokens per record batch; part of the format: another value gives different bytes


class ShardStats(NamedTuple):
    """The contents of a written shard in numbers."""

    rows: int
    samples: int
    tokens: int
    trained_tokens: int
    size_bytes: int
    sha256: str


class SplitStats(NamedTuple):
    """The contents of one split in numbers."""

    shards: int
    rows: int
    samples: int
    tokens: int
    trained_tokens: int

    @classmethod
    def of(cls, shards: Collection[Any]) -> SplitStats:
        """The sums over a split's shards, as the manifest has them."""
        names = ("rows", "samples", "tokens", "trained_tokens")
        return cls(len(shards), *(sum(getattr(shard, name) for shard in shards) for name in names))


class Shard(NamedTuple):
    """Samples and their places in packed rows.

    The packed rows are built batch by batch on demand, so that a shard is never in memory as a whole.
    """

    tokens: TokenColumns
    record_id: pa.Array  # of each sample
    packing: Packing  # of the samples
    seq_len: int

    @property
    def num_rows(self) -> int:
        """The number of packed rows."""
        return self.packing.num_rows

    def batches(self) -> Iterator[pa.RecordBatch]:
        """The packed rows as record batches of SHARD_SCHEMA. The batch boundaries depend only on seq_len."""
        rows_per_batch = max(1, BATCH_TOKENS // self.seq_len)
        order, row_starts = self.packing.order(), self.packing.row_starts()
        for first in range(0, self.num_rows, rows_per_batch):
            starts = row_starts[first : first + rows_per_batch + 1]
            yield self._batch(order[starts[0] : starts[-1]], starts - starts[0])

    def _batch(self, order: NDArray[np.int64], starts: NDArray[np.int64]) -> pa.RecordBatch:
        """One batch of packed rows. Row r has the samples order[starts[r] : starts[r + 1]]."""
        lengths = self.tokens.lengths[order].astype(np.int32)
        ends = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths, dtype=np.int64)])
        token_starts = pa.array(ends[starts].astype(np.int32))
        sample_starts = pa.array(starts.astype(np.int32))
        ids, labels = self.tokens.gather(order)
        columns = [
            pa.ListArray.from_arrays(token_starts, pa.array(ids)),
            pa.ListArray.from_arrays(token_starts, pa.array(labels)),
            pa.ListArray.from_arrays(sample_starts, pa.array(lengths)),
            pa.ListArray.from_arrays(sample_starts, self.record_id.take(pa.array(order))),
        ]
        return pa.RecordBatch.from_arrays(columns, schema=SHARD_SCHEMA)

    def table(self) -> pa.Table:
        """All packed rows."""
        return pa.Table.from_batches(self.batches(), SHARD_SCHEMA)


def place_samples(samples: pa.Table, seq_len: int, strategy: Strategy, seed: int) -> Packing:
    """Pack samples into rows. The rows do not depend on the order of the samples.

    `samples` has the columns `record_id`, `sample` and `num_tokens`. They are sorted by record id and sample number
    and packed; then the rows are sorted by a hash of the seed and their first sample. Raises ValueError if a sample is
    empty, longer than seq_len or duplicated (earlier stages prevent this), or if there are more than 2^31 - 1 tokens.
    """
    lengths = samples["num_tokens"].to_numpy()
    if (num_tokens := int(lengths.sum())) > np.iinfo(np.int32).max:
        raise ValueError(f"a shard can have at most 2^31 - 1 tokens, not {num_tokens}")
    samples = samples.select(["record_id", "sample"]).combine_chunks()
    by_id = pc.sort_indices(samples, sort_keys=[("record_id", "ascending"), ("sample", "ascending")])
    samples = samples.take(by_id).combine_chunks()
    repeated = [pc.equal(samples[name][1:], samples[name][:-1]) for name in samples.column_names]
    if pc.any(pc.and_(*repeated)).as_py():
        raise ValueError("two samples have the same record id and number")
    position = by_id.to_numpy()
    packing = _shuffle_rows(pack(lengths[position], seq_len, strategy), samples, seed)
    row, index = np.empty((2, len(position)), np.int32)
    row[position], index[position] = packing.row, packing.index
    return Packing(row, index, packing.num_rows)


def write_shard(path: str | Path, shard: Shard) -> ShardStats:
    """Write a shard atomically. The same samples and settings give the same bytes.

    Raises OutputError if the folder cannot be written.
    """
    rows = samples = tokens = trained = 0
    with (
        atomic_write(path) as sink,
        pa.ipc.new_stream(sink, SHARD_SCHEMA) as writer,
        ThreadPoolExecutor(1) as writing,
    ):
        batches = shard.batches()
        batch = next(batches, None)
        while batch is not None:
            written = writing.submit(writer.write_batch, batch)  # while the next batch is built
            labels = _flat_values(batch.column("labels"))
            rows += batch.num_rows
            samples += len(_flat_values(batch.column("seq_lengths")))
            tokens += len(labels)
            trained += int(np.count_nonzero(labels != IGNORE))
            batch = next(batches, None)
            written.result()
    return ShardStats(rows, samples, tokens, trained, sink.size_bytes, sink.sha256)


def read_shard(path: str | Path) -> pa.Table:
    """The rows of a shard, memory-mapped. Their numbers are not checked: `checked.open_shard` does that.

    Raises DatasetError if the file does not exist, is not an Arrow stream, does not have SHARD_SCHEMA, or is corrupt.
    """
    return pa.Table.from_batches(read_batches(path), SHARD_SCHEMA)


def read_batches(path: str | Path) -> Iterator[pa.RecordBatch]:
    """The rows of a shard as validated record batches, memory-mapped. Raises DatasetError as `read_shard` does."""
    return read_stream(path, SHARD_SCHEMA)


def _shuffle_rows(packing: Packing, samples: pa.Table, seed: int) -> Packing:
    """Sort the rows by a hash of the seed and their first sample: the same order on every machine."""
    firsts = packing.order()[packing.row_starts()[:-1]].tolist()
    keys = zip(*(samples[name].take(pa.array(firsts, pa.int64())).to_pylist() for name in ("record_id", "sample")))
    hashes = [
        hashlib.blake2b(f"{seed}\0{record_id}\0{number}".encode(), digest_size=16).digest()
        for record_id, number in keys
    ]
    old_rows = sorted(range(len(firsts)), key=lambda row: (hashes[row], firsts[row]))
    new_row = np.empty(len(firsts), np.int32)
    new_row[old_rows] = np.arange(len(firsts), dtype=np.int32)
    return Packing(new_row[packing.row], packing.index, packing.num_rows)


def _flat_values(column: Any) -> NDArray[np.int32]:
    """The values of a list column as one flat array, without a copy."""
    return column.flatten().to_numpy()  # type: ignore[no-any-return]
