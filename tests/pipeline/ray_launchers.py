"""Launchers for Ray that know where calls were made, and to which things happen. A module that workers can import."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from filelock import FileLock

from sftdata.engines.ray import RayLauncher

if TYPE_CHECKING:
    from ray_cluster import RayCluster


class Counted(RayLauncher):
    """Collects the processes that calls were made in, and the nodes. `folder` is for what calls leave."""

    pids: ClassVar[set[int]] = set()
    nodes: ClassVar[set[str]] = set()
    folder: ClassVar[Path]
    cluster: ClassVar[RayCluster]

    def run(self, function: Callable[..., Any], calls: Sequence[tuple[Any, ...]]) -> Iterator[tuple[int, Any]]:
        for number, (pid, node, result) in super().run(partial(with_place, function), calls):
            self.pids.add(pid)
            self.nodes.add(node)
            yield number, result


class LastFirst(Counted):
    """As if the calls that start last were done first. Both nodes take part."""

    def run(self, function: Callable[..., Any], calls: Sequence[tuple[Any, ...]]) -> Iterator[tuple[int, Any]]:
        both = partial(on_both_nodes, self.folder / "elsewhere", node(), 0, function)
        return iter([*super().run(both, calls)][::-1])


class NothingHere(Counted):
    """Calls are made on a machine that has no file of the work yet."""

    def run(self, function: Callable[..., Any], calls: Sequence[tuple[Any, ...]]) -> Iterator[tuple[int, Any]]:
        return super().run(partial(with_nothing_here, function), calls)


class OneKilled(Counted):
    """In two stages the worker that is asked first is killed after its work, before it can say so."""

    def run(self, function: Callable[..., Any], calls: Sequence[tuple[Any, ...]]) -> Iterator[tuple[int, Any]]:
        name = function.args[0].name  # type: ignore[attr-defined]
        is_killed = name in ("encode", "write")
        return super().run(partial(killed_once, self.folder / name, function) if is_killed else function, calls)


class NodeLost(Counted):
    """The node besides the first is lost in the middle of a call."""

    def run(self, function: Callable[..., Any], calls: Sequence[tuple[Any, ...]]) -> Iterator[tuple[int, Any]]:
        both = partial(on_both_nodes, self.folder / "elsewhere", node(), 60, function)
        for result in super().run(both, calls):
            if (self.folder / "elsewhere").exists():
                self.cluster.have(nodes=1)
            yield result


def node() -> str:
    """The node that this process works on."""
    import ray

    return str(ray.get_runtime_context().get_node_id())


def with_place(function: Callable[..., Any], *arguments: Any) -> tuple[int, str, Any]:
    return os.getpid(), node(), function(*arguments)


def with_nothing_here(function: Callable[..., Any], *arguments: Any) -> Any:
    root: Path = function.keywords["attach"].__self__.root  # type: ignore[attr-defined]
    if function.args[0].name == "write":  # type: ignore[attr-defined]  # while the ledger is written here
        return function(*arguments)
    with FileLock(root.with_name("one-call-at-a-time")):
        shutil.rmtree(root / "pieces", ignore_errors=True)
        return function(*arguments)


def killed_once(flag: Path, function: Callable[..., Any], *arguments: Any) -> Any:
    result = function(*arguments)
    try:
        flag.touch(exist_ok=False)
    except FileExistsError:
        return result
    assert "default_worker.py" in sys.argv[0]  # else this would end the tests
    os.kill(os.getpid(), signal.SIGKILL)
    return None


def on_both_nodes(flag: Path, first: str, hangs_s: int, function: Callable[..., Any], *arguments: Any) -> Any:
    """Calls on the first node wait until one is made elsewhere, which takes some seconds."""
    if node() != first:
        flag.touch()
        time.sleep(hangs_s)
    deadline = time.monotonic() + 60
    while not flag.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    return function(*arguments)
