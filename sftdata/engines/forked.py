"""Workers that are copies of this process, made for one stage each: what is loaded here they have already.

For processes of ours alone (see light.py): a program that uses sftdata as a library may have threads that hold locks,
and a copy of a process has the locks but not the threads.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import traceback
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import wait
from typing import Any, TypeVar

from sftdata.engines.workers import RemoteTraceback, begin_worker, killed_worker, sendable

ResultT = TypeVar("ResultT")

NUMBER_BYTES = 4
AHEAD = 1024  # calls that are given out before there are answers: fewer than a pipe holds


def run_forked(
    size: int,
    function: Callable[..., ResultT],
    calls: Sequence[tuple[Any, ...]],
    meanwhile: Callable[[], object] | None = None,
) -> Iterator[tuple[int, ResultT]]:
    """The results of calls in `size` workers as they come, each with its number. `meanwhile` is called once they run.

    The first exception of a call is raised, and ends the workers. Raises WorkerError where the system ended one.
    """
    context: Any = multiprocessing.get_context("fork")
    workers: dict[Any, Any] = {}  # by our end of the pipe to each
    gc.freeze()  # so that no worker writes to the memory that it shares with this process, only to look for garbage
    numbers = _Numbers(len(calls))
    try:
        for _ in range(min(size, len(calls))):
            ours, theirs = context.Pipe(duplex=False)
            worker = context.Process(target=_serve, args=(function, calls, numbers, theirs), daemon=True)
            worker.start()
            theirs.close()
            workers[ours] = worker
        if meanwhile is not None:
            meanwhile()
        while workers:
            connection: Any
            for connection in wait(list(workers)):
                answer = _answer(connection)
                if answer is not None:
                    yield answer
                    numbers.give()
                else:
                    workers.pop(connection).join()
                    connection.close()
    finally:
        gc.unfreeze()
        numbers.close()
        for connection, worker in workers.items():
            worker.terminate()
            worker.join()
            connection.close()


def run_calls(
    size: int,
    function: Callable[..., ResultT],
    calls: Sequence[tuple[Any, ...]],
    meanwhile: Callable[[], object] | None = None,
) -> Iterator[tuple[int, ResultT]]:
    """As `run_forked` where that is worth it: with workers, and more than one thing to do."""
    is_worth_it = size > 1 and len(calls) + (meanwhile is not None) > 1 and calls
    return run_forked(size, function, calls, meanwhile) if is_worth_it else run_here(function, calls, meanwhile)


def run_here(
    function: Callable[..., ResultT],
    calls: Sequence[tuple[Any, ...]],
    meanwhile: Callable[[], object] | None = None,
) -> Iterator[tuple[int, ResultT]]:
    """The results of calls that this process makes, each with its number; before them `meanwhile` is called."""
    if meanwhile is not None:
        meanwhile()
    for number, arguments in enumerate(calls):
        yield number, function(*arguments)


class _Numbers:
    """The numbers of calls in a pipe from which every worker takes the next, whatever else this process does."""

    def __init__(self, count: int) -> None:
        self._waiting = iter(range(count))
        self._taking, self._giving = os.pipe()
        for _ in range(AHEAD):
            self.give()

    def give(self) -> None:
        """Let one more be taken. Behind the last the pipe ends."""
        number = next(self._waiting, None)
        if number is not None:
            os.write(self._giving, number.to_bytes(NUMBER_BYTES, "little"))
        else:
            self.only_take()

    def only_take(self) -> None:
        """Give no more from this process. The pipe ends where no process may give any."""
        if self._giving >= 0:
            os.close(self._giving)
            self._giving = -1

    def take(self) -> int | None:
        """The next number, or None where there is none."""
        data = os.read(self._taking, NUMBER_BYTES)
        return int.from_bytes(data, "little") if data else None

    def close(self) -> None:
        """Be done with the pipe in this process."""
        self.only_take()
        os.close(self._taking)


def _answer(connection: Any) -> tuple[int, Any] | None:
    """A result that a worker sent, with its number; None where it is done; or the exception that it sent is raised."""
    try:
        answer = connection.recv()
    except (EOFError, ConnectionError) as end:
        raise killed_worker() from end
    if answer is None:
        return None
    number, result, error, trace = answer
    if error is not None:
        raise error from RemoteTraceback(trace)
    return number, result


def _serve(function: Callable[..., Any], calls: Sequence[tuple[Any, ...]], numbers: _Numbers, connection: Any) -> None:
    """A worker's life: make the calls whose numbers it takes, until there are no more."""
    begin_worker()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # so that it can be ended, whatever this process does with it
    numbers.only_take()
    while (number := numbers.take()) is not None:
        answer: tuple[Any, ...]
        try:
            answer = (number, function(*calls[number]), None, "")
        except BaseException as error:  # noqa: BLE001 - raised again where the results are read
            answer = (number, None, sendable(error), traceback.format_exc())
        connection.send(answer)
    connection.send(None)
