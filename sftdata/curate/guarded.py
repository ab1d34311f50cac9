"""A stage of curation in which a fault of ours costs the row that has it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import pyarrow as pa

from sftdata.records.column import RECORD_TYPE
from sftdata.records.faults import by_halves


class RowStage(Protocol):
    """A stage that looks at each record by itself, and gives one entry for each row."""

    @property
    def name(self) -> str: ...
    @property
    def key(self) -> str: ...
    @property
    def columns(self) -> Sequence[str]: ...
    @property
    def __call__(self) -> Callable[[pa.Table], Iterator[pa.Table]]: ...


@dataclass(frozen=True)
class Guarded:
    """The entries of a stage, with the column `fault`: null, or the text of a fault. The entry of a row with a fault is
    that of a dropped row.
    """

    stage: RowStage

    @property
    def name(self) -> str:
        """The stage's."""
        return self.stage.name

    @property
    def key(self) -> str:
        """The stage's."""
        return self.stage.key

    @property
    def columns(self) -> Sequence[str]:
        """The stage's."""
        return self.stage.columns

    def __call__(self, table: pa.Table) -> Iterator[pa.Table]:
        """One entry per row."""
        yield from by_halves(self._entries, table, self._entry_of_fault)

    def _entries(self, table: pa.Table) -> pa.Table:
        found = pa.concat_tables(self.stage(table))
        return found.append_column("fault", pa.nulls(found.num_rows, pa.string()))

    def _entry_of_fault(self, table: pa.Table, fault: str) -> pa.Table:
        without = {name: table[name] for name in table.column_names}
        without |= {"record": pa.nulls(1, RECORD_TYPE), "dropped": pa.array([True])}
        entry = self._entries(pa.table(without))
        return entry.set_column(entry.num_columns - 1, "fault", pa.array([fault], pa.string()))
