"""Launchers for one machine: this process, or a pool of processes from the standard library."""

from __future__ import annotations

import gc
import hashlib
import multiprocessing
import os
import pickle
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import lru_cache
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from sftdata.errors import killed_worker
from sftdata.files.atomic import output_errors

ResultT = TypeVar("ResultT")

SAFE_PATH = sys.version_info >= (3, 11)  # before, Python always has the current folder on the path of such processes
# One thread a worker: there are as many processes as are wanted.
_WORKER_ENVIRONMENT = {
    "TOKENIZERS_PARALLELISM": "false",
    "RAYON_NUM_THREADS": "1",
    "FASTOKENS_BPE_THREADS": "1",
}


def count_cores() -> int:
    """The processor cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class ThisProcess:
    """A Launcher that makes every call here, in order. Used with `with`, as ProcessPool is."""

    def __enter__(self) -> ThisProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing to end."""

    def run(self, function: Callable[..., ResultT], calls: Sequence[tuple[Any, ...]]) -> Iterator[tuple[int, ResultT]]:
        """See Launcher.run."""
        for number, arguments in enumerate(calls):
            yield number, function(*arguments)


class ProcessPool:
    """A Launcher with `size` worker processes, which start when first needed. Used with `with`.

    `folder` takes the pickled function of a run, which a worker loads once. `preload` names modules of other packages
    that workers need, imported once for all of them where the system can (Linux, macOS): those of the program itself
    are imported by each worker, from where this process has them.

    Workers ignore Ctrl-C (this process decides) and end when this process ends, however it ends.
    """

    def __init__(self, size: int, folder: Path, preload: Sequence[str] = ()) -> None:
        self._folder = folder
        context = _start_method(preload)
        environment = dict(os.environ)  # the server of the workers has that of its start, maybe for an earlier pool
        with _clean_start():
            if context.get_start_method() == "forkserver":
                forkserver.ensure_running()  # it imports while this process does something else
            # The read end is given to every worker: when the write end closes, or the process that holds it is gone,
            # all of them see the end of the pipe.
            reading, self._alive = context.Pipe(duplex=False)
            given = (reading, environment)
            self._executor = ProcessPoolExecutor(size, context, initializer=_start_worker, initargs=given)

    def __enter__(self) -> ProcessPool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the workers: after an error or Ctrl-C at once, else when they are idle. No further call is started."""
        # Futures are cancelled here and not before: Python before 3.13 fails where a worker ends beside cancelled ones.
        if kind is not None:
            self._alive.close()
        self._executor.shutdown(wait=True, cancel_futures=True)
        self._alive.close()

    def run(self, function: Callable[..., ResultT], calls: Sequence[tuple[Any, ...]]) -> Iterator[tuple[int, ResultT]]:
        """See Launcher.run."""
        if len(calls) <= 1:  # not worth sending
            yield from ThisProcess().run(function, calls)
            return
        data = pickle.dumps(function)
        path = self._folder / f"{hashlib.sha256(data).hexdigest()}.function"
        with output_errors(path):
            path.write_bytes(data)
        futures: dict[Future[Any], int] = {}
        try:
            with _clean_start():
                for number, arguments in enumerate(calls):
                    futures[self._executor.submit(_call, path, arguments)] = number
            for future in as_completed(futures):
                yield futures.pop(future), future.result()
        except BrokenProcessPool as error:
            raise killed_worker() from error
        path.unlink()


def open_launcher(
    workers: int | None, folder: Path, *, is_small: bool, preload: Sequence[str]
) -> ThisProcess | ProcessPool:
    """The launcher for a run on this machine, to be used with `with`: a pool of `workers` processes (default: one per
    core), or this process where one is enough. `folder` and `preload` are as for ProcessPool.
    """
    size = workers or count_cores()
    return ThisProcess() if size == 1 or is_small else ProcessPool(size, folder, preload)


def _start_method(preload: Sequence[str]) -> Any:
    """Workers start from a clean server process where the system has that, so that no lock is copied; else anew."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(preload) if SAFE_PATH else [])
    return context


@contextmanager
def _clean_start() -> Iterator[None]:
    """Start processes that run nothing of the user's: neither the main program again, nor files that happen to be in
    the current folder and to be named like a library.

    multiprocessing would import the program into each worker. Nothing that is sent to a worker is defined there, and a
    program without `if __name__ == "__main__"`, or one read from standard input, could not be run again. It also starts
    Python with the current folder first on the path, where PYTHONSAFEPATH does not forbid that.
    """
    before = os.environ.get("PYTHONSAFEPATH")
    os.environ["PYTHONSAFEPATH"] = "1"
    main = sys.modules["__main__"]
    hidden: dict[str, Any] = {name: main.__dict__[name] for name in ("__spec__", "__file__") if name in main.__dict__}
    main.__spec__ = None
    main.__dict__.pop("__file__", None)
    try:
        yield
    finally:
        main.__dict__.update(hidden)
        if before is None:
            del os.environ["PYTHONSAFEPATH"]
        else:
            os.environ["PYTHONSAFEPATH"] = before


def _start_worker(alive: Connection, environment: Mapping[str, str]) -> None:
    """What a worker does first."""
    os.environ.clear()
    os.environ.update(environment)
    settle_worker()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=_end_with, args=(alive,), daemon=True).start()


def settle_worker() -> None:
    """Make this process, in its main thread, one that works for another one: one thread, and Ctrl-C is not its own."""
    os.environ.update(_WORKER_ENVIRONMENT)
    gc.freeze()  # rows are many small objects and hardly ever cycles: collect rarely, and never what was preloaded
    gc.set_threshold(100_000, 50, 50)
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _end_with(alive: Connection) -> None:
    """End this process when the write end of a pipe is closed. Nothing is ever written to it."""
    alive.poll(None)
    signal.raise_signal(signal.SIGTERM)


def _call(path: Path, arguments: tuple[Any, ...]) -> Any:
    """Call the pickled function in a worker."""
    with errors_to_send():
        return _load(path)(*arguments)


@contextmanager
def errors_to_send() -> Iterator[None]:
    """Turn an exception that cannot be sent to another process into a RuntimeError that says the same."""
    try:
        yield
    except BaseException as error:
        try:
            pickle.loads(pickle.dumps(error))
        except Exception as why:
            raise RuntimeError(f"{type(error).__name__}: {error}") from why
        raise


@lru_cache(maxsize=2)
def _load(path: Path) -> Callable[..., Any]:
    """A function from its pickle. The file's name is its checksum: the same path is always the same function."""
    function: Callable[..., Any] = pickle.loads(path.read_bytes())
    return function
