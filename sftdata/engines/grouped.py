"""Groups of the rows of a table. What a group's task works on is cut out when the task is sent: until then each row of
all groups takes four bytes, however many groups and pieces there are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from sftdata.engines.stage import Piece
from sftdata.engines.task import Part, Task

MAX_ROWS = 1 << 32
_ROW_BITS = np.uint64(32)


class GroupedRows(NamedTuple):
    """A table, with the columns beside its rows."""

    table: Sequence[Piece]
    starts: npt.NDArray[np.int64]  # the first row of each piece
    beside: pa.Table

    def parts(self, rows: npt.NDArray[Any]) -> list[Part]:
        """These rows, ascending, as rows of pieces."""
        rows = rows.astype(np.int64)
        owner = np.searchsorted(self.starts, rows, side="right") - 1
        cuts = [*np.flatnonzero(np.diff(owner, prepend=-1)), len(rows)]
        return [(self.table[owner[a]], rows[a:b] - self.starts[owner[a]]) for a, b in zip(cuts, cuts[1:])]

    def columns(self, rows: npt.NDArray[Any]) -> pa.Table:
        """What is beside these rows."""
        return self.beside.take(pa.array(rows))


class GroupTask:
    """A Task that is made when it is run or pickled."""

    def __init__(self, grouped: GroupedRows, rows: npt.NDArray[np.uint32], out: Path, key: str | None) -> None:
        self._grouped, self._rows = grouped, rows
        self.out, self.key = out, key

    @property
    def num_rows(self) -> int:
        """The rows of the group."""
        return len(self._rows)

    def whole(self) -> Task:
        """The task."""
        return Task(self._grouped.parts(self._rows), self._grouped.columns(self._rows), self.out, self.key)

    def __reduce__(self) -> tuple[type[Task], tuple[Any, ...]]:
        return Task, tuple(self.whole())


def rows_by_key(keys: npt.NDArray[np.integer[Any]]) -> Iterator[npt.NDArray[np.uint32]]:
    """The rows of each key from 0 on, ascending, in the order of the keys. Negative keys are left out; no key needs
    more than 32 bits. Memory: 24 bytes for each of the rows, and four afterwards. Raises ValueError from MAX_ROWS rows.
    """
    if len(keys) >= MAX_ROWS:
        raise ValueError(f"{len(keys):,} rows are too many to group; fewer than {MAX_ROWS:,} can be")
    chosen = np.flatnonzero(keys >= 0).astype(np.uint64)
    keys_and_rows = keys[chosen].astype(np.uint64)
    keys_and_rows <<= _ROW_BITS
    keys_and_rows |= chosen
    del chosen
    keys_and_rows.sort()  # faster than an argsort
    order = keys_and_rows.astype(np.uint32)
    keys_and_rows >>= _ROW_BITS
    edges = np.flatnonzero(keys_and_rows[1:] != keys_and_rows[:-1]) + 1
    del keys_and_rows
    if len(order):
        yield from np.split(order, edges)
