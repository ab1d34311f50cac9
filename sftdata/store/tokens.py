"""The tokens of many samples, left where they are until a packed row wants them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Ints32 = NDArray[np.int32]


class _Chunk(NamedTuple):
    """Flat tokens of consecutive samples, and the labels beside them, as they lie in a (mapped) file."""

    ids: Ints32
    labels: Ints32


class TokenColumns:
    """`input_ids` and `labels` of a table of samples. Nothing is copied but what `gather` gives.

    Raises ValueError where a sample has more or fewer labels than ids.
    """

    def __init__(self, table: pa.Table) -> None:
        self._chunks: list[_Chunk] = []
        chunk: list[Ints] = []
        starts: list[Ints] = []
        label_starts: list[Ints] = []
        lengths: list[Ints] = []
        for batch in table.select(["input_ids", "labels"]).to_batches():
            ids, labels = batch.column("input_ids"), batch.column("labels")
            offsets, label_offsets = (column.offsets.to_numpy().astype(np.int64) for column in (ids, labels))
            if not np.array_equal(np.diff(offsets), np.diff(label_offsets)):
                raise ValueError("input_ids and labels of a sample differ in length")
            chunk.append(np.full(batch.num_rows, len(self._chunks)))
            starts.append(offsets[:-1])
            label_starts.append(label_offsets[:-1])
            lengths.append(np.diff(offsets))
            self._chunks.append(_Chunk(ids.values.to_numpy(), labels.values.to_numpy()))
        none = [np.empty(0, np.int64)]
        self._chunk = np.concatenate(chunk or none)
        self._starts = np.concatenate(starts or none)
        self._label_starts = np.concatenate(label_starts or none)
        self.lengths: Ints = np.concatenate(lengths or none)  # of all samples, in tokens

    def gather(self, samples: Ints) -> tuple[Ints32, Ints32]:
        """The ids and the labels of these samples (positions in the table), one sample after the other."""
        ends = np.cumsum(self.lengths[samples])
        ids, labels = np.empty((2, int(ends[-1]) if len(ends) else 0), np.int32)
        place = 0
        for number, start, label_start, end in zip(
            self._chunk[samples].tolist(),
            self._starts[samples].tolist(),
            self._label_starts[samples].tolist(),
            ends.tolist(),
        ):
            chunk = self._chunks[number]
            ids[place:end] = chunk.ids[start : start + end - place]
            labels[place:end] = chunk.labels[label_start : label_start + end - place]
            place = end
        return ids, labels
