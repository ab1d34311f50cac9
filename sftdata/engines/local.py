"""The default engine: processes on this machine, tables as Arrow files in a work folder."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from sftdata.engines.base import AnyStage, GroupStage, Piece, Stage
from sftdata.engines.elsewhere import StageElsewhere
from sftdata.engines.forked import run_forked, run_here
from sftdata.engines.jobs import (
    Done,
    Job,
    Part,
    earlier_result,
    job_key,
    run_job,
    table_bytes,
    table_writer,
    write_bytes,
)
from sftdata.light import can_fork
from sftdata.progress import Progress, Quiet
from sftdata.store.files import output_faults

if TYPE_CHECKING:
    from sftdata.engines.pool import Pool

MAX_PIECE_ROWS = 4096  # changes no byte of a dataset


class LocalEngine:
    """Runs stages in `workers` processes; with one worker, or one piece, in this process. Used with `with`.

    Results stand in `folder` under the key of what went in: work that an earlier run did there is taken over. `salt`
    is part of every key. `preload` names a module that holds what most stages need, imported once for all workers.
    """

    def __init__(
        self,
        folder: Path,
        workers: int,
        progress: Progress | None = None,
        *,
        preload: str = "sftdata",
        salt: str = "",
    ) -> None:
        self._folder = folder
        self._workers = workers
        self._progress = progress or Quiet()
        self._preload = preload
        self._salt = salt
        self._serial = 0
        self._used: set[Path] = set()
        self._pool: Pool | None = None

    def __enter__(self) -> LocalEngine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pool is not None:
            self._pool.close(at_once=kind is not None)

    def warm_up(self, num_jobs: int) -> None:
        """Begin to start workers, where so many jobs will need them."""
        if self._workers > 1 and num_jobs > 1 and self._pool is None and not can_fork():
            from sftdata.engines.pool import warm_up

            warm_up(self._preload)

    def map(
        self,
        stage: Stage,
        table: Sequence[Piece],
        beside: pa.Table | None = None,
        meanwhile: Callable[[], object] | None = None,
    ) -> list[Piece]:
        """See Engine.map."""
        jobs = []
        row = 0
        for piece in table:
            columns = None if beside is None else beside.slice(row, piece.num_rows)
            row += piece.num_rows
            jobs.append(self._job(stage, [(piece, None)], columns))
        return [part for piece in self._run(stage, jobs, meanwhile) for part in _parts(piece, MAX_PIECE_ROWS)]

    def group(
        self,
        key: str,
        stage: GroupStage,
        table: Sequence[Piece],
        beside: pa.Table,
        meanwhile: Callable[[], object] | None = None,
    ) -> list[Piece]:
        """See Engine.group."""
        keys = beside[key].combine_chunks().fill_null(-1).to_numpy(zero_copy_only=False)
        starts = np.cumsum([0, *(piece.num_rows for piece in table)])
        order = np.argsort(keys, kind="stable")
        values, first = np.unique(keys[order], return_index=True)
        jobs = []
        for value, begin, end in zip(values, first, [*first[1:], len(order)], strict=True):
            if value < 0:
                continue
            rows = order[begin:end]
            owner = np.searchsorted(starts, rows, side="right") - 1
            cuts = [*np.flatnonzero(np.diff(owner, prepend=-1)), len(rows)]
            parts: list[Part] = [(table[owner[a]], rows[a:b] - starts[owner[a]]) for a, b in zip(cuts, cuts[1:])]
            jobs.append(self._job(stage, parts, beside.take(pa.array(rows))))
        return self._run(stage, jobs, meanwhile)

    def collect(self, table: Sequence[Piece], columns: Sequence[str]) -> pa.Table:
        """See Engine.collect."""
        return pa.concat_tables([_copied(piece.read(columns)) for piece in table])

    def look(self, piece: Piece, columns: Sequence[str]) -> pa.Table:
        """See Engine.look."""
        return piece.read(columns)

    def give(self, table: pa.Table, keys: Sequence[str | None] | None = None) -> list[Piece]:
        """See Engine.give."""
        data = table_bytes(table)
        content = hashlib.sha256(data).hexdigest()
        path = self._new_file("given", content)
        with table_writer(path, table.schema) as write:
            write(table)
        if keys is None:
            keys = [f"{content}:{row}" for row in range(table.num_rows)]
        return [Piece(path, row, 1, key) for row, key in enumerate(keys)]

    def spread(self, function: Callable[..., Any], calls: Sequence[tuple[Any, ...]]) -> Iterator[tuple[int, Any]]:
        """See Engine.spread."""
        if self._workers > 1 and can_fork():
            return run_forked(self._workers, function, calls)
        return run_here(function, calls)

    def forget_unused(self) -> None:
        """Take away the results of earlier runs that this one had no use for."""
        for path in self._folder.glob("*/*"):
            if path not in self._used:
                path.unlink()

    def _job(self, stage: AnyStage, parts: Sequence[Part], beside: pa.Table | None) -> Job:
        beside = None if beside is None else beside.combine_chunks()
        key = job_key(self._salt, stage, parts, beside)
        name = key
        if name is None:
            self._serial += 1
            name = f"unkeyed-{self._serial}"
        return Job(parts, beside, self._new_file(stage.name, name), key)

    def _new_file(self, folder: str, name: str) -> Path:
        path = self._folder / folder / f"{name}.arrow"
        if path.parent not in self._used:
            with output_faults(path.parent):
                path.parent.mkdir(parents=True, exist_ok=True)
            self._used.add(path.parent)
        self._used.add(path)
        return path

    def _run(self, stage: AnyStage, jobs: Sequence[Job], meanwhile: Callable[[], object] | None = None) -> list[Piece]:
        """Do all jobs, once where their keys are equal; their results in the order of the jobs."""
        done = {job.out: earlier for job in jobs if (earlier := earlier_result(stage, job)) is not None}
        if done:
            self._progress.note(f"{stage.name}: {len(done):,} of {len(jobs):,} pieces are there from an earlier run")
        left = list({job.out: job for job in jobs if job.out not in done}.values())
        self._progress.start(stage.name, len(left))
        for number, result in self._results(stage, left, meanwhile):
            done[left[number].out] = result
            self._progress.advance(result.num_rows, result.num_tokens)
        return [Piece(job.out, 0, done[job.out].num_rows, done[job.out].key) for job in jobs]

    def _results(
        self, stage: AnyStage, jobs: Sequence[Job], meanwhile: Callable[[], object] | None
    ) -> Iterator[tuple[int, Done]]:
        """What the jobs gave, as they are done, each with its number."""
        if isinstance(stage, StageElsewhere):
            yield from stage.results(self._workers, jobs)
            return
        calls = [(stage, job) for job in jobs]
        if self._workers == 1 or len(jobs) <= 1:
            yield from run_here(run_job, calls, meanwhile)
            return
        if can_fork():
            yield from run_forked(self._workers, run_job, calls, meanwhile)
            return
        data = pickle.dumps(stage)
        path = self._folder / f"{hashlib.sha256(data).hexdigest()}.stage"
        write_bytes(path, data)
        if self._pool is None:
            from sftdata.engines.pool import Pool

            self._pool = Pool(self._workers, self._preload)
        yield from self._pool.run(run_job, [(path, job) for job in jobs], meanwhile)
        path.unlink()


def _parts(piece: Piece, max_rows: int) -> Iterator[Piece]:
    """A result cut so that no unit of work is very large. An empty result stays one piece."""
    for start in range(0, max(piece.num_rows, 1), max_rows):
        num_rows = min(max_rows, piece.num_rows - start)
        yield Piece(piece.path, start, num_rows, f"{piece.key}:{start}:{num_rows}")


def _copied(table: pa.Table) -> pa.Table:
    """A table in memory of its own, so that a mapped file can go."""
    return pa.concat_tables([table, table.slice(0, 0)]).combine_chunks()  # which copies where there are two chunks
