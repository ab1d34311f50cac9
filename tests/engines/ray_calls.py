"""Functions for the tests of the launcher for Ray, in a module of their own so that its workers can import them."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path


def end_worker() -> None:
    """End this process at once, as the system does where memory is short."""
    assert "default_worker.py" in sys.argv[0]  # else this would end the tests
    os.kill(os.getpid(), signal.SIGKILL)


def killed_once(folder: Path, number: int) -> int:
    """The square; but the first worker that is asked is killed."""
    try:
        (folder / "killed").touch(exist_ok=False)
    except FileExistsError:
        return number * number
    end_worker()
    return 0


def always_killed(_: int) -> None:
    end_worker()


def node(_: int) -> str:
    """The node that a call is made on."""
    import ray

    return str(ray.get_runtime_context().get_node_id())


def hangs_elsewhere(folder: Path, first: str, number: int) -> int:
    """The square; but a call on another node than the first, which leaves a file, is made for a minute, and the first
    node waits for it.
    """
    if node(number) != first:
        (folder / "elsewhere").touch()
        time.sleep(60)
    deadline = time.monotonic() + 60
    while not (folder / "elsewhere").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    return number * number


def alone(folder: Path, _: int) -> None:
    """Raises FileExistsError where another call is being made."""
    (folder / "busy").touch(exist_ok=False)
    time.sleep(0.02)
    (folder / "busy").unlink()


def where_it_works(_: int) -> str:
    return str(Path.cwd())


def versions_of_process() -> dict[str, str]:
    """Versions that differ from process to process."""
    return {"tokenizers": str(os.getpid())}
