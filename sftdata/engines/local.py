"""The default engine: processes on this machine, tables as Arrow files in a work folder."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType

import numpy as np
import pyarrow as pa

from sftdata.engines.base import Piece, Stage
from sftdata.engines.jobs import Done, Job, run_job, table_writer, write_bytes
from sftdata.engines.pool import Pool
from sftdata.progress import Progress, Quiet
from sftdata.store.files import output_faults

MAX_PIECE_ROWS = 4096  # changes no byte of a dataset


class LocalEngine:
    """Runs stages in `workers` processes; with one worker, or one piece, in this process. Used with `with`.

    `preload` names a module that holds what most stages need, imported once for all workers.
    """

    def __init__(self, folder: Path, workers: int, progress: Progress | None = None, preload: str = "sftdata") -> None:
        self._folder = folder
        self._workers = workers
        self._progress = progress or Quiet()
        self._preload = preload
        self._serial = 0
        self._pool: Pool | None = None

    def __enter__(self) -> LocalEngine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pool is not None:
            self._pool.close(at_once=kind is not None)

    def map(self, stage: Stage, table: Sequence[Piece], beside: pa.Table | None = None) -> list[Piece]:
        """See Engine.map."""
        folder = self._new_folder(stage.name)
        jobs = []
        row = 0
        for number, piece in enumerate(table):
            columns = None if beside is None else beside.slice(row, piece.num_rows).combine_chunks()
            row += piece.num_rows
            jobs.append(Job([(piece, None)], columns, folder / f"{number:06}.arrow"))
        return [part for piece in self._run(stage, jobs) for part in _parts(piece)]

    def group(self, key: str, stage: Stage, table: Sequence[Piece], beside: pa.Table) -> list[Piece]:
        """See Engine.group."""
        folder = self._new_folder(stage.name)
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
            parts = [(table[owner[a]], rows[a:b] - starts[owner[a]]) for a, b in zip(cuts, cuts[1:])]
            jobs.append(Job(parts, beside.take(pa.array(rows)).combine_chunks(), folder / f"{value:06}.arrow"))
        return self._run(stage, jobs)

    def collect(self, table: Sequence[Piece], columns: Sequence[str]) -> pa.Table:
        """See Engine.collect."""
        return pa.concat_tables([_copied(piece.read(columns)) for piece in table])

    def give(self, table: pa.Table, rows_per_piece: int) -> list[Piece]:
        """See Engine.give."""
        path = self._new_folder("given") / "given.arrow"
        with table_writer(path, table.schema) as write:
            write(table)
        return list(_parts(Piece(path, 0, table.num_rows), rows_per_piece))

    def _new_folder(self, name: str) -> Path:
        folder = self._folder / f"{self._serial:02}-{name}"
        self._serial += 1
        with output_faults(folder):
            folder.mkdir(parents=True, exist_ok=True)
        return folder

    def _run(self, stage: Stage, jobs: Sequence[Job]) -> list[Piece]:
        """Run all jobs; their results in the order of the jobs."""
        self._progress.start(stage.name, len(jobs))
        num_rows = [0] * len(jobs)
        for number, done in self._results(stage, jobs):
            num_rows[number] = done.num_rows
            self._progress.advance(done.num_rows, done.num_tokens)
        return [Piece(job.out, 0, rows) for job, rows in zip(jobs, num_rows, strict=True)]

    def _results(self, stage: Stage, jobs: Sequence[Job]) -> Iterator[tuple[int, Done]]:
        """What the jobs gave, as they are done, each with its number."""
        if self._workers == 1 or len(jobs) <= 1:
            yield from ((number, run_job(stage, job)) for number, job in enumerate(jobs))
            return
        data = pickle.dumps(stage)
        path = self._folder / f"{hashlib.sha256(data).hexdigest()}.stage"
        write_bytes(path, data)
        if self._pool is None:
            self._pool = Pool(self._workers, self._preload)
        yield from self._pool.run(run_job, [(path, job) for job in jobs])


def _parts(piece: Piece, max_rows: int | None = None) -> Iterator[Piece]:
    """A result cut so that no unit of work is very large. An empty result stays one piece."""
    max_rows = max_rows or MAX_PIECE_ROWS
    for start in range(0, max(piece.num_rows, 1), max_rows):
        yield Piece(piece.path, piece.start + start, min(max_rows, piece.num_rows - start))


def _copied(table: pa.Table) -> pa.Table:
    """A table in memory of its own, so that a mapped file can go."""
    return pa.concat_tables([table]).combine_chunks()
