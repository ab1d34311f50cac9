"""Faults of sftdata that are planted: functions that raise for rows with a certain word, here and in workers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial, wraps
from typing import Any

import pytest
from counted_pool import CountedPool

import sftdata.curate.stage as curate
import sftdata.read.stage as read
from sftdata.encode.proof.shapes import ShapeProver

MESSAGE = "the object at 0x7f12deadbeef of ann@acme-lamps.com in /home/ann/chats/x.jsonl"
PLACES: dict[str, tuple[Any, str, type[BaseException]]] = {
    "proofzebra": (ShapeProver, "_recheck", AssertionError),  # the first row of a piece is checked
    "readingzebra": (read, "plain_row", KeyError),
    "nearzebra": (curate, "sign_texts", ZeroDivisionError),
    "prefixzebra": (curate, "prefix_key", RuntimeError),
    "examzebra": (curate, "may_hold_items", IndexError),
    "encodingzebra": (ShapeProver, "add_samples", TypeError),
}


def faulty(function: Callable[..., Any], word: str, error: type[BaseException]) -> Callable[..., Any]:
    """The function, with an error where the word is in what it is called with."""

    @wraps(function)
    def call(*arguments: Any) -> Any:
        if any(word in repr(argument) for argument in arguments):
            raise error(MESSAGE)
        return function(*arguments)

    return call


FAULTY = {word: faulty(getattr(owner, name), word, error) for word, (owner, name, error) in PLACES.items()}


def plant(set_attribute: Callable[[Any, str, Any], Any] = setattr) -> None:
    """Plant all faults in this process."""
    for word, (owner, name, _) in PLACES.items():
        set_attribute(owner, name, FAULTY[word])


class PoolWithFaults(CountedPool):
    """A pool in whose workers the faults are planted."""

    def run(self, function: Callable[..., Any], calls: Sequence[tuple[Any, ...]]) -> Iterator[tuple[int, Any]]:
        return super().run(partial(with_faults, function), calls)


def with_faults(function: Callable[..., Any], *arguments: Any) -> Any:
    plant()
    return function(*arguments)


def planted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plant all faults until the test ends."""
    from sftdata.engines import local

    plant(monkeypatch.setattr)
    monkeypatch.setattr(local, "ProcessPool", PoolWithFaults)
