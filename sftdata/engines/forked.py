"""Workers that are copies of this process, made for one stage each: what is loaded here they have already.

For processes of ours alone (see light.py): a program that uses sftdata as a library may have threads that hold locks,
and a copy of a process has the locks but not the threads.
"""

from __future__ import annotations

import gc
import itertools
import multiprocessing
import os
import signal
import traceback
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import wait
from typing import Any, TypeVar

from sftdata.engines.pool import begin_worker, killed_worker

ResultT = TypeVar("ResultT")


class RemoteTraceback(Exception):
    """Where in a worker an exception came from."""


def run_forked(
    size: int, function: Callable[..., ResultT], calls: Sequence[tuple[Any, ...]]
) -> Iterator[tuple[int, ResultT]]:
    """The results of calls in `size` workers as they come, each with its number.

    The first exception of a call is raised, and the calls not begun are not made. Raises WorkerError where the system
    ended a worker.
    """
    context: Any = multiprocessing.get_context("fork")
    workers: dict[Any, Any] = {}  # by our end of the pipe to each
    gc.freeze()  # so that no worker writes to the memory that it shares with this process, only to look for garbage
    try:
        waiting = iter(range(len(calls)))
        for first in itertools.islice(waiting, size):
            ours, theirs = context.Pipe()
            worker = context.Process(target=_serve, args=(function, calls, theirs, first), daemon=True)
            worker.start()
            theirs.close()
            workers[ours] = worker
        while workers:
            connection: Any
            for connection in wait(list(workers)):
                yield _answer(connection)
                following = next(waiting, None)
                _tell(connection, following)
                if following is None:
                    workers.pop(connection).join()
                    connection.close()
    finally:
        gc.unfreeze()
        for connection, worker in workers.items():
            worker.terminate()
            worker.join()
            connection.close()


def _tell(connection: Any, number: int | None) -> None:
    """Send a worker its next call, or None where there is none. Raises WorkerError where it is gone."""
    try:
        connection.send(number)
    except ConnectionError as end:
        raise killed_worker() from end


def _answer(connection: Any) -> tuple[int, Any]:
    """A result that a worker sent, with its number; or the exception that it sent is raised."""
    try:
        number, result, error, trace = connection.recv()
    except (EOFError, ConnectionError) as end:
        raise killed_worker() from end
    if error is not None:
        raise error from RemoteTraceback(trace)
    return number, result


def _serve(function: Callable[..., Any], calls: Sequence[tuple[Any, ...]], connection: Any, first: int) -> None:
    """A worker's life: make the calls whose numbers come, until None comes."""
    begin_worker()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # so that it can be ended, whatever this process does with it
    os.environ["RAYON_NUM_THREADS"] = "1"  # of tokenizers: there are as many workers as cores already
    gc.set_threshold(100_000, 50, 50)  # rows are made of many small objects, and hardly ever of cycles
    number: int | None = first
    while number is not None:
        answer: tuple[Any, ...]
        try:
            answer = (number, function(*calls[number]), None, "")
        except Exception as error:  # noqa: BLE001 - raised again where the results are read
            answer = (number, None, error, traceback.format_exc())
        connection.send(answer)
        number = connection.recv()
