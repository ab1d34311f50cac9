"""Where stages run. Engines know nothing about what a stage does."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import pyarrow as pa

MAX_MAPS = 1 << 14  # files that one process has mapped at a time: Linux allows four times as many, libraries included


class Piece(NamedTuple):
    """Some rows of a table: a slice of an Arrow file. One piece is one unit of work.

    Pieces of equal keys hold equal rows, in whatever run; None where nobody knows before reading them.
    """

    path: Path
    start: int
    num_rows: int
    key: str | None

    def read(self, columns: Sequence[str] | None = None) -> pa.Table:
        """The rows, mapped into memory."""
        with pa.memory_map(str(self.path)) as file:
            table = pa.ipc.open_file(file).read_all()
        if columns is not None:
            table = table.select(list(columns))
        return table.slice(self.start, self.num_rows)


class AnyStage(Protocol):
    """Rows in, rows out. Picklable; what is costly to make is made on first use and kept by the worker."""

    @property
    def name(self) -> str:
        """What to call it in front of people."""
        ...

    @property
    def key(self) -> str:
        """All that decides its results besides the rows it is given: equal keys, equal results."""
        ...

    @property
    def columns(self) -> Sequence[str]:
        """The columns of the pieces that it looks at; those given beside them it always has."""
        ...

    def is_there(self, result: pa.Table) -> bool:
        """Whether a result of an earlier run can still stand for the work: what it names outside itself is there."""
        ...


class Stage(AnyStage, Protocol):
    """What `map` runs."""

    def __call__(self, table: pa.Table) -> Iterator[pa.Table]:
        """The stage's rows for these rows: one table or more of one schema, so that not all are in memory at once.

        A column `num_tokens` in them is counted for the progress.
        """
        ...


class GroupStage(AnyStage, Protocol):
    """What `group` runs."""

    def __call__(self, members: pa.Table, table: pa.Table) -> Iterator[pa.Table]:
        """The stage's rows for one group.

        `members` has the columns beside the group's rows, and in `at` where each row stands in `table`. That is mapped
        into memory, with other rows of the same pieces: nothing is copied before the stage asks for it.
        """
        ...


class Engine(Protocol):
    """Verbs over tables that may be larger than memory. A table is a list of pieces, in the order of its rows."""

    def map(
        self,
        stage: Stage,
        table: Sequence[Piece],
        beside: pa.Table | None = None,
        meanwhile: Callable[[], object] | None = None,
    ) -> list[Piece]:
        """The stage on every piece. `beside` holds more columns, one row for each row of the table.

        `meanwhile` is called once, here, while the stage runs elsewhere if it does. What it raises ends the stage.
        """
        ...

    def group(
        self,
        key: str,
        stage: GroupStage,
        table: Sequence[Piece],
        beside: pa.Table,
        meanwhile: Callable[[], object] | None = None,
    ) -> list[Piece]:
        """The stage on all rows of each value of the integer column `key` of `beside`; rows without one are left out.

        The pieces come in the order of the keys. The rows of a group are in no particular order. `meanwhile` is as for
        `map`.
        """
        ...

    def collect(self, table: Sequence[Piece], columns: Sequence[str]) -> pa.Table:
        """Narrow columns of the whole table."""
        ...

    def look(self, piece: Piece, columns: Sequence[str]) -> pa.Table:
        """Columns of one piece, left where they are: for those that are too large to collect."""
        ...

    def give(self, table: pa.Table, keys: Sequence[str | None] | None = None) -> list[Piece]:
        """A small table as pieces of one row, with what each stands for as keys (default: the table's own content)."""
        ...

    def spread(self, function: Callable[..., Any], calls: Sequence[tuple[Any, ...]]) -> Iterator[tuple[int, Any]]:
        """The results of calls of a function that works on what this process has in memory, each with its number, in
        any order: in copies of this process where the engine makes such, else here.
        """
        ...
