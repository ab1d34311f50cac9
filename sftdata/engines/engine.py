"""Verbs over tables that may be larger than memory, made of tasks. Which launcher runs the tasks changes no byte.

prepare  ->  Engine (map, group, collect, look, give)  ->  tasks  ->  Launcher (this process, a pool, a cluster)
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
import pyarrow as pa

from sftdata.engines.grouped import GroupedRows, GroupTask, rows_by_key
from sftdata.engines.stage import AnyStage, GroupStage, Piece, Stage
from sftdata.engines.task import Part, Task, copied, earlier_result, run_task, table_bytes, table_writer, task_key
from sftdata.errors import pluralize
from sftdata.files import copies
from sftdata.progress import NoProgress, Progress

MAX_PIECE_ROWS = 4096  # changes no byte of a dataset
ResultT = TypeVar("ResultT")


class Launcher(Protocol):
    """Where functions run: in this process, in a pool of processes, on a cluster."""

    def run(self, function: Callable[..., ResultT], calls: Sequence[tuple[Any, ...]]) -> Iterator[tuple[int, ResultT]]:
        """The result of `function(*call)` for each call, with the number of the call, in any order.

        The function and the calls are picklable. The first exception of a call is raised, and calls that have not
        started are not made. Raises WorkerError where the system ended a worker.
        """
        ...


class Engine(Protocol):
    """The verbs. A table is a list of pieces, in the order of its rows."""

    def map(self, stage: Stage, table: Sequence[Piece], beside: pa.Table | None = None) -> list[Piece]:
        """The stage on every piece. `beside` holds more columns, one row for each row of the table."""
        ...

    def group(self, key: str, stage: GroupStage, table: Sequence[Piece], beside: pa.Table) -> list[Piece]:
        """The stage on all rows of each value of the integer column `key` of `beside`.

        Rows with a null or negative key are left out. The pieces come in the order of the keys; the rows of a group
        are in no particular order.
        """
        ...

    def collect(self, table: Sequence[Piece], columns: Sequence[str]) -> pa.Table:
        """Narrow columns of the whole table, in memory."""
        ...

    def look(self, piece: Piece, columns: Sequence[str]) -> pa.Table:
        """Columns of one piece, left in its file: for columns that are too large to collect."""
        ...

    def give(
        self, table: pa.Table, keys: Sequence[str | None] | None = None, sizes: Sequence[int] | None = None
    ) -> list[Piece]:
        """A small table as pieces of `sizes` rows (default: of one row). `keys` are the pieces' keys (default: made
        from the table's content).
        """
        ...


class TaskEngine:
    """An Engine whose every step is a list of tasks, each of which writes one file in `folder`.

    Files are named by the key of what went in, so that the work of an earlier run is used again. `salt` is part of
    every key. Where the folder is the copy of one on a store (see `files.copies`), `attach` lets another process, maybe
    on another machine, know that; only what is on the store is used again then.
    """

    def __init__(
        self,
        folder: Path,
        launcher: Launcher,
        progress: Progress | None = None,
        *,
        salt: str = "",
        attach: Callable[[], None] | None = None,
    ) -> None:
        self._folder = folder
        self._launcher = launcher
        self._progress = progress or NoProgress()
        self._salt = salt
        self._attach = attach
        self._there = copies.listed(folder)  # what the store of the work has; None where its folder is an ordinary one
        self._unkeyed, self._run_name = 0, secrets.token_hex(4)  # a lost node may still write for an earlier run
        self._given: set[Path] = set()  # files of pieces that are no rows of the data
        self._used: set[Path] = set()

    def map(self, stage: Stage, table: Sequence[Piece], beside: pa.Table | None = None) -> list[Piece]:
        """See Engine.map."""
        tasks = []
        row = 0
        for piece in table:
            columns = None if beside is None else beside.slice(row, piece.num_rows)
            row += piece.num_rows
            tasks.append(self._task(stage, [(piece, None)], columns))
        return [part for piece in self._run(stage, tasks) for part in _parts(piece, MAX_PIECE_ROWS)]

    def group(self, key: str, stage: GroupStage, table: Sequence[Piece], beside: pa.Table) -> list[Piece]:
        """See Engine.group."""
        keys = beside[key].combine_chunks().fill_null(-1).to_numpy(zero_copy_only=False)
        starts = np.cumsum([0, *(piece.num_rows for piece in table)])
        grouped = GroupedRows(table, starts[:-1], beside)
        tasks = []
        for rows in rows_by_key(keys):
            task = self._task(stage, grouped.parts(rows), grouped.columns(rows))
            tasks.append(GroupTask(grouped, rows, task.out, task.key))
        return self._run(stage, tasks)

    def collect(self, table: Sequence[Piece], columns: Sequence[str]) -> pa.Table:
        """See Engine.collect."""
        copies.ensure_all(piece.path for piece in table)
        return pa.concat_tables([copied(piece.read(columns)) for piece in table])

    def look(self, piece: Piece, columns: Sequence[str]) -> pa.Table:
        """See Engine.look."""
        return piece.read(columns)

    def give(
        self, table: pa.Table, keys: Sequence[str | None] | None = None, sizes: Sequence[int] | None = None
    ) -> list[Piece]:
        """See Engine.give."""
        content = hashlib.sha256(table_bytes(table)).hexdigest()
        path = self._new_file("given", content)
        self._given.add(path)
        with table_writer(path, table.schema) as write:
            write(table)
        sizes = [1] * table.num_rows if sizes is None else sizes
        starts = np.cumsum([0, *sizes]).tolist()
        if keys is None:
            keys = [f"{content}:{row}" for row in starts[:-1]]
        return [Piece(path, *place) for place in zip(starts, sizes, keys)]

    def remove_unused(self) -> None:
        """Remove the results of earlier runs that this one did not use."""
        for path in self._folder.glob("*/*"):
            if path not in self._used:
                path.unlink()
        for path in self._there or ():
            if path.is_relative_to(self._folder) and path not in self._used:
                copies.remove(path)

    def _task(self, stage: AnyStage, parts: Sequence[Part], beside: pa.Table | None) -> Task:
        beside = None if beside is None else copied(beside)
        key = task_key(self._salt, stage, parts, beside)
        name = key
        if name is None:
            self._unkeyed += 1
            name = f"unkeyed-{self._run_name}-{self._unkeyed}"
        return Task(parts, beside, self._new_file(stage.name, name), key)

    def _num_rows(self, task: Task | GroupTask) -> int:
        """The rows of the data that a task works on; 0 where that is known once it is done."""
        if isinstance(task, GroupTask):
            return task.num_rows
        if any(piece.path in self._given for piece, _ in task.parts[:1]):
            return 0
        return sum(piece.num_rows if rows is None else len(rows) for piece, rows in task.parts)

    def _new_file(self, folder: str, name: str) -> Path:
        path = self._folder / folder / f"{name}.arrow"
        self._used.add(path)
        return path

    def _run(self, stage: AnyStage, tasks: Sequence[Task | GroupTask]) -> list[Piece]:
        """Run all tasks, those with equal keys once; their results in the order of the tasks."""
        maybe = [task for task in tasks if self._there is None or task.out in self._there]
        copies.ensure_all(task.out for task in maybe)
        done = {task.out: it for task in maybe if (it := earlier_result(stage, task.out, task.key)) is not None}
        if done:
            is_all = len(done) == len({task.out for task in tasks})
            parts = "" if is_all else f"{len(done):,} of {pluralize(len(tasks), 'part')} "
            self._progress.note(f"{stage.name}: {parts}done by an earlier run")
        left = list({task.out: task for task in tasks if task.out not in done}.values())
        rows = [self._num_rows(task) for task in left]
        self._progress.start(stage.name, len(left), sum(rows))
        function = partial(run_task, stage, attach=self._attach)
        for number, result in self._launcher.run(function, [(task,) for task in left]):
            done[left[number].out] = result
            self._progress.advance(rows[number] or result.num_rows, result.num_tokens)
        return [Piece(task.out, 0, done[task.out].num_rows, done[task.out].key) for task in tasks]


def _parts(piece: Piece, max_rows: int) -> Iterator[Piece]:
    """A result cut so that no unit of work is very large. An empty result stays one piece."""
    for start in range(0, max(piece.num_rows, 1), max_rows):
        num_rows = min(max_rows, piece.num_rows - start)
        yield Piece(piece.path, start, num_rows, f"{piece.key}:{start}:{num_rows}")
