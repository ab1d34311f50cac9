"""The default engine: processes on this machine, tables as Arrow files in a work folder."""

from __future__ import annotations

import multiprocessing
import pickle
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import pyarrow as pa

from sftdata.engines.base import Piece, Stage
from sftdata.errors import WorkerError
from sftdata.progress import Progress, Quiet
from sftdata.store.files import output_faults

MAX_PIECE_ROWS = 4096


class LocalEngine:
    """Runs stages in `workers` processes; with one worker, or one piece, in this process. Used with `with`."""

    def __init__(self, folder: Path, workers: int, progress: Progress | None = None) -> None:
        self._folder = folder
        self._workers = workers
        self._progress = progress or Quiet()
        self._serial = 0
        self._pool: Executor | None = None

    def __enter__(self) -> LocalEngine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)

    def map(self, stage: Stage, table: Sequence[Piece], beside: pa.Table | None = None) -> list[Piece]:
        """See Engine.map."""
        folder, blob = self._begin(stage)
        jobs: list[tuple[Callable[..., tuple[int, int]], tuple[Any, ...], Path]] = []
        row = 0
        for number, piece in enumerate(table):
            extra = None if beside is None else beside.slice(row, piece.num_rows).combine_chunks()
            row += piece.num_rows
            out = folder / f"{number:06}.arrow"
            jobs.append((_run_map, (blob, piece, extra, out), out))
        return [part for piece in self._run(stage.name, jobs) for part in _parts(piece)]

    def group(self, key: str, stage: Stage, table: Sequence[Piece], beside: pa.Table) -> list[Piece]:
        """See Engine.group."""
        folder, blob = self._begin(stage)
        keys = beside[key].combine_chunks().fill_null(-1).to_numpy(zero_copy_only=False)
        starts = np.cumsum([0, *(piece.num_rows for piece in table)])
        jobs: list[tuple[Callable[..., tuple[int, int]], tuple[Any, ...], Path]] = []
        order = np.argsort(keys, kind="stable")
        values, first = np.unique(keys[order], return_index=True)
        for value, begin, end in zip(values, first, [*first[1:], len(order)], strict=True):
            if value < 0:
                continue
            rows = order[begin:end]
            owner = np.searchsorted(starts, rows, side="right") - 1
            cuts = np.flatnonzero(np.diff(owner, prepend=-1))
            parts = [
                (table[owner[a]], rows[a:b] - starts[owner[a]])
                for a, b in zip(cuts, [*cuts[1:], len(rows)], strict=True)
            ]
            out = folder / f"{value:06}.arrow"
            jobs.append((_run_group, (blob, parts, beside.take(pa.array(rows)).combine_chunks(), out), out))
        return self._run(stage.name, jobs)

    def collect(self, table: Sequence[Piece], columns: Sequence[str]) -> pa.Table:
        """See Engine.collect."""
        return pa.concat_tables([_copied(piece.read(columns)) for piece in table])

    def give(self, table: pa.Table, rows_per_piece: int) -> list[Piece]:
        """See Engine.give."""
        path = self._new_folder("given") / "given.arrow"
        write_table(path, table)
        return [
            Piece(path, start, min(rows_per_piece, table.num_rows - start))
            for start in range(0, table.num_rows, rows_per_piece)
        ]

    def _new_folder(self, name: str) -> Path:
        folder = self._folder / f"{self._serial:02}-{name}"
        self._serial += 1
        with output_faults(folder):
            folder.mkdir(parents=True, exist_ok=True)
        return folder

    def _begin(self, stage: Stage) -> tuple[Path, Path]:
        """A folder for the stage's results, and in it the stage itself for the workers."""
        folder = self._new_folder(stage.name)
        blob = folder / "stage.pickle"
        write_bytes(blob, pickle.dumps(stage))
        return folder, blob

    def _run(
        self, name: str, jobs: Sequence[tuple[Callable[..., tuple[int, int]], tuple[Any, ...], Path]]
    ) -> list[Piece]:
        """Run all jobs; their result files in the order of the jobs."""
        self._progress.start(name, len(jobs))
        num_rows = [0] * len(jobs)
        for number, (rows, tokens) in self._results(jobs):
            num_rows[number] = rows
            self._progress.advance(rows, tokens)
        return [Piece(path, 0, rows) for (_, _, path), rows in zip(jobs, num_rows, strict=True)]

    def _results(
        self, jobs: Sequence[tuple[Callable[..., tuple[int, int]], tuple[Any, ...], Path]]
    ) -> Iterator[tuple[int, tuple[int, int]]]:
        if self._workers == 1 or len(jobs) <= 1:
            for number, (function, arguments, _) in enumerate(jobs):
                yield number, function(*arguments)
            return
        if self._pool is None:
            self._pool = ProcessPoolExecutor(self._workers, mp_context=_context())
        futures: dict[Future[tuple[int, int]], int] = {
            self._pool.submit(function, *arguments): number for number, (function, arguments, _) in enumerate(jobs)
        }
        try:
            for future in as_completed(futures):
                yield futures[future], future.result()
        except BrokenProcessPool as error:
            raise WorkerError(
                "a worker process",
                "was ended by the system, most often because memory ran out",
                "use fewer --workers or a machine with more memory, and run the same command again",
            ) from error
        finally:
            for future in futures:
                future.cancel()


def _context() -> Any:
    """How workers start: from a clean server process, so that no lock of this process's threads is copied."""
    method = "forkserver" if sys.platform == "linux" else "spawn"
    context = multiprocessing.get_context(method)
    if method == "forkserver":
        context.set_forkserver_preload(["sftdata.pipeline"])
    return context


def _parts(piece: Piece) -> Iterator[Piece]:
    """A result cut so that no unit of work is very large. An empty result stays one piece."""
    yield from (
        Piece(piece.path, start, min(MAX_PIECE_ROWS, piece.num_rows - start))
        for start in range(0, max(piece.num_rows, 1), MAX_PIECE_ROWS)
    )


@lru_cache(maxsize=4)
def _load_stage(blob: Path) -> Stage:
    stage: Stage = pickle.loads(blob.read_bytes())
    return stage


def _run_map(blob: Path, piece: Piece, extra: pa.Table | None, out: Path) -> tuple[int, int]:
    """One piece through a stage, in a worker."""
    table = piece.read()
    for name in () if extra is None else extra.column_names:
        table = table.append_column(name, extra[name])
    return _finish(_load_stage(blob)(table), out)


def _run_group(
    blob: Path, parts: Sequence[tuple[Piece, np.ndarray[Any, Any]]], extra: pa.Table, out: Path
) -> tuple[int, int]:
    """All rows of one group through a stage, in a worker."""
    table = pa.concat_tables([piece.read().take(pa.array(rows)) for piece, rows in parts])
    for name in extra.column_names:
        table = table.append_column(name, extra[name])
    return _finish(_load_stage(blob)(table), out)


def _finish(result: pa.Table, out: Path) -> tuple[int, int]:
    """Write a result; its rows and tokens."""
    write_table(out, result)
    tokens = 0
    if "num_tokens" in result.column_names:
        tokens = int(pa.compute.sum(result["num_tokens"]).as_py() or 0)
    return result.num_rows, tokens


def _copied(table: pa.Table) -> pa.Table:
    """A table in memory of its own, so that a mapped file can go."""
    return pa.concat_tables([table]).combine_chunks()


def write_table(path: Path, table: pa.Table) -> None:
    """Write a table of the work folder. Raises OutputError where the disk is full or may not be written."""
    with output_faults(path), pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)


def write_bytes(path: Path, data: bytes) -> None:
    """Write a small file of the work folder. Raises OutputError as `write_table`."""
    with output_faults(path):
        path.write_bytes(data)
