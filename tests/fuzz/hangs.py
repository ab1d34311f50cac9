"""A limit of processor time, which only decides that something hangs."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

MAX_SECONDS = 60


class _Hangs(BaseException):
    """Raised where Python is. No `except Exception` of the code under test takes it."""


def _raise(number: int, frame: FrameType | None) -> None:
    raise _Hangs


@contextmanager
def no_hang(seconds: float = MAX_SECONDS) -> Iterator[None]:
    """Fails if the block takes more than these seconds of processor time, all threads together."""
    before = signal.signal(signal.SIGPROF, _raise)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    except _Hangs as hangs:
        raise AssertionError(f"takes more than {seconds} seconds of processor time") from hangs
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)
