"""One unit of work: a pure function of (stage, pieces, columns beside them) to one file named by its input's key."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from xxhash import xxh3_128

from sftdata.engines.stage import AnyStage, NamesFiles, Piece
from sftdata.files import copies
from sftdata.files.atomic import file_sha256, output_errors, unfinished_name

# Files that one task maps at a time: Linux allows four times as many for a process, its libraries included.
MAX_MAPS = 1 << 14
Part = tuple[Piece, npt.NDArray[np.int64] | None]


class Task(NamedTuple):
    """Rows of pieces (all, or for a group those listed), columns beside them, and the file for the result.

    Equal keys are equal work; None where the input's content is known only after reading it.
    """

    parts: Sequence[Part]
    beside: pa.Table | None
    out: Path
    key: str | None

    @property
    def is_group(self) -> bool:
        """Whether it is for a stage of groups."""
        return self.parts[0][1] is not None


class TaskResult(NamedTuple):
    """The key of a task's result, the rows in its file, and the tokens in them where they are counted."""

    key: str
    num_rows: int
    num_tokens: int


def task_key(salt: str, stage: AnyStage, parts: Sequence[Part], beside: pa.Table | None) -> str | None:
    """A checksum (XXH3, 128 bits) of everything that decides a task's result; None where a piece has no key."""
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


def copied(table: pa.Table) -> pa.Table:
    """A table in memory of its own: a mapped file can be closed, and pickling takes no neighbours of a slice along."""
    return pa.concat_tables([table, table.slice(0, 0)]).combine_chunks()  # which copies where there are two chunks


def run_task(stage: AnyStage, task: Task, attach: Callable[[], None] | None = None) -> TaskResult:
    """Run a task and write its file, after `attach`. Raises what the stage raises, and OutputError where it cannot be
    written.
    """
    if attach is not None:
        attach()
    task = task if isinstance(task, Task) else task.whole()  # of a group, and never sent
    call: Any = stage
    copies.ensure_all(piece.path for piece, _ in task.parts)
    if task.is_group:
        table, at = _group(task.parts, stage.columns)
        results = call(task.beside.append_column("at", pa.array(at)), table)  # type: ignore[union-attr]
    else:
        table = pa.concat_tables([piece.read(stage.columns) for piece, _ in task.parts])
        if task.beside is not None:
            for name in task.beside.column_names:
                table = table.append_column(name, task.beside[name])
        results = call(table)
    num_rows = num_tokens = 0
    first = next(results)
    with table_writer(task.out, first.schema) as write:
        for result in itertools.chain([first], results):
            write(result)
            num_rows += result.num_rows
            num_tokens += _tokens(result)
    return TaskResult(task.key or file_sha256(task.out), num_rows, num_tokens)


def earlier_result(stage: AnyStage, out: Path, key: str | None) -> TaskResult | None:
    """The result that an earlier run left for a task with this key, or None where no usable one is there."""
    if key is None or not out.exists():
        return None
    try:
        with pa.memory_map(str(out)) as file:
            result = pa.ipc.open_file(file).read_all()
    except (pa.ArrowInvalid, OSError):  # a file that a power cut left: damage is the one or the other
        return None
    if isinstance(stage, NamesFiles) and not stage.is_reusable(result):
        return None
    return TaskResult(key, result.num_rows, _tokens(result))


def _group(parts: Sequence[Part], columns: Sequence[str]) -> tuple[pa.Table, npt.NDArray[np.int64]]:
    """A table that holds the rows of a group, and their positions in it. Of very many pieces only the rows, copied."""
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
    """Write a file of the work folder, table by table. It appears whole when the block ends without an error.

    Raises OutputError where the disk is full or may not be written.
    """
    hidden = unfinished_name(path)
    with output_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with pa.OSFile(str(hidden), "wb") as sink, pa.ipc.new_file(sink, schema) as writer:
                yield writer.write_table
            hidden.replace(path)
        finally:
            hidden.unlink(missing_ok=True)
    copies.send(path)
