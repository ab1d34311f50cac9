"""Calls in threads. What concurrent.futures has for this takes longer to import than most of these calls take."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from threading import Lock, Thread
from typing import Generic, TypeVar

ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")


class Task(Generic[ResultT]):
    """A call that a thread of its own makes, from now on."""

    def __init__(self, function: Callable[..., ResultT], *arguments: object) -> None:
        self._results: list[ResultT] = []
        self._error: BaseException | None = None
        self._thread = Thread(target=self._run, args=(function, arguments))
        self._thread.start()

    def _run(self, function: Callable[..., ResultT], arguments: tuple[object, ...]) -> None:
        try:
            self._results.append(function(*arguments))
        except BaseException as error:  # noqa: BLE001 - raised where the result is asked for
            self._error = error

    def wait(self) -> None:
        """Until it is done, however it ends."""
        self._thread.join()

    def result(self) -> ResultT:
        """What the call gave, once it is done. What it raised is raised."""
        self.wait()
        if self._error is not None:
            raise self._error
        return self._results[0]


def map_in_threads(threads: int, function: Callable[[ItemT], ResultT], items: Sequence[ItemT]) -> Sequence[ResultT]:
    """What a function gives for each item, of which so many threads take one after the other."""
    numbers, lock = iter(range(len(items))), Lock()
    found: dict[int, ResultT] = {}

    def work() -> None:
        while True:
            with lock:
                number = next(numbers, None)
            if number is None:
                return
            found[number] = function(items[number])

    tasks = [Task(work) for _ in range(min(threads, len(items)))]
    for task in tasks:
        task.wait()
    for task in tasks:
        task.result()
    return [found[number] for number in range(len(items))]
