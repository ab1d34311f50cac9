"""Columns that stay in the files of their table: what this process needs of them is read some rows at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa

from sftdata.engines.engine import Engine
from sftdata.engines.stage import Piece

PIECES_AT_A_TIME = 16


def in_batches(engine: Engine, table: Sequence[Piece], columns: Sequence[str]) -> Iterator[tuple[int, pa.Table]]:
    """Columns of a table, of some pieces at a time, each in one chunk, after the number of their first row."""
    first = 0
    for start in range(0, len(table), PIECES_AT_A_TIME):
        batch = engine.collect(table[start : start + PIECES_AT_A_TIME], columns).combine_chunks()
        yield first, batch
        first += batch.num_rows


class ColumnsInFiles:
    """Columns of a table, left in its files."""

    def __init__(self, engine: Engine, table: Sequence[Piece], columns: Sequence[str]) -> None:
        self._engine, self._table, self._columns = engine, table, columns
        self._starts = np.cumsum([0, *(piece.num_rows for piece in table)])

    def rows(self, first: int, last: int) -> pa.Table:
        """The rows from `first` on and before `last`."""
        begin = min(int(np.searchsorted(self._starts, first, side="right")), len(self._table)) - 1
        end = max(int(np.searchsorted(self._starts, last, side="left")), begin + 1)
        found = self._engine.collect(self._table[begin:end], self._columns)
        return found.slice(first - int(self._starts[begin]), last - first)
