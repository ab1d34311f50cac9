"""Calls in threads. What concurrent.futures has for this takes longer to import than most of these calls take."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from threading import Lock, Thread
from types import TracebackType
from typing import Generic, TypeVar

ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")


class Task(Generic[ResultT]):
    """A call that a thread of its own makes, from now on.

    A `with` block ends when the call is done too, and raises what it raised, unless the block itself failed.
    """

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

    def __enter__(self) -> Task[ResultT]:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.wait()
        if kind is None:
            self.result()


def map_in_threads(threads: int, function: Callable[[ItemT], ResultT], items: Sequence[ItemT]) -> Sequence[ResultT]:
    """What a function gives for each item, of which so many threads, one at least, take one after the other.

    Of several exceptions that of the first item is raised: items behind one that failed may not be looked at.
    """
    numbers, lock = iter(range(len(items))), Lock()
    found: dict[int, ResultT] = {}
    failed: dict[int, BaseException] = {}

    def work() -> None:
        while not failed:
            with lock:
                number = next(numbers, None)
            if number is None:
                return
            try:
                found[number] = function(items[number])
            except BaseException as error:  # noqa: BLE001 - raised below
                failed[number] = error

    for task in [Task(work) for _ in range(min(threads, len(items)))]:
        task.result()
    if failed:
        raise failed[min(failed)]
    return [found[number] for number in range(len(items))]
