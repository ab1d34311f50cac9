"""What is known of every sample without its text: lengths, trained tokens, places. Worked out once, when asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sftdata.records.labels import IGNORE
from sftdata.view.find.origins import Ints


class SampleColumns:
    """Columns with an entry for each sample, in the order of the samples.

    `open_shard` gives the sequences of a shard by its number, memory-mapped; what is held is a few numbers a sample.
    """

    def __init__(self, num_shards: int, open_shard: Callable[[int], pa.Table]) -> None:
        self._num_shards = num_shards
        self._open_shard = open_shard

    @cached_property
    def num_tokens(self) -> Ints:
        """The number of tokens of each sample."""
        return _joined([flat(batch, "seq_lengths").astype(np.int64) for batch in self._batches()])

    @cached_property
    def num_trained_tokens(self) -> Ints:
        """The number of trained tokens of each sample."""
        return _joined([_trained(batch) for batch in self._batches()])

    @cached_property
    def places(self) -> Ints:
        """Shard, sequence within the shard, and index within the sequence of each sample: three rows."""
        parts = []
        for shard in range(self._num_shards):
            counts = pc.list_value_length(self._open_shard(shard)["seq_lengths"]).to_numpy()
            row = np.repeat(np.arange(len(counts)), counts)
            index = np.arange(len(row)) - np.repeat(np.cumsum(counts) - counts, counts)
            parts.append(np.stack([np.full(len(row), shard), row, index]))
        return np.concatenate(parts, axis=1) if parts else np.empty((3, 0), np.int64)

    def _batches(self) -> Iterator[pa.RecordBatch]:
        for shard in range(self._num_shards):
            yield from self._open_shard(shard).to_batches()


def flat(batch: pa.RecordBatch, name: str) -> Any:
    """The values of a list column as one flat array, without a copy."""
    return batch.column(name).flatten().to_numpy()


def _trained(batch: pa.RecordBatch) -> Ints:
    """The trained tokens of each sample of a batch."""
    ends = np.cumsum(flat(batch, "seq_lengths"), dtype=np.int64)
    totals = np.concatenate([[0], np.cumsum(flat(batch, "labels") != IGNORE)])
    return np.diff(totals[ends], prepend=0)


def _joined(parts: Sequence[Ints]) -> Ints:
    return np.concatenate(parts) if parts else np.empty(0, np.int64)
