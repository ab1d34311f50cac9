"""What an engine works on: pieces of tables, and stages, which are functions of tables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol, runtime_checkable

import pyarrow as pa

from sftdata.files import copies


class Piece(NamedTuple):
    """Some rows of a table: a slice of an Arrow file. One piece is one unit of work.

    Pieces with equal keys hold equal rows, in any run; None where the content is known only after reading it.
    """

    path: Path
    start: int
    num_rows: int
    key: str | None

    def read(self, columns: Sequence[str] | None = None) -> pa.Table:
        """The rows, mapped into memory."""
        copies.ensure(self.path)
        with pa.memory_map(str(self.path)) as file:
            table = pa.ipc.open_file(file).read_all()
        if columns is not None:
            table = table.select(list(columns))
        return table.slice(self.start, self.num_rows)


class AnyStage(Protocol):
    """Rows in, rows out. Picklable; what is costly to make is made on first use and kept by the worker."""

    @property
    def name(self) -> str:
        """The name that users see."""
        ...

    @property
    def key(self) -> str:
        """Everything that decides the results besides the rows: equal keys give equal results."""
        ...

    @property
    def columns(self) -> Sequence[str]:
        """The columns of the pieces that the stage reads; those given beside the pieces are always there."""
        ...


@runtime_checkable
class NamesFiles(Protocol):
    """A stage whose results name files besides themselves. Results of any other stage can always be used again."""

    def is_reusable(self, result: pa.Table) -> bool:
        """Whether a result of an earlier run can be used again: the files that it names must still be there."""
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

        `members` has the columns beside the group's rows, and in `at` the position of each row in `table`. The table
        is mapped into memory and holds other rows of the same pieces too: nothing is copied until the stage reads it.
        """
        ...
