"""The tokens of many samples, left in their (memory-mapped) chunks until a packed row needs them."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sftdata.records.labels import labels_of

Ints = NDArray[np.int64]
Ints32 = NDArray[np.int32]


class TokenColumns:
    """The tokens of the samples in the rows `at` of a table with the columns `input_ids` and `trained` (see labels.py).

    Only `gather` copies ids, and only data of these samples is read. Raises ValueError if a trained run ends before it
    starts, or after its sample.
    """

    def __init__(self, table: pa.Table, at: Ints) -> None:
        batches = table.select(["input_ids", "trained"]).to_batches()
        firsts = np.cumsum([0, *(batch.num_rows for batch in batches)])
        self._chunk = np.searchsorted(firsts, at, side="right") - 1  # chunk of each sample
        self._ids: dict[int, memoryview] = {}  # chunk -> its ids, often memory-mapped
        self._starts, self.lengths, self._first_edge, self._num_edges = np.empty((4, len(at)), np.int64)
        edges: list[Ints32] = [np.empty(0, np.int32)]
        num_edges = 0
        order = np.argsort(self._chunk, kind="stable")
        numbers, cuts = np.unique(self._chunk[order], return_index=True)
        for number, samples in zip(numbers.tolist(), np.split(order, cuts[1:])):
            rows = at[samples] - firsts[number]
            ids, trained = batches[number].column("input_ids"), batches[number].column("trained").take(pa.array(rows))
            offsets = ids.offsets.to_numpy()
            self._starts[samples], self.lengths[samples] = offsets[rows], offsets[rows + 1] - offsets[rows]
            self._ids[number] = memoryview(ids.values.to_numpy())
            offsets = trained.offsets.to_numpy()
            self._first_edge[samples], self._num_edges[samples] = num_edges + offsets[:-1], np.diff(offsets)
            edges.append(trained.flatten().to_numpy())
            num_edges += len(edges[-1])
        self._edges = np.concatenate(edges)
        self._check()

    def _check(self) -> None:
        """Reject impossible runs: `gather` would return tokens of another sample for them."""
        steps = self._steps(np.arange(len(self.lengths)))
        has_runs = self._num_edges > 0
        last = self._edges[(self._first_edge + self._num_edges - 1)[has_runs]]
        if (steps < 0).any() or (self._num_edges % 2).any() or (last > self.lengths[has_runs]).any():
            raise ValueError("a trained run of a sample ends before it starts, or after the sample")

    def gather(self, samples: Ints) -> tuple[Ints32, Ints32]:
        """The ids and labels of these samples (by number), concatenated."""
        starts, lengths = self._starts[samples], self.lengths[samples]
        places = zip(self._chunk[samples].tolist(), starts.tolist(), (starts + lengths).tolist())
        ids = np.frombuffer(b"".join([self._ids[chunk][start:end] for chunk, start, end in places]), np.int32)
        steps = self._steps(samples)
        is_trained = np.repeat(np.arange(len(steps)) % 2 == 1, steps)
        return ids, labels_of(ids, is_trained)

    def _steps(self, samples: Ints) -> Ints:
        """Lengths of the concatenated runs of these samples, alternately untrained and trained; some are empty."""
        ends = np.cumsum(self.lengths[samples])
        counts = self._num_edges[samples]
        owner = np.repeat(np.arange(len(samples)), counts)
        edges = self._edges[
            self._first_edge[samples][owner] + np.arange(len(owner)) - (np.cumsum(counts) - counts)[owner]
        ]
        begins = ends - self.lengths[samples]
        return np.diff(edges + begins[owner], prepend=0, append=ends[-1] if len(ends) else 0)
