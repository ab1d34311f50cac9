"""Verbs over tables on either launcher, and which work of an earlier run is used again."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from engine_stages import Double, Fail, Logged, Pids, Spread, Sum

from sftdata.engines import engine as engine_module
from sftdata.engines import task
from sftdata.engines.engine import Launcher, TaskEngine
from sftdata.engines.local import ProcessPool, ThisProcess
from sftdata.engines.stage import Piece
from sftdata.errors import OutputError, SourceError, WorkerError


@pytest.fixture(params=["this process", "pool"])
def launcher(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Launcher]:
    """Where tasks run."""
    if request.param == "this process":
        yield ThisProcess()
    else:
        with ProcessPool(2, tmp_path) as pool:
            yield pool


class RecordedProgress:
    """Keeps everything that an engine reports."""

    def __init__(self) -> None:
        self.events: list[tuple[object, ...]] = []

    def start(self, stage: str, total: int, rows: int = 0) -> None:
        self.events.append((stage, total))

    def advance(self, rows: int, tokens: int) -> None:
        self.events.append((rows, tokens))

    def finish(self, stage: str, number: int, noun: str, dropped: int) -> None:
        self.events.append((stage, number, noun, dropped))

    def note(self, text: str) -> None:
        self.events.append((text,))


def spread(engine: TaskEngine, *numbers: int) -> list[Piece]:
    return engine.map(Spread(), engine.give(pa.table({"x": pa.array(numbers, pa.int64())})))


def test_map_keeps_the_order_of_pieces_and_gives_each_its_columns_from_beside(
    tmp_path: Path, launcher: Launcher
) -> None:
    engine = TaskEngine(tmp_path, launcher)
    table = spread(engine, 3, 1, 2)
    assert [piece.num_rows for piece in table] == [3, 1, 2]
    doubled = engine.collect(engine.map(Double(), table, pa.table({"y": range(6)})), ["x", "y"])
    assert doubled["x"].to_pylist() == [3, 3, 3, 3, 3, 3, 1, 1, 2, 2, 2, 2]
    assert doubled["y"].to_pylist() == [0, 1, 2, 0, 1, 2, 3, 3, 4, 5, 4, 5]


def check_groups(engine: TaskEngine) -> None:
    """Group 20 pieces of some rows by keys of which some are null or negative."""
    rng = np.random.default_rng(0)
    numbers = [int(n) for n in rng.integers(0, 9, 20)]
    xs = [n for n in numbers for _ in range(n)]
    keys = [None if key == 0 else int(key) for key in rng.integers(0, 6, len(xs))]
    keys[3] = -1
    beside = pa.table({"group": pa.array(keys, pa.int32())})
    pieces = engine.group("group", Sum(), spread(engine, *numbers), beside)
    found = engine.collect(pieces, ["group", "sum", "rows"]).to_pylist()
    assert found == [
        {"group": key, "sum": sum(x for x, other in zip(xs, keys) if other == key), "rows": keys.count(key)}
        for key in (1, 2, 3, 4, 5)
    ]


def test_group_brings_all_rows_of_a_key_together_and_leaves_out_rows_without_one(
    tmp_path: Path, launcher: Launcher
) -> None:
    check_groups(TaskEngine(tmp_path, launcher))


def test_a_group_of_very_many_pieces_has_the_same_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(task, "MAX_MAPS", 2)  # above this many, rows are copied
    check_groups(TaskEngine(tmp_path, ThisProcess()))


@pytest.mark.parametrize(("pieces", "processes"), [(1, 1), (40, 2)])
def test_tasks_run_in_the_processes_of_the_launcher(
    tmp_path: Path, launcher: Launcher, pieces: int, processes: int
) -> None:
    engine = TaskEngine(tmp_path, launcher)
    pids = engine.map(Pids(), engine.give(pa.table({"x": range(pieces)})))
    found = set(engine.collect(pids, ["pid"])["pid"].to_pylist())
    if isinstance(launcher, ThisProcess) or pieces == 1:
        assert found == {os.getpid()}
    else:
        assert 1 <= len(found) <= processes
        assert os.getpid() not in found


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="this system does not list what is mapped")
def test_what_is_collected_keeps_no_file_mapped(tmp_path: Path) -> None:
    engine = TaskEngine(tmp_path, ThisProcess())
    table = spread(engine, 3, 1, 0, 2)
    looked = engine.look(table[0], ["x"])
    assert str(tmp_path) in Path("/proc/self/maps").read_text()
    del looked
    collected = engine.collect(table, ["x"])
    deadline = time.monotonic() + 10  # a thread of Arrow's may release its memory last
    while str(tmp_path) in Path("/proc/self/maps").read_text():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert collected["x"].to_pylist() == [3, 3, 3, 1, 2, 2]


def test_results_are_cut_into_pieces_of_bounded_size_and_empty_ones_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_module, "MAX_PIECE_ROWS", 4)
    engine = TaskEngine(tmp_path, ThisProcess())
    table = spread(engine, 10, 0, 4)
    assert [piece.num_rows for piece in table] == [4, 4, 2, 0, 4]
    assert engine.collect(table, ["x"]).num_rows == 14
    assert engine.collect(table[3:4], ["x"]).num_rows == 0
    assert len({piece.key for piece in table}) == 5


def calls(
    stage: Logged, folder: Path, numbers: list[int], beside: list[int] | None = None, salt: str = ""
) -> list[str]:
    """The calls of the stage that a new engine makes for these rows, a piece each."""
    stage.log.write_text("")
    engine = TaskEngine(folder, ThisProcess(), salt=salt)
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
    assert calls(Logged(tmp_path / "log", reusable=False), folder, [1]) == ["[1]"]


def test_a_result_that_is_not_whole_is_made_again(tmp_path: Path) -> None:
    stage, folder = Logged(tmp_path / "log"), tmp_path / "pieces"
    calls(stage, folder, [1])
    (result,) = (folder / "logged").iterdir()
    whole = result.read_bytes()
    size = int.from_bytes(whole[-10:-6], "little")  # of the footer, which is before its size and six letters
    without_footer = whole[: -10 - size] + bytes(size) + whole[-10:]
    for spoilt in (b"", whole[:-10], without_footer, bytes(len(whole))):
        result.write_bytes(spoilt)
        assert calls(stage, folder, [1]) == ["[1]"]


def test_equal_work_is_done_once(tmp_path: Path) -> None:
    assert calls(Logged(tmp_path / "log"), tmp_path / "pieces", [5, 6, 5]) == ["[5]", "[6]"]


def test_work_on_pieces_without_a_key_is_always_done_and_its_result_has_one(tmp_path: Path) -> None:
    log = tmp_path / "log"
    for expected in (["[1]", "[1]"], ["[1]"]):
        log.write_text("")
        engine = TaskEngine(tmp_path / "pieces", ThisProcess())
        first = engine.map(Logged(log), engine.give(pa.table({"x": [1]}), [None]))
        assert first[0].key is not None
        engine.map(Logged(log), first)
        assert log.read_text().splitlines() == expected


def test_results_that_a_run_did_not_use_are_removed_on_request(tmp_path: Path) -> None:
    stage, folder = Logged(tmp_path / "log"), tmp_path / "pieces"
    calls(stage, folder, [1, 2])
    engine = TaskEngine(folder, ThisProcess())
    engine.map(stage, engine.give(pa.table({"x": [2]}), ["2"]))
    engine.remove_unused()
    assert calls(stage, folder, [1, 2]) == ["[1]"]


def test_every_piece_is_reported_as_progress(tmp_path: Path, launcher: Launcher) -> None:
    progress = RecordedProgress()
    engine = TaskEngine(tmp_path, launcher, progress)
    for _ in range(2):
        engine.map(Double(columns=("num_tokens",)), engine.give(pa.table({"num_tokens": [5, 6, 7]})))
    start, *pieces, reused, start_again = progress.events
    assert start == ("double", 3)
    assert sorted(pieces) == [(2, 10), (2, 12), (2, 14)]
    assert reused == ("double: done by an earlier run",)
    assert start_again == ("double", 0)


@pytest.mark.parametrize(("how", "error"), [("user", SourceError), ("ours", ZeroDivisionError)])
def test_the_error_of_a_piece_is_the_error_of_the_run(
    tmp_path: Path, launcher: Launcher, how: str, error: type[Exception]
) -> None:
    engine = TaskEngine(tmp_path, launcher)
    with pytest.raises(error):
        engine.map(Fail(how), engine.give(pa.table({"x": range(4)})))


def test_a_worker_killed_during_a_stage_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(WorkerError, match="was killed by the operating system"), ProcessPool(2, tmp_path) as pool:
        engine = TaskEngine(tmp_path, pool)
        engine.map(Fail("killed"), engine.give(pa.table({"x": range(4)})))


def test_a_work_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    engine = TaskEngine(tmp_path / "file", ThisProcess())
    with pytest.raises(OutputError, match="a part of this path is a file"):
        engine.give(pa.table({"x": [1]}))


def test_two_engines_in_one_folder_do_not_mix_up_their_stages(tmp_path: Path, launcher: Launcher) -> None:
    for stage in (Fail("not at all"), Double()):
        engine = TaskEngine(tmp_path, launcher)
        table = engine.give(pa.table({"x": range(1, 5)}))
        result = engine.collect(engine.map(stage, table), ["x"]).num_rows
    assert result == 8
