"""Functions for the tests of launchers, in a module of their own so that worker processes can import them."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from pathlib import Path
from typing import Any

from sftdata.errors import SourceError


def visit(folder: Path, number: int) -> int:
    """Leave a file that says which call was made in which process, and return the square."""
    (folder / f"{number} {os.getpid()}").touch(exist_ok=False)
    return number * number


def visits(folder: Path) -> list[tuple[int, int]]:
    """The number of each call that was made, and the process that made it."""
    names = [path.name.split() for path in folder.iterdir()]
    return sorted((int(number), int(pid)) for number, pid in names)


def pid(_: int) -> int:
    return os.getpid()


def hang(folder: Path, number: int) -> None:
    visit(folder, number)
    time.sleep(60)


def fail_first(folder: Path, number: int) -> None:
    """The first call raises; the others take a moment."""
    visit(folder, number)
    if number == 0:
        raise KeyError("the first")
    time.sleep(0.05)


def users_mistake(_: int) -> None:
    raise SourceError("a.jsonl", "is bad", "fix it")


def bug(_: int) -> float:
    return 1 / 0


class TwoArguments(ValueError):
    """Can be pickled but not unpickled, as the errors of some libraries."""

    def __init__(self, one: str, other: str) -> None:
        super().__init__(f"{one} and {other}")


def not_unpicklable(_: int) -> None:
    raise TwoArguments("this", "that")


def not_picklable(_: int) -> None:
    class Local(ValueError):
        pass

    raise Local("this and that")


def panic(_: int) -> None:
    """Raise as a library in Rust does: not an Exception, and of a class that cannot be imported."""

    class Panic(BaseException):
        pass

    raise Panic("this and that")


# What a call raises: the function, the exception, its message, and what its traceback has.
EXCEPTIONS = {
    "a user's mistake": (users_mistake, SourceError, "a.jsonl: is bad; fix it", "in users_mistake"),
    "a bug": (bug, ZeroDivisionError, "division by zero", "in bug"),
    "cannot be unpickled": (not_unpicklable, RuntimeError, "TwoArguments: this and that", "not_unpicklable"),
    "cannot be pickled": (not_picklable, RuntimeError, "Local: this and that", "in not_picklable"),
    "is not an Exception": (panic, RuntimeError, "Panic: this and that", "in panic"),
}


def kill_this_worker(_: int) -> None:
    assert multiprocessing.parent_process() is not None  # else this would end the tests
    os.kill(os.getpid(), signal.SIGKILL)


def settings_of_worker(_: int) -> dict[str, Any]:
    """What differs between a worker and the process that started it."""
    return {
        "ignores SIGINT": signal.getsignal(signal.SIGINT) is signal.SIG_IGN,
        "SIGTERM ends it": signal.getsignal(signal.SIGTERM) is signal.SIG_DFL,
        **{name: os.environ.get(name) for name in ("TOKENIZERS_PARALLELISM", "RAYON_NUM_THREADS")},
    }


def interrupt_this_worker(number: int) -> int:
    """Ctrl-C reaches every process of a terminal."""
    assert multiprocessing.parent_process() is not None
    os.kill(os.getpid(), signal.SIGINT)
    return number


class LoadedOnce:
    """A function that leaves a file for every time that it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> Any:
        return load, (self.folder,)

    def __call__(self, number: int) -> int:
        time.sleep(0.01)
        return os.getpid()


def load(folder: Path) -> LoadedOnce:
    """Unpickle a LoadedOnce. Loading it again in the same process is another number."""
    loads = [number for number, pid in visits(folder) if pid == os.getpid()]
    visit(folder, len(loads))
    return LoadedOnce(folder)
