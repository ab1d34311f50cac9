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

from sftdata.engines import jobs, local
from sftdata.engines.engine import Piece
from sftdata.engines.local import LocalEngine
from sftdata.errors import OutputError, SourceError, WorkerError


@dataclass(frozen=True)
class Double:
    """Each row twice, with what stands beside it, in two tables."""

    name: str = "double"
    columns: tuple[str, ...] = ("x",)
    key: str = ""

    def is_reusable(self, result: pa.Table) -> bool:
        return True

    def __call__(self, table: pa.Table) -> Iterator[pa.Table]:
        yield table
        yield table


@dataclass(frozen=True)
class Sum:
    name: str = "sum"
    columns: tuple[str, ...] = ("x",)
    key: str = ""

    def is_reusable(self, result: pa.Table) -> bool:
        return True

    def __call__(self, members: pa.Table, table: pa.Table) -> Iterator[pa.Table]:
        total = sum(table["x"].take(members["at"]).to_pylist())
        yield pa.table({"group": members["group"][:1], "sum": [total], "rows": [members.num_rows]})


@dataclass(frozen=True)
class Fail:
    how: str
    name: str = "fail"
    columns: tuple[str, ...] = ("x",)
    key: str = ""

    def is_reusable(self, result: pa.Table) -> bool:
        return True

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


@dataclass(frozen=True)
class Spread:
    """Each row n as n rows, in one table."""

    name: str = "spread"
    columns: tuple[str, ...] = ("x",)
    key: str = ""

    def is_reusable(self, result: pa.Table) -> bool:
        return True

    def __call__(self, table: pa.Table) -> Iterator[pa.Table]:
        yield pa.table({"x": pa.array([n for n in table["x"].to_pylist() for _ in range(n)], pa.int64())})


def spread(engine: LocalEngine, *numbers: int) -> list[Piece]:
    return engine.map(Spread(), engine.give(pa.table({"x": pa.array(numbers, pa.int64())})))


@pytest.mark.parametrize("workers", [1, 2])
def test_map_keeps_the_order_of_pieces_and_gives_each_what_stands_beside_it(tmp_path: Path, workers: int) -> None:
    with LocalEngine(tmp_path, workers) as engine:
        table = spread(engine, 3, 1, 2)
        assert [piece.num_rows for piece in table] == [3, 1, 2]
        doubled = engine.collect(engine.map(Double(), table, pa.table({"y": range(6)})), ["x", "y"])
    assert doubled["x"].to_pylist() == [3, 3, 3, 3, 3, 3, 1, 1, 2, 2, 2, 2]
    assert doubled["y"].to_pylist() == [0, 1, 2, 0, 1, 2, 3, 3, 4, 5, 4, 5]


@pytest.mark.parametrize(("workers", "max_maps"), [(1, 1 << 14), (2, 1 << 14), (1, 2)])
def test_group_brings_all_rows_of_a_key_together_and_leaves_out_rows_without_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int, max_maps: int
) -> None:
    monkeypatch.setattr(jobs, "MAX_MAPS", max_maps)  # from where on rows are copied
    rng = np.random.default_rng(0)
    numbers = [int(n) for n in rng.integers(0, 9, 20)]
    xs = [n for n in numbers for _ in range(n)]
    keys = [None if key == 0 else int(key) for key in rng.integers(0, 6, len(xs))]
    keys[3] = -1
    with LocalEngine(tmp_path, workers) as engine:
        beside = pa.table({"group": pa.array(keys, pa.int32())})
        pieces = engine.group("group", Sum(), spread(engine, *numbers), beside)
        found = engine.collect(pieces, ["group", "sum", "rows"]).to_pylist()
    assert found == [
        {"group": key, "sum": sum(x for x, other in zip(xs, keys) if other == key), "rows": keys.count(key)}
        for key in (1, 2, 3, 4, 5)
    ]


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="this system does not list what is mapped")
def test_what_is_collected_keeps_no_file_mapped(tmp_path: Path) -> None:
    with LocalEngine(tmp_path, 1) as engine:
        table = spread(engine, 3, 1, 0, 2)
        looked = engine.look(table[0], ["x"])
        assert str(tmp_path) in Path("/proc/self/maps").read_text()
        del looked
        collected = engine.collect(table, ["x"])
        deadline = time.monotonic() + 10  # a thread of Arrow's may let go last
        while str(tmp_path) in Path("/proc/self/maps").read_text():
            assert time.monotonic() < deadline
            time.sleep(0.01)
    assert collected["x"].to_pylist() == [3, 3, 3, 1, 2, 2]


def test_results_are_cut_into_pieces_of_bounded_size_and_empty_ones_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "MAX_PIECE_ROWS", 4)
    with LocalEngine(tmp_path, 1) as engine:
        table = spread(engine, 10, 0, 4)
        assert [piece.num_rows for piece in table] == [4, 4, 2, 0, 4]
        assert engine.collect(table, ["x"]).num_rows == 14
        assert engine.collect(table[3:4], ["x"]).num_rows == 0
        assert len({piece.key for piece in table}) == 5


@dataclass(frozen=True)
class Logged:
    """The rows as they are; leaves a line in a file for every call."""

    log: Path
    key: str = ""
    there: bool = True
    name: str = "logged"
    columns: tuple[str, ...] = ("x",)

    def is_reusable(self, result: pa.Table) -> bool:
        return self.there

    def __call__(self, table: pa.Table) -> Iterator[pa.Table]:
        with self.log.open("a") as file:
            file.write(f"{table['x'].to_pylist()}\n")
        yield table


def calls(stage: Logged, folder: Path, numbers: list[int], beside: list[int] | None = None, **more: str) -> list[str]:
    """What a new engine asks of the stage for these rows, a piece each."""
    stage.log.write_text("")
    with LocalEngine(folder, 1, **more) as engine:
        table = engine.give(pa.table({"x": numbers}), [str(number) for number in numbers])
        result = engine.map(stage, table, None if beside is None else pa.table({"y": beside}))
        assert engine.collect(result, ["x"])["x"].to_pylist() == numbers
    return stage.log.read_text().splitlines()


def test_work_is_done_again_exactly_where_something_that_decides_it_has_changed(tmp_path: Path) -> None:
    stage, folder = Logged(tmp_path / "log"), tmp_path / "pieces"
    assert calls(stage, folder, [1, 2, 3]) == ["[1]", "[2]", "[3]"]
    assert calls(stage, folder, [1, 2, 3]) == []
    assert calls(stage, folder, [3, 4, 1]) == ["[4]"]
    assert calls(stage, folder, [1, 2], beside=[7, 7]) == ["[1]", "[2]"]
    assert calls(stage, folder, [1, 2], beside=[7, 8]) == ["[2]"]
    assert calls(Logged(tmp_path / "log", key="other"), folder, [1]) == ["[1]"]
    assert calls(stage, folder, [1], salt="another version") == ["[1]"]
    assert calls(Logged(tmp_path / "log", there=False), folder, [1]) == ["[1]"]


def test_a_result_that_is_not_whole_is_made_again(tmp_path: Path) -> None:
    stage, folder = Logged(tmp_path / "log"), tmp_path / "pieces"
    calls(stage, folder, [1])
    (result,) = (folder / "logged").iterdir()
    for spoilt in (b"", result.read_bytes()[:-10]):
        result.write_bytes(spoilt)
        assert calls(stage, folder, [1]) == ["[1]"]


def test_equal_work_is_done_once(tmp_path: Path) -> None:
    assert calls(Logged(tmp_path / "log"), tmp_path / "pieces", [5, 6, 5]) == ["[5]", "[6]"]


def test_work_on_what_has_no_key_is_always_done_and_its_result_has_one(tmp_path: Path) -> None:
    log = tmp_path / "log"
    for expected in (["[1]", "[1]"], ["[1]"]):
        log.write_text("")
        with LocalEngine(tmp_path / "pieces", 1) as engine:
            first = engine.map(Logged(log), engine.give(pa.table({"x": [1]}), [None]))
            assert first[0].key is not None
            engine.map(Logged(log), first)
        assert log.read_text().splitlines() == expected


def test_what_a_run_had_no_use_for_can_be_forgotten(tmp_path: Path) -> None:
    stage, folder = Logged(tmp_path / "log"), tmp_path / "pieces"
    calls(stage, folder, [1, 2])
    with LocalEngine(folder, 1) as engine:
        engine.map(stage, engine.give(pa.table({"x": [2]}), ["2"]))
        engine.remove_unused()
    assert calls(stage, folder, [1, 2]) == ["[1]"]


def test_progress_hears_of_every_piece(tmp_path: Path) -> None:
    told = Told()
    with LocalEngine(tmp_path, 1, told) as engine:
        engine.map(Double(columns=("num_tokens",)), engine.give(pa.table({"num_tokens": [5, 6, 7]})))
        engine.map(Double(columns=("num_tokens",)), engine.give(pa.table({"num_tokens": [5, 6, 7]})))
    there = "double: 3 of 3 pieces are there from an earlier run"
    assert told.heard == [("double", 3), (2, 10), (2, 12), (2, 14), (there,), ("double", 0)]


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize(("how", "error"), [("user", SourceError), ("ours", ZeroDivisionError)])
def test_the_error_of_a_piece_is_the_error_of_the_run(
    tmp_path: Path, workers: int, how: str, error: type[Exception]
) -> None:
    with pytest.raises(error), LocalEngine(tmp_path, workers) as engine:
        engine.map(Fail(how), engine.give(pa.table({"x": range(4)})))


def test_a_worker_that_the_system_ends_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(WorkerError, match="was ended by the system"), LocalEngine(tmp_path, 2) as engine:
        engine.map(Fail("die"), engine.give(pa.table({"x": range(4)})))


def test_a_work_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="a part of this path is a file"), LocalEngine(tmp_path / "file", 1) as engine:
        engine.give(pa.table({"x": [1]}))


def test_no_worker_is_left_when_the_engine_is_done(tmp_path: Path) -> None:
    before = threading.active_count()
    with LocalEngine(tmp_path, 2) as engine:
        engine.map(Double(), engine.give(pa.table({"x": range(4)})))
        assert engine._pool is not None
        workers = list(engine._pool._executor._processes)
    deadline = time.monotonic() + 10
    while any(map(is_alive, workers)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert workers
    assert not any(map(is_alive, workers))
    assert threading.active_count() == before


def test_two_engines_in_one_folder_do_not_mix_up_their_stages(tmp_path: Path) -> None:
    for stage in (Fail("none"), Double()):
        with LocalEngine(tmp_path, 2) as engine:
            table = engine.give(pa.table({"x": range(1, 5)}))
            result = engine.collect(engine.map(stage, table), ["x"]).num_rows
    assert result == 8
