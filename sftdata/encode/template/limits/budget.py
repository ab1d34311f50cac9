"""What one rendering may do: limits of steps, sizes and time, and what is left of them."""

from __future__ import annotations

import time
from collections.abc import Callable, ItemsView, Iterable, Iterator, KeysView, Mapping, ValuesView
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeVar

import jinja2
from jinja2.runtime import Context

MAX_SECONDS = 20  # of processor time; a last resort: every other limit is the same on all machines
MAX_TEMPLATE_CHARS = 1 << 17
MAX_DIGITS = 1000  # that a number is rounded to
BYTES_PER_STEP = 1024
ITEMS_PER_STEP = 16
_STEPS_PER_LOOK = 256
_CHUNK = 64
_CONTAINERS = (list, tuple, dict, jinja2.utils.Namespace)
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of one rendering."""

    steps: int
    chars: int  # of a text
    items: int  # of a list or an object, with all that is in it
    bits: int  # of a number


FULL = Limits(steps=1_000_000, chars=1 << 25, items=1 << 18, bits=100_000)
LIGHT = Limits(steps=1 << 15, chars=1 << 15, items=1 << 11, bits=1 << 10)


class LimitError(jinja2.exceptions.TemplateRuntimeError):
    """A template does more than a template may do."""


def too_big(what: str = "builds a text") -> LimitError:
    """The error for a value that is too big."""
    return LimitError(f"it {what} of more than {FULL.chars:,} characters or {FULL.items:,} items, which is the limit")


class Budget:
    """What a rendering may still do."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.max_chars = limits.chars
        self.start(None)

    def start(self, ends: float | None, known: object = (), known_chars: int = 0) -> None:
        """Begin a rendering, which ends at this processor time, or after MAX_SECONDS. The size of `known` is known."""
        self._known, self._known_chars = known, known_chars
        self.left = self.limits.steps
        self._look_at = self.left - _STEPS_PER_LOOK
        self.ends = ends

    def take(self, steps: int) -> None:
        """Take steps before something is done. Raises LimitError."""
        self.left -= steps
        if self.left < self._look_at:
            self._look()

    def _look(self) -> None:
        self._look_at = self.left - _STEPS_PER_LOOK
        if self.left <= 0:
            raise LimitError(f"it takes more than {FULL.steps:,} steps, which is the limit")
        now = time.process_time()
        if self.ends is None:
            self.ends = now + MAX_SECONDS
        if now > self.ends:
            raise LimitError(f"it takes more than {MAX_SECONDS} seconds, which is the limit")

    def need(self, chars: int) -> None:
        """Raise LimitError if a text of this size is too big."""
        if chars > self.limits.chars:
            raise too_big()

    def need_items(self, items: int) -> None:
        """Raise LimitError if a list of this size is too big."""
        if items > self.limits.items:
            raise too_big("builds a list")

    def need_bits(self, bits: int) -> None:
        """Raise LimitError if a number of this size is too big."""
        if bits > self.limits.bits:
            raise too_big("computes a number")

    def hold(self, value: T) -> T:
        """A value that is not too big. What takes long to measure takes steps. Raises LimitError."""
        if isinstance(value, (str, bytes)):
            self.need(len(value))
        elif isinstance(value, _CONTAINERS):
            items, _ = self.measure(value)
            if items >= ITEMS_PER_STEP:
                self.take(items // ITEMS_PER_STEP)
        elif isinstance(value, int):
            self.need_bits(value.bit_length())
        return value

    def measure(self, value: object) -> tuple[int, int]:
        """The number of items and of characters in a value. What is in it twice counts twice. Raises LimitError."""
        max_items, max_chars = self.limits.items, self.limits.chars
        items = chars = 0
        waiting: list[Any] = [value]
        while waiting:
            each = waiting.pop()
            items += 1
            kind = type(each)
            if kind is str:
                chars += len(each)
            elif kind is bool or each is None:
                continue
            elif each is self._known:
                chars += self._known_chars
            elif kind is dict:
                waiting += each.values()
                chars += sum([len(key) for key in each if type(key) is str])
            elif isinstance(each, jinja2.utils.Namespace):
                waiting += object.__getattribute__(each, "_Namespace__attrs").values()
            elif isinstance(each, (list, tuple)):
                if len(each) > max_items:
                    raise too_big("builds a value")
                waiting += each
            elif isinstance(each, (str, bytes)):
                chars += len(each)
            elif isinstance(each, int):
                chars += each.bit_length() >> 3
            elif isinstance(each, Mapping):
                waiting += [*each, *each.values()]
            elif isinstance(each, (KeysView, ValuesView, ItemsView)):
                waiting += each
            elif isinstance(each, range):
                items += len(each)
            if items > max_items or chars > max_chars:
                raise too_big("builds a value")
        return items, chars

    def joined(self, parts: Iterable[str]) -> str:
        """The parts as one text. Raises LimitError."""
        most = self.limits.chars if isinstance(parts, list) else FULL.chars  # the text of a macro, or of the rendering
        rest, size = iter(parts), 0
        kept: list[str] = []
        while chunk := list(islice(rest, _CHUNK)):
            size += sum(map(len, chunk))
            if size > most:
                raise too_big("writes a text")
            if not kept and len(chunk) < _CHUNK:
                return "".join(chunk)
            kept += chunk
        return "".join(kept)

    def step(self, _context: object, steps: int) -> bool:
        """The filter for one pass of a loop or one call of a macro. Always true."""
        self.left -= steps
        if self.left < self._look_at:
            self._look()
        return True

    def loop(self, _context: object, items: Any, steps: int) -> Any:
        """The filter for what a loop runs over, each pass of which takes these steps."""
        try:
            self.left -= steps * len(items)
        except TypeError:
            return self.counted(items, steps)
        if self.left < self._look_at:
            self._look()
        return items

    def counted(self, items: Any, steps: int = 1) -> Any:
        """The items, each of which takes these steps."""
        if hasattr(type(items), "__next__"):
            return self._counted(items, steps)
        if hasattr(type(items), "__len__"):
            self.take(steps * len(items))
        return items

    def _counted(self, items: Iterable[T], steps: int) -> Iterator[T]:
        for item in items:
            self.take(steps)
            yield item

    def quick(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """A filter that takes a step for each item of its value."""
        passed = jinja2.utils._PassArg.from_obj(function) is not None

        def quick(*args: Any, **named: Any) -> Any:
            value = args[passed]
            if type(value) is list:
                self.left -= len(value)
            elif isinstance(value, (str, tuple, dict, range)):
                self.take(len(value))
            made = function(*args, **named)
            if type(made) is str and len(made) > self.max_chars:
                raise too_big()
            return made

        quick.jinja_pass_arg = jinja2.utils._PassArg.from_obj(function)  # type: ignore[attr-defined]
        return quick

    def held(self, _context: Context, value: T) -> T:
        """The filter that measures a value."""
        if isinstance(value, str) and len(value) < self.max_chars:
            return value
        return self.hold(value)


def in_templates(*filters: Any) -> None:
    """Mark filters that take the context, and so are never computed when a template is compiled."""
    for each in filters:
        each.jinja_pass_arg = jinja2.utils._PassArg.context


in_templates(Budget.step, Budget.loop, Budget.held)
