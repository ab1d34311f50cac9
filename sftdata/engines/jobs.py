"""One unit of work: some rows through a stage into a file. What runs in a worker."""

from __future__ import annotations

import itertools
import os
import pickle
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from xxhash import xxh3_128

from sftdata.engines.base import MAX_MAPS, AnyStage, Piece
from sftdata.store.files import file_sha256, output_faults

Part = tuple[Piece, npt.NDArray[np.int64] | None]


class Job(NamedTuple):
    """Rows of pieces (all, or for a group those named), with more columns beside them, and the file for the result.

    Equal keys are equal work; None where what goes in is known only when it has been read.
    """

    parts: Sequence[Part]
    beside: pa.Table | None
    out: Path
    key: str | None

    @property
    def is_group(self) -> bool:
        """Whether it is for a stage of groups."""
        return self.parts[0][1] is not None


class Done(NamedTuple):
    """What a job gave: the key of its result, rows in its file, and the tokens in them as far as they say."""

    key: str
    num_rows: int
    num_tokens: int


def job_key(salt: str, stage: AnyStage, parts: Sequence[Part], beside: pa.Table | None) -> str | None:
    """A checksum (XXH3, 128 bits) of all that decides a job's result."""
    digest = xxh3_128()

    def add(data: bytes | pa.Buffer) -> None:
        digest.update(len(data).to_bytes(8, "little"))
        digest.update(data)

    for text in (salt, stage.name, stage.key):
        add(text.encode())
    for piece, rows in parts:
        if piece.key is None:
            return None
        add(piece.key.encode())
        add(b"" if rows is None else rows.tobytes())
    if beside is not None:
        add(table_bytes(beside))
    return digest.hexdigest()


def table_bytes(table: pa.Table) -> pa.Buffer:
    """A table as bytes, equal for equal rows."""
    sink = pa.BufferOutputStream()
    rows = table.take(pa.array(np.arange(table.num_rows)))  # a copy: a slice's bytes may hold its neighbours too
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(rows.combine_chunks())
    return sink.getvalue()


def run_job(stage: AnyStage | Path, job: Job) -> Done:
    """Run a job; the stage is given itself, or as the path of its pickle."""
    call: Any = load_stage(stage) if isinstance(stage, Path) else stage
    if job.is_group:
        table, at = _group(job.parts, call.columns)
        results = call(job.beside.append_column("at", pa.array(at)), table)  # type: ignore[union-attr]
    else:
        table = pa.concat_tables([piece.read(call.columns) for piece, _ in job.parts])
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
            num_tokens += _tokens(result)
    return Done(job.key or file_sha256(job.out), num_rows, num_tokens)


def earlier_result(stage: AnyStage, job: Job) -> Done | None:
    """What an earlier run did of this job, or None where it has to be done."""
    if job.key is None or not job.out.exists():
        return None
    try:
        with pa.memory_map(str(job.out)) as file:
            result = pa.ipc.open_file(file).read_all()
    except pa.ArrowInvalid:  # a file that a power cut left
        return None
    return Done(job.key, result.num_rows, _tokens(result)) if stage.is_there(result) else None


@lru_cache(maxsize=2)
def load_stage(path: Path) -> AnyStage:
    """A stage from its pickle. Its name holds its checksum, so that the same path is always the same stage."""
    stage: AnyStage = pickle.loads(path.read_bytes())
    return stage


def _group(parts: Sequence[Part], columns: Sequence[str]) -> tuple[pa.Table, npt.NDArray[np.int64]]:
    """A table that holds the rows of a group, and where they stand in it. Of very many pieces just the rows, copied."""
    if len(parts) > MAX_MAPS:
        table = pa.concat_tables([piece.read(columns).take(pa.array(rows)) for piece, rows in parts])
        return table, np.arange(table.num_rows)
    starts = np.cumsum([0, *(piece.num_rows for piece, _ in parts)])
    at = [start + rows for start, (_, rows) in zip(starts, parts) if rows is not None]
    return pa.concat_tables([piece.read(columns) for piece, _ in parts]), np.concatenate(at)


def _tokens(result: pa.Table) -> int:
    return int(pc.sum(result["num_tokens"]).as_py() or 0) if "num_tokens" in result.column_names else 0


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
