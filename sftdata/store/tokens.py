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
    """`input_ids` and `labels` of some samples: those that stand `at` these rows of a table. Nothing is copied but what
    `gather` gives, and nothing is looked up of other samples.

    Raises ValueError where a sample has more or fewer labels than ids.
    """

    def __init__(self, table: pa.Table, at: Ints) -> None:
        batches = table.select(["input_ids", "labels"]).to_batches()
        firsts = np.cumsum([0, *(batch.num_rows for batch in batches)])
        self._chunk = np.searchsorted(firsts, at, side="right") - 1  # of each sample
        self._chunks: dict[int, _Chunk] = {}
        self._starts, self._label_starts, self.lengths = np.empty((3, len(at)), np.int64)  # lengths in tokens
        order = np.argsort(self._chunk, kind="stable")
        numbers, cuts = np.unique(self._chunk[order], return_index=True)
        for number, samples in zip(numbers.tolist(), np.split(order, cuts[1:])):
            batch, rows = batches[number], at[samples] - firsts[number]
            ids, labels = batch.column("input_ids"), batch.column("labels")
            self._starts[samples], self.lengths[samples] = _spans(ids, rows)
            self._label_starts[samples], label_lengths = _spans(labels, rows)
            if not np.array_equal(self.lengths[samples], label_lengths):
                raise ValueError("input_ids and labels of a sample differ in length")
            self._chunks[number] = _Chunk(ids.values.to_numpy(), labels.values.to_numpy())

    def gather(self, samples: Ints) -> tuple[Ints32, Ints32]:
        """The ids and the labels of these samples (by number), one sample after the other."""
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


def _spans(lists: pa.ListArray, rows: Ints) -> tuple[Ints, Ints]:
    """Where the lists at these rows begin in the values, and how long they are."""
    offsets = lists.offsets.to_numpy()
    starts = offsets[rows].astype(np.int64)
    return starts, offsets[rows + 1] - starts
