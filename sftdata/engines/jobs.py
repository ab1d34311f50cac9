"""One unit of work: some rows through a stage into a file. What runs in a worker."""

from __future__ import annotations

import itertools
import os
import pickle
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from sftdata.engines.base import Piece, Stage
from sftdata.store.files import output_faults


@dataclass(frozen=True)
class Job:
    """Rows of pieces (all, where no rows are named), with more columns beside them, and the file for the result."""

    parts: Sequence[tuple[Piece, npt.NDArray[np.int64] | None]]
    beside: pa.Table | None
    out: Path


@dataclass(frozen=True, slots=True)
class Done:
    """What a job gave: rows in its file, and the tokens in them as far as they say."""

    num_rows: int
    num_tokens: int


def run_job(stage: Stage | Path, job: Job) -> Done:
    """Run a job; the stage is given itself, or as the path of its pickle."""
    call = load_stage(stage) if isinstance(stage, Path) else stage
    table = pa.concat_tables([_rows(piece, rows) for piece, rows in job.parts])
    if job.beside is not None:
        for name in job.beside.column_names:
            table = table.append_column(name, job.beside[name])
    results = call(table)
    num_rows = num_tokens = 0
    first = next(results)
    with table_writer(job.out, first.schema) as write:
        for result in itertools.chain([first], results):
            write(result)
            num_rows += result.num_rows
            if "num_tokens" in result.column_names:
                num_tokens += int(pc.sum(result["num_tokens"]).as_py() or 0)
    return Done(num_rows, num_tokens)


@lru_cache(maxsize=2)
def load_stage(path: Path) -> Stage:
    """A stage from its pickle. Its name holds its checksum, so that the same path is always the same stage."""
    stage: Stage = pickle.loads(path.read_bytes())
    return stage


def _rows(piece: Piece, rows: npt.NDArray[np.int64] | None) -> pa.Table:
    table = piece.read()
    return table if rows is None else table.take(pa.array(rows))


@contextmanager
def table_writer(path: Path, schema: pa.Schema) -> Iterator[Callable[[pa.Table], None]]:
    """Write a file of the work folder, table by table. It appears when the block ends well, whole.

    Raises OutputError where the disk is full or may not be written.
    """
    hidden = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with output_faults(path):
        try:
            with pa.OSFile(str(hidden), "wb") as sink, pa.ipc.new_file(sink, schema) as writer:
                yield writer.write_table
            hidden.replace(path)
        finally:
            hidden.unlink(missing_ok=True)


def write_bytes(path: Path, data: bytes) -> None:
    """Write a small file of the work folder. Raises OutputError as `table_writer`."""
    with output_faults(path):
        path.write_bytes(data)
