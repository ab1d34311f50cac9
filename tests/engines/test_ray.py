"""The launcher for Ray on a cluster of one or two nodes: results, exceptions, losses, and nodes that do not fit."""

from __future__ import annotations

import os
import shutil
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pool_calls
import pytest
import ray_calls
from pool_calls import EXCEPTIONS, LoadedOnce, visits

from sftdata.engines.ray import RayLauncher, _node_named
from sftdata.errors import OutputError, SourceError, WorkerError

if TYPE_CHECKING:
    from ray_cluster import RayCluster

CALLS = [(number,) for number in range(4)]


def no_versions() -> Mapping[str, str]:
    return {}


@pytest.fixture(scope="module")
def connected(ray_cluster: RayCluster) -> Iterator[RayCluster]:
    """The cluster with one node, which this process is connected to."""
    import ray

    ray_cluster.have(nodes=1)
    ray.init(ray_cluster.address, log_to_driver=False, logging_level="ERROR")
    yield ray_cluster
    ray.shutdown()


@pytest.fixture
def one_node(connected: RayCluster) -> RayCluster:
    connected.have(nodes=1)
    return connected


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder for what calls leave."""
    folder = tmp_path / "calls"
    folder.mkdir()
    return folder


def opened(
    cluster: RayCluster,
    folder: Path,
    *,
    workers: int | None = None,
    versions: Callable[[], Mapping[str, str]] = no_versions,
    note: Callable[[str], None] = lambda text: None,
) -> RayLauncher:
    return RayLauncher(folder, address=cluster.address, workers=workers, versions=versions, note=note)


@pytest.fixture
def launcher(one_node: RayCluster, tmp_path: Path) -> Iterator[RayLauncher]:
    """A launcher on one node with one processor."""
    with opened(one_node, tmp_path) as launcher:
        yield launcher


@pytest.mark.parametrize("calls", [0, 1, 60])
def test_each_call_is_made_once_in_a_worker_and_its_result_has_its_number(
    launcher: RayLauncher, folder: Path, calls: int
) -> None:
    results = list(launcher.run(pool_calls.visit, [(folder, number) for number in range(calls)]))
    assert sorted(results) == [(number, number * number) for number in range(calls)]
    made = visits(folder)
    assert [number for number, _ in made] == list(range(calls))
    assert os.getpid() not in {pid for _, pid in made}


def test_the_function_is_loaded_once_by_a_worker_which_lives_from_run_to_run(
    launcher: RayLauncher, folder: Path
) -> None:
    results = list(launcher.run(LoadedOnce(folder), [(number,) for number in range(20)]))
    assert [number for number, _ in visits(folder)] == [0]
    assert {pid for _, pid in visits(folder)} == {pid for _, pid in results}
    assert {pid for _, pid in launcher.run(pool_calls.pid, CALLS)} == {pid for _, pid in results}


@pytest.mark.parametrize("case", EXCEPTIONS)
def test_the_exception_of_a_call_is_raised_as_itself_with_its_traceback(launcher: RayLauncher, case: str) -> None:
    function, kind, message, place = EXCEPTIONS[case]
    with pytest.raises(kind) as caught:
        list(launcher.run(function, CALLS))
    assert type(caught.value) is kind
    assert message in str(caught.value)
    assert place in f"{caught.value} {caught.value.__cause__}"


def test_a_users_mistake_keeps_its_parts(launcher: RayLauncher) -> None:
    with pytest.raises(SourceError) as caught:
        list(launcher.run(pool_calls.users_mistake, CALLS))
    assert (caught.value.where, caught.value.what, caught.value.hint) == ("a.jsonl", "is bad", "fix it")


def test_after_an_exception_few_later_calls_are_made(launcher: RayLauncher, folder: Path) -> None:
    with pytest.raises(KeyError, match="the first"):
        list(launcher.run(pool_calls.fail_first, [(folder, number) for number in range(200)]))
    assert list(launcher.run(pool_calls.pid, CALLS[:1]))  # which comes behind what Ray was given
    assert len(visits(folder)) < 20


def test_a_number_of_workers_bounds_the_calls_that_are_made_at_a_time(connected: RayCluster, tmp_path: Path) -> None:
    connected.have(nodes=2)
    with opened(connected, tmp_path, workers=1) as launcher:
        assert len(list(launcher.run(ray_calls.alone, [(tmp_path, number) for number in range(10)]))) == 10


def test_workers_use_one_thread_each_and_ignore_ctrl_c(launcher: RayLauncher) -> None:
    [(_, found)] = launcher.run(pool_calls.settings_of_worker, [(0,)])
    assert found["ignores SIGINT"]
    assert (found["TOKENIZERS_PARALLELISM"], found["RAYON_NUM_THREADS"]) == ("false", "1")


def test_relative_paths_mean_the_same_in_workers(
    one_node: RayCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("work").mkdir()
    with opened(one_node, Path("work")) as launcher:
        assert list(launcher.run(ray_calls.where_it_works, [(0,)])) == [(0, str(tmp_path))]
    assert list(Path("work").iterdir()) == []


def test_a_call_whose_worker_is_killed_is_made_again(launcher: RayLauncher, folder: Path) -> None:
    results = launcher.run(ray_calls.killed_once, [(folder, number) for number in range(4)])
    assert sorted(results) == [(0, 0), (1, 1), (2, 4), (3, 9)]
    assert (folder / "killed").exists()


def test_a_call_that_ends_every_worker_is_one_sentence(launcher: RayLauncher) -> None:
    with pytest.raises(WorkerError) as caught:
        list(launcher.run(ray_calls.always_killed, [(0,)]))
    assert str(caught.value).startswith(
        "a worker process of the cluster: or its node was lost in each of 4 tries, most often because memory ran out ("
    )
    assert str(caught.value).endswith(
        "; use nodes with more memory, or fewer processes on each (ray start --num-cpus N), and run the same command "
        "again"
    )


def test_calls_on_a_node_that_is_lost_are_made_on_another_one_and_the_node_is_named(
    connected: RayCluster, tmp_path: Path, folder: Path
) -> None:
    import ray

    connected.have(nodes=2)
    notes: list[str] = []
    first = ray.get_runtime_context().get_node_id()
    with opened(connected, tmp_path, note=notes.append) as launcher:
        assert notes == ["Ray: 2 nodes with 2 processors"]
        found = {}
        for number, result in launcher.run(ray_calls.hangs_elsewhere, [(folder, first, n) for n in range(20)]):
            found[number] = result
            if (folder / "elsewhere").exists():
                connected.have(nodes=1)
        assert found == {number: number * number for number in range(20)}
        assert (folder / "elsewhere").exists()
        wait_for(lambda: launcher._look() or len(notes) > 2)
    gone, left = notes[1:]
    assert gone.startswith(f"node {socket.gethostname()} (")
    assert gone.endswith(") has left the cluster; what it was doing is done again on another one")
    assert left == "Ray: 1 node with 1 processor"


def wait_for(is_done: Callable[[], Any]) -> None:
    """Until something is the case that comes within some seconds."""
    deadline = time.monotonic() + 60
    while not is_done():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_node_with_another_version_is_one_sentence(one_node: RayCluster, tmp_path: Path) -> None:
    with (
        pytest.raises(WorkerError) as caught,
        opened(one_node, tmp_path, versions=ray_calls.versions_of_process) as launcher,
    ):
        list(launcher.run(pool_calls.pid, CALLS))
    said = str(caught.value)
    assert said.startswith(f"node {socket.gethostname()}: has tokenizers ")
    assert said.endswith(
        f", and the machine that gives it work has {os.getpid()}; install the same versions on every node, and run the "
        "same command again"
    )


def test_a_node_that_does_not_see_the_work_folder_is_one_sentence(launcher: RayLauncher, tmp_path: Path) -> None:
    launcher._job.mark.unlink()
    with pytest.raises(WorkerError) as caught:
        list(launcher.run(pool_calls.pid, CALLS))
    assert str(caught.value) == (
        f"node {socket.gethostname()}: does not see the work folder {tmp_path}; name a folder that every node has "
        "under the same path, or an address on a store, as out.work"
    )


def test_folders_that_nodes_have_of_their_own_need_no_mark_and_are_cleared_at_the_end(
    one_node: RayCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / "copy" / "pieces"
    copy.mkdir(parents=True)
    clear = partial(shutil.rmtree, copy)
    for is_here in (True, False):
        if not is_here:
            monkeypatch.setattr("ray.util.get_node_ip_address", lambda: "192.0.2.1")
        with RayLauncher(
            tmp_path, address=one_node.address, workers=None, versions=no_versions, note=print, clear=clear
        ) as launcher:
            launcher._job.mark.unlink()
            assert list(launcher.run(pool_calls.pid, CALLS[:1]))
        assert copy.exists() == is_here


def test_an_error_about_credentials_says_whose_environment_is_meant(launcher: RayLauncher) -> None:
    with pytest.raises(SourceError) as caught, _node_named(launcher._job):
        raise SourceError("s3://b/a", "cannot be reached without credentials (none)", "put them into the environment")
    assert str(caught.value) == (
        f"s3://b/a: cannot be reached without credentials (none) (on node {socket.gethostname()}); put them into the "
        "environment; on every node: what Ray runs there has the environment of `ray start`"
    )


@pytest.mark.parametrize("kind", [SourceError, OutputError])
def test_errors_about_files_name_the_node_where_it_is_another_one(
    launcher: RayLauncher, kind: type[SourceError] | type[OutputError]
) -> None:
    with pytest.raises(kind) as caught, _node_named(launcher._job._replace(host="elsewhere")):
        raise kind("a.jsonl", "is gone", "restore it")
    assert str(caught.value) == f"a.jsonl: is gone (on node {socket.gethostname()}); restore it"
