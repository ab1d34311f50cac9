from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from sftdata.engines import local
from sftdata.engines.local import LocalEngine
from sftdata.errors import OutputError, SourceError, WorkerError


@dataclass(frozen=True)
class Double:
    """Each row twice, with what stands beside it, in two tables."""

    name: str = "double"

    def __call__(self, table: pa.Table) -> Iterator[pa.Table]:
        yield table
        yield table


@dataclass(frozen=True)
class Sum:
    name: str = "sum"

    def __call__(self, table: pa.Table) -> Iterator[pa.Table]:
        yield pa.table({"group": table["group"][:1], "sum": [sum(table["x"].to_pylist())], "rows": [table.num_rows]})


@dataclass(frozen=True)
class Fail:
    how: str
    name: str = "fail"

    def __call__(self, table: pa.Table) -> Iterator[pa.Table]:
        if table["x"][0].as_py() == 0:
            if self.how == "die":
                os.kill(os.getpid(), signal.SIGKILL)
            if self.how == "user":
                raise SourceError("a.jsonl", "is bad", "mend it")
            raise ZeroDivisionError("ours")
        yield table


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


class Told:
    def __init__(self) -> None:
        self.heard: list[tuple[object, ...]] = []

    def start(self, stage: str, total: int) -> None:
        self.heard.append((stage, total))

    def advance(self, rows: int, tokens: int) -> None:
        self.heard.append((rows, tokens))

    def note(self, text: str) -> None:
        self.heard.append((text,))


@pytest.mark.parametrize("workers", [1, 2])
def test_map_keeps_the_order_of_pieces_and_gives_each_what_stands_beside_it(tmp_path: Path, workers: int) -> None:
    with LocalEngine(tmp_path, workers) as engine:
        table = engine.give(pa.table({"x": range(10)}), rows_per_piece=3)
        assert [piece.num_rows for piece in table] == [3, 3, 3, 1]
        beside = pa.table({"y": [x * 10 for x in range(10)]})
        doubled = engine.collect(engine.map(Double(), table, beside), ["x", "y"])
    order = [0, 1, 2, 0, 1, 2, 3, 4, 5, 3, 4, 5, 6, 7, 8, 6, 7, 8, 9, 9]
    assert doubled.to_pydict() == {"x": order, "y": [x * 10 for x in order]}


@pytest.mark.parametrize("workers", [1, 2])
def test_group_brings_all_rows_of_a_key_together_and_leaves_out_rows_without_one(
    tmp_path: Path, workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    keys = [None if key == 0 else int(key) for key in rng.integers(0, 6, 100)]
    keys[3] = -1
    with LocalEngine(tmp_path, workers) as engine:
        table = engine.give(pa.table({"x": range(100)}), rows_per_piece=7)
        pieces = engine.group("group", Sum(), table, pa.table({"group": pa.array(keys, pa.int32())}))
        found = engine.collect(pieces, ["group", "sum", "rows"]).to_pylist()
    expected = [
        {
            "group": key,
            "sum": sum(x for x, other in enumerate(keys) if other == key),
            "rows": keys.count(key),
        }
        for key in (1, 2, 3, 4, 5)
    ]
    assert found == expected


def test_results_are_cut_into_pieces_of_bounded_size_and_empty_ones_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "MAX_PIECE_ROWS", 4)
    with LocalEngine(tmp_path, 1) as engine:
        table = engine.give(pa.table({"x": pa.array(range(5))}), rows_per_piece=5)
        assert [piece.num_rows for piece in engine.map(Double(), table)] == [4, 4, 2]
        empty = engine.give(pa.table({"x": pa.array([], pa.int64())}), rows_per_piece=5)
        assert [piece.num_rows for piece in engine.map(Double(), empty)] == [0]
        assert engine.collect(empty, ["x"]).num_rows == 0


def test_progress_hears_of_every_piece(tmp_path: Path) -> None:
    told = Told()
    with LocalEngine(tmp_path, 1, told) as engine:
        engine.map(Double(), engine.give(pa.table({"num_tokens": [5, 6, 7]}), rows_per_piece=2))
    assert told.heard == [("double", 2), (4, 22), (2, 14)]


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize(("how", "error"), [("user", SourceError), ("ours", ZeroDivisionError)])
def test_the_error_of_a_piece_is_the_error_of_the_run(
    tmp_path: Path, workers: int, how: str, error: type[Exception]
) -> None:
    with pytest.raises(error), LocalEngine(tmp_path, workers) as engine:
        engine.map(Fail(how), engine.give(pa.table({"x": range(4)}), rows_per_piece=1))


def test_a_worker_that_the_system_ends_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(WorkerError, match="was ended by the system"), LocalEngine(tmp_path, 2) as engine:
        engine.map(Fail("die"), engine.give(pa.table({"x": range(4)}), rows_per_piece=1))


def test_a_work_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="a part of this path is a file"), LocalEngine(tmp_path / "file", 1) as engine:
        engine.give(pa.table({"x": [1]}), rows_per_piece=1)


def test_no_worker_is_left_when_the_engine_is_done(tmp_path: Path) -> None:
    before = threading.active_count()
    with LocalEngine(tmp_path, 2) as engine:
        engine.map(Double(), engine.give(pa.table({"x": range(4)}), rows_per_piece=1))
        assert engine._pool is not None
        workers = list(engine._pool._executor._processes)
    deadline = time.monotonic() + 10
    while any(map(is_alive, workers)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert workers
    assert not any(map(is_alive, workers))
    assert threading.active_count() == before


def test_two_engines_in_one_folder_do_not_mix_up_their_stages(tmp_path: Path) -> None:
    for workers, stage in ((2, Fail("none")), (2, Double())):
        with LocalEngine(tmp_path, workers) as engine:
            table = engine.give(pa.table({"x": range(1, 5)}), rows_per_piece=1)
            result = engine.collect(engine.map(stage, table), ["x"]).num_rows
    assert result == 8
