"""A dataset does not depend on the engine that made it: here on one that keeps all in memory and no order in groups."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import sftdata
from sftdata import pipeline
from sftdata.engines.engine import GroupStage, Stage


class MemoryEngine:
    """The verbs in the plainest way: a piece is a table, the rows of a group come shuffled, the last call first."""

    def __init__(self, *_: Any, **__: Any) -> None:
        self._rng = np.random.default_rng(7)

    def __enter__(self) -> MemoryEngine:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def map(
        self,
        stage: Stage,
        table: Sequence[pa.Table],
        beside: pa.Table | None = None,
        meanwhile: Callable[[], object] | None = None,
    ) -> list[pa.Table]:
        if meanwhile is not None:
            meanwhile()
        results = []
        row = 0
        for piece in table:
            if beside is not None:
                piece = with_columns(piece, beside.slice(row, piece.num_rows))
            row += piece.num_rows
            results.append(pa.concat_tables(stage(piece)))
        return results

    def group(
        self,
        key: str,
        stage: GroupStage,
        table: Sequence[pa.Table],
        beside: pa.Table,
        meanwhile: Callable[[], object] | None = None,
    ) -> list[pa.Table]:
        if meanwhile is not None:
            meanwhile()
        whole = pa.concat_tables(table)
        numbered = beside.append_column("at", pa.array(np.arange(whole.num_rows)))
        keys = beside[key].to_pylist()
        results = []
        for value in sorted({key for key in keys if key is not None and key >= 0}):
            rows = self._rng.permutation([row for row, other in enumerate(keys) if other == value])
            results.append(pa.concat_tables(stage(numbered.take(pa.array(rows)), whole)))
        return results

    def collect(self, table: Sequence[pa.Table], columns: Sequence[str]) -> pa.Table:
        return pa.concat_tables(table).select(list(columns))

    def look(self, piece: pa.Table, columns: Sequence[str]) -> pa.Table:
        return piece.select(list(columns))

    def give(self, table: pa.Table, keys: object = None) -> list[pa.Table]:
        return [table.slice(row, 1) for row in range(table.num_rows)]

    def spread(self, function: Callable[..., Any], calls: Sequence[tuple[Any, ...]]) -> Iterator[tuple[int, Any]]:
        for number in reversed(range(len(calls))):
            yield number, function(*calls[number])

    def remove_unused(self) -> None:
        pass

    def warm_up(self, num_jobs: int) -> None:
        pass


def with_columns(table: pa.Table, beside: pa.Table) -> pa.Table:
    for name in beside.column_names:
        table = table.append_column(name, beside[name])
    return table


def test_the_engine_changes_no_byte(tiny_tokenizer: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows: list[dict[str, Any]] = [
        {"prompt": f"Question {n % 50}", "completion": "Because. " * (n % 11)} for n in range(150)
    ]
    rows += [{"colour": "blue"}, {"prompt": "Hi", "completion": 3}]
    data = tmp_path / "a.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    settings = {
        "tokenizer": str(tiny_tokenizer),
        "sources": [{"path": str(data), "keep": ["prompt"]}],
        "out": {"path": str(tmp_path / "out"), "shard_tokens": 700},
        "pack": {"seq_len": 64},
        "split": {"validation": 12},
    }
    digests = []
    for engine in (pipeline.LocalEngine, MemoryEngine):
        monkeypatch.setattr(pipeline, "LocalEngine", engine)
        sftdata.prepare(sftdata.parse_config(settings), workers=2, overwrite=True)
        files = sorted(path for path in (tmp_path / "out").rglob("*") if path.is_file())
        assert len(files) > 8
        digests.append([(path.name, hashlib.sha256(path.read_bytes()).hexdigest()) for path in files])
    assert digests[0] == digests[1]
    sftdata.verify(tmp_path / "out")
