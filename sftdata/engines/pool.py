"""Worker processes: started clean, deaf to Ctrl-C (the main process decides), gone when the main process is gone."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing.connection import wait
from typing import Any, TypeVar

from sftdata.errors import killed_worker

ResultT = TypeVar("ResultT")


def warm_up(preload: str) -> None:
    """Let the server that workers come from begin its imports now, where there is one. Returns at once."""
    if sys.platform == "linux":
        from multiprocessing import forkserver

        _context(preload)
        forkserver.ensure_running()


class Pool:
    """`size` worker processes. They start when first used; `close` ends them."""

    def __init__(self, size: int, preload: str) -> None:
        self._executor = ProcessPoolExecutor(size, mp_context=_context(preload), initializer=begin_worker)

    def run(
        self,
        function: Callable[..., ResultT],
        calls: Sequence[tuple[Any, ...]],
        meanwhile: Callable[[], object] | None = None,
    ) -> Iterator[tuple[int, ResultT]]:
        """The results of calls as they come, each with its number. `meanwhile` is called once they run.

        The first exception of a call is raised, and the calls not begun are not made. Raises WorkerError where the
        system ended a worker.
        """
        futures: dict[Future[ResultT], int] = {}
        try:
            with _main_hidden():
                for number, arguments in enumerate(calls):
                    futures[self._executor.submit(function, *arguments)] = number
            if meanwhile is not None:
                meanwhile()
            for future in as_completed(futures):
                yield futures[future], future.result()
        except BrokenProcessPool as error:
            raise killed_worker() from error
        finally:
            for future in futures:
                future.cancel()

    def close(self, *, at_once: bool) -> None:
        """End the workers: when they are done with what they have begun, or at once."""
        if at_once:
            # Python 3.14 has terminate_workers for this; until then their list is the executor's own.
            for process in list((getattr(self._executor, "_processes", None) or {}).values()):
                process.terminate()
        self._executor.shutdown(wait=True, cancel_futures=True)


@contextmanager
def _main_hidden() -> Iterator[None]:
    """Start workers that do not run the user's program again: multiprocessing would import it into each of them.

    Nothing that is sent to a worker lives there, and a program without `if __name__ == "__main__"`, or one read from
    standard input, could not be run again.
    """
    main = sys.modules["__main__"]
    hidden: dict[str, Any] = {name: main.__dict__[name] for name in ("__spec__", "__file__") if name in main.__dict__}
    main.__spec__ = None
    main.__dict__.pop("__file__", None)
    try:
        yield
    finally:
        main.__dict__.update(hidden)


def _context(preload: str) -> Any:
    """How workers start: from a clean server process, so that no lock of this process's threads is copied."""
    if sys.platform != "linux":
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["sftdata.engines.preload", preload])
    return context


def begin_worker() -> None:
    """Leave Ctrl-C to the main process, and end when it ends, however it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_leave_after, args=(parent.sentinel,), daemon=True).start()


def _leave_after(sentinel: int) -> None:
    """End this process when the sentinel says that the main process is gone (kill -9 tells nobody)."""
    wait([sentinel])
    os._exit(1)
