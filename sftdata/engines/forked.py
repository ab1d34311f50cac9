"""Workers that are copies of this process, made for one stage each: what is loaded here they have already.

For processes of ours alone (see light.py): a program that uses sftdata as a library may have threads that hold locks,
and a copy of a process has the locks but not the threads.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from typing import Any, TypeVar

from sftdata.engines.children import Child, Pipe, heard, tell, tell_end, tell_failure, waiting
from sftdata.threads import Task

ResultT = TypeVar("ResultT")

NUMBER_BYTES = 4
AHEAD = 1024  # calls that are given out before there are answers: fewer than a pipe holds


def run_forked(
    size: int,
    function: Callable[..., ResultT],
    calls: Sequence[tuple[Any, ...]],
    meanwhile: Callable[[], object] | None = None,
) -> Iterator[tuple[int, ResultT]]:
    """The results of calls in `size` processes as they come, each with its number. `meanwhile` is called once they run.

    This process is one of them, once it has called `meanwhile`: a copy less to be made. Nobody looks at the others'
    results while it works. The first exception of a call is raised, and ends the workers. Raises WorkerError where the
    system ended one.
    """
    workers: dict[Pipe, Child] = {}  # by our end of the pipe to each
    numbers = _Numbers(len(calls))
    try:
        for _ in range(min(size, len(calls)) - 1):
            ours, theirs = Pipe.pair()
            workers[ours] = Child(_serve, function, calls, numbers, theirs)
            theirs.close()
        if meanwhile is not None:
            meanwhile()
        number = numbers.take_now()
        while workers or number is not None:
            for pipe in waiting(workers, at_once=number is not None):
                if (answer := heard(pipe)) is not None:
                    yield answer[0]
                    numbers.give()
                else:
                    workers.pop(pipe).let_go()
                    pipe.close()
            if number is not None:
                yield number, function(*calls[number])
                numbers.give()
            number = numbers.take_now()
    finally:
        numbers.close()
        for pipe, worker in workers.items():
            worker.end()
            pipe.close()


def run_here(
    function: Callable[..., ResultT],
    calls: Sequence[tuple[Any, ...]],
    meanwhile: Callable[[], object] | None = None,
) -> Iterator[tuple[int, ResultT]]:
    """The results of calls that this process makes, each with its number; beside them `meanwhile` runs in a thread."""
    with nullcontext() if meanwhile is None else Task(meanwhile):
        for number, arguments in enumerate(calls):
            yield number, function(*arguments)


class _Numbers:
    """The numbers of calls in a pipe from which every worker takes the next, whatever else this process does."""

    def __init__(self, count: int) -> None:
        self._waiting = iter(range(count))
        self._taking, self._giving = os.pipe()
        self._own = -1
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

    def take_now(self) -> int | None:
        """The next number, or None where there is none now: all are taken, or more are given out later."""
        if self._own < 0:  # its own way to the pipe, which does not wait; workers do
            self._own = os.open(f"/proc/self/fd/{self._taking}", os.O_RDONLY | os.O_NONBLOCK)
        try:
            data = os.read(self._own, NUMBER_BYTES)
        except BlockingIOError:
            return None
        return int.from_bytes(data, "little") if data else None

    def close(self) -> None:
        """Be done with the pipe in this process."""
        if self._own >= 0:
            os.close(self._own)
        self.only_take()
        os.close(self._taking)


def _serve(function: Callable[..., Any], calls: Sequence[tuple[Any, ...]], numbers: _Numbers, pipe: Pipe) -> None:
    """A worker's life: make the calls whose numbers it takes, until there are no more."""
    numbers.only_take()
    while (number := numbers.take()) is not None:
        try:
            result = function(*calls[number])
        except BaseException as error:  # noqa: BLE001 - raised again where the results are read
            tell_failure(pipe, error)
        else:
            tell(pipe, (number, result))
    tell_end(pipe)
