"""Stages that other processes than the engine's workers run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import pyarrow as pa

if TYPE_CHECKING:
    from sftdata.engines.aside import Aside
    from sftdata.engines.jobs import Done, Job


class StageElsewhere(NamedTuple):
    """A stage that an object in a process beside this one runs: its `method` takes a number of workers, and jobs."""

    aside: Aside
    method: str
    name: str
    columns: Sequence[str]
    key: str

    def is_there(self, result: pa.Table) -> bool:
        """Whether a result of an earlier run can stand for the work: yes, where it names nothing outside itself."""
        return True

    def results(self, size: int, jobs: Sequence[Job]) -> Iterator[tuple[int, Done]]:
        """What the stage makes of the jobs in `size` processes, as they are done, each with its number."""
        self.aside.ask(self.method, size, jobs)
        return self.aside.answers()
