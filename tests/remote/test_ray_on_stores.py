"""The command line with `--engine ray` and everything on S3: the bytes of other engines, no credentials left anywhere;
stores that fail; runs that are stopped and killed, after which nothing goes on, and the next run continues.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import s3_server as s3
from commands import SOON_S, STOPPED, Commands, bucket_with, messages, objects
from faulty_store import FaultyStore
from processes import processes_below, wait_until, wait_until_gone

if TYPE_CHECKING:
    from ray_cluster import RayCluster

pytest.importorskip("ray", reason="the extra `ray` is not installed")
pytestmark = [
    pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="this system does not list processes"),
    pytest.mark.skipif(sys.version_info < (3, 11), reason="before, the current folder is always on the path of Python"),
]
ROWS = [{"prompt": f"What is {n}?", "completion": f"It is {n}, of course."} for n in range(120)]


@pytest.fixture(scope="module")
def store(s3_server: str) -> Any:
    """A client for what is behind the door, which has a bucket with sources."""
    return bucket_with(s3_server, "ray", ROWS)


@pytest.fixture(autouse=True)
def nothing_is_there(store: Any, s3_door: s3.Door) -> Iterator[None]:
    """No dataset, no work, and a store that does not fail, before each test."""
    yield
    s3_door.clear()
    store.invalidate_cache()
    for name in ("ray/out", "ray/work"):
        if store.exists(name):
            store.rm(name, recursive=True)


@pytest.fixture(scope="module")
def undisturbed(
    store: Any, s3_door: s3.Door, tmp_path_factory: pytest.TempPathFactory, tiny_tokenizer: Path
) -> dict[str, bytes]:
    """The files of a run in one process, which nothing stops."""
    runs = Commands(s3_door, tmp_path_factory.mktemp("plain"), tiny_tokenizer, "ray", "--workers", "1")
    done = runs.run("plain")
    assert (done.returncode, messages(done.stderr)) == (0, [])
    assert objects(store, "ray/work") == {}
    found = objects(store, "ray/plain")
    assert len([name for name in found if name.startswith("train/")]) > 2
    return found


@pytest.fixture
def with_ray(
    request: pytest.FixtureRequest, s3_door: s3.Door, ray_cluster: RayCluster, tmp_path: Path, tiny_tokenizer: Path
) -> Commands:
    """Runs with Ray: on this machine alone, which starts and ends with them, and on a cluster."""
    where = ["--engine", "ray", "--workers", "1"]
    if request.param == "a cluster":
        ray_cluster.have(nodes=1)
        where += ["--ray-address", ray_cluster.address]
    return Commands(s3_door, tmp_path, tiny_tokenizer, "ray", *where)


def tasks_on(cluster: RayCluster) -> list[str]:
    """The processes of the cluster that make a call now: Ray names them so."""
    return [line for line in processes_below(cluster.pid).values() if line.startswith("ray::_call")]


def continues(runs: Commands, store: Any, undisturbed: dict[str, bytes]) -> None:
    """The same command again uses the work that was done, ends in the same bytes, and leaves no work."""
    runs.door.clear()
    done = runs.run()
    assert done.returncode == 0, done.stderr
    assert "done by an earlier run" in done.stderr
    assert objects(store, "ray/out") == undisturbed
    assert objects(store, "ray/work") == {}


@pytest.mark.parametrize(
    ("with_ray", "to"),
    [("this machine", "its group"), ("a cluster", "the command")],
    indirect=["with_ray"],
)
def test_ctrl_c_is_one_sentence_and_nothing_goes_on(
    with_ray: Commands, ray_cluster: RayCluster, store: Any, undisturbed: dict[str, bytes], to: str
) -> None:
    process = with_ray.start_until_it_hangs("/pieces/encode/")
    started = set(processes_below(process.pid))
    assert bool(started) != bool(tasks_on(ray_cluster))  # it works in one of the two places
    (os.kill if to == "the command" else os.killpg)(process.pid, signal.SIGINT)
    output, said = process.communicate(timeout=120)
    assert (process.returncode, output, messages(said)) == (130, "", [STOPPED])
    wait_until_gone(started, SOON_S)
    wait_until(lambda: tasks_on(ray_cluster) == [], SOON_S)
    continues(with_ray, store, undisturbed)


@pytest.mark.parametrize(
    ("with_ray", "at"),
    [("this machine", "/pieces/encode/"), ("a cluster", "/out/train/")],
    indirect=["with_ray"],
)
def test_a_command_that_is_killed_is_continued(
    with_ray: Commands, ray_cluster: RayCluster, store: Any, undisturbed: dict[str, bytes], at: str
) -> None:
    process = with_ray.start_until_it_hangs(at)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    wait_until(lambda: tasks_on(ray_cluster) == [], SOON_S)
    assert not store.exists("ray/out/manifest.json")
    continues(with_ray, store, undisturbed)


@pytest.mark.parametrize("engine", ["a pool", "a cluster"])
def test_a_store_that_fails_is_an_error_and_the_next_run_goes_on(
    s3_door: s3.Door, ray_cluster: RayCluster, store: Any, tmp_path: Path, tiny_tokenizer: Path,
    undisturbed: dict[str, bytes], engine: str,
) -> None:  # fmt: skip
    where = ["--workers", "2"]
    where += ["--engine", "ray", "--ray-address", ray_cluster.address] if engine == "a cluster" else []
    runs = Commands(s3_door, tmp_path, tiny_tokenizer, "ray", *where, variables=s3.IMPATIENT)
    hangs = (s3.Fault("GET", "/raw/2.jsonl", "hangs"), "raw/2.jsonl: the store did not answer in time")
    encoding = (s3.Fault("PUT", "/pieces/encode/", "500"), "/pieces/encode/")
    faults = [hangs, encoding] if engine == "a pool" else [encoding]  # each later in a run than the one before
    for fault, said in faults:
        s3_door.fail(fault)
        done = runs.run()
        (message,) = messages(done.stderr)
        assert (done.returncode, message.startswith("sftdata: s3://ray/"), said in message) == (1, True, True), message
        assert message.endswith("run the same command again, which goes on where this one stopped"), message
        assert s3.SECRET not in done.stderr
        assert not store.exists("ray/out/manifest.json")
    continues(runs, store, undisturbed)


@pytest.mark.parametrize("with_ray", ["a cluster"], indirect=True)
def test_a_store_that_fails_now_and_then_is_asked_again(
    with_ray: Commands, s3_door: s3.Door, store: Any, undisturbed: dict[str, bytes]
) -> None:
    faults = [s3.Fault("GET", "/raw/2.jsonl", "hangs", 1), s3.Fault("GET", "/raw/3.jsonl", "500", 1)]
    faults += [s3.Fault("GET", "/raw/1.jsonl", "cut", 1)]
    faults += [s3.Fault("PUT", place, "500", 1) for place in ("/pieces/read/", "/shards/", "/out/train/")]
    s3_door.fail(*faults)
    done = with_ray.run()
    assert (done.returncode, messages(done.stderr)) == (0, [])
    assert len(s3_door.failed) == len(faults)
    assert objects(store, "ray/out") == undisturbed


@pytest.mark.parametrize("nodes", [1, 2])
def test_nodes_make_the_bytes_of_this_machine_and_leave_no_credentials_in_any_file_or_message(
    s3_door: s3.Door, ray_cluster: RayCluster, store: Any, tmp_path: Path, tiny_tokenizer: Path, nodes: int
) -> None:
    ray_cluster.have(nodes)
    where = ["--engine", "ray", "--ray-address", ray_cluster.address, "--keep-work"]
    runs = Commands(s3_door, tmp_path, tiny_tokenizer, "ray", *where)
    here = Commands(s3_door, tmp_path, tiny_tokenizer, "ray", "--workers", "1")
    with FaultyStore() as web:
        web.files["/web/w.jsonl"] = json.dumps({"prompt": "Who?", "completion": "I."}).encode() + b"\n"
        address = f"{web.address}/web/w.jsonl?token=hidden-word-of-the-web"
        done, also = runs.run("out", address), here.run("here", address, "--overwrite")
    assert (done.returncode, messages(done.stderr)) == (0, [])
    assert (also.returncode, messages(also.stderr)) == (0, [])
    found = objects(store, "ray/out")
    assert found == objects(store, "ray/here")
    found |= {f"work/{name}": data for name, data in objects(store, "ray/work").items()}
    assert len(found) > 10
    found |= {str(path): path.read_bytes() for path in ray_cluster.folder.rglob("*") if path.is_file()}
    found |= {str(path): path.read_bytes() for path in (tmp_path / "cache").rglob("*") if path.is_file()}
    found |= {"messages": (done.stdout + done.stderr).encode(), "jobs": jobs_of(ray_cluster).encode()}
    assert b"prepare" in found["jobs"]
    secrets = [s3.SECRET.encode(), s3.ACCESS_KEY.encode(), b"hidden-word-of-the-web"]
    assert [name for name, data in found.items() for secret in secrets if secret in data] == []


def jobs_of(cluster: RayCluster) -> str:
    """What the cluster shows of the programs that were connected to it."""
    import ray

    ray.init(cluster.address, log_to_driver=False, logging_level="ERROR")
    try:
        return repr(ray._private.state.state.job_table())
    finally:
        ray.shutdown()
