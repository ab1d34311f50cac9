"""A pool that knows which of its workers have done something. A module of its own, so that workers can import it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, ClassVar

from sftdata.engines.local import ProcessPool


class CountedPool(ProcessPool):
    """Collects the pids of the other processes that calls were made in."""

    pids: ClassVar[set[int]] = set()

    def run(self, function: Callable[..., Any], calls: Sequence[tuple[Any, ...]]) -> Iterator[tuple[int, Any]]:
        for number, (pid, result) in super().run(partial(with_pid, function), calls):
            if pid != os.getpid():
                self.pids.add(pid)
            yield number, result


class LastFirst(CountedPool):
    """As if the calls that start last were done first."""

    def run(self, function: Callable[..., Any], calls: Sequence[tuple[Any, ...]]) -> Iterator[tuple[int, Any]]:
        return iter([*super().run(function, calls)][::-1])


def with_pid(function: Callable[..., Any], *arguments: Any) -> tuple[int, Any]:
    return os.getpid(), function(*arguments)
