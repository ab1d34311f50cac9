"""What a run shows of its steps: on a terminal a live view of three lines, else a line for each."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Protocol

from sftdata.safe.terminal import safe_console
from sfttrain.hardware import process_bytes
from sfttrain.say import duration, on_terminal, say
from sfttrain.watch.pace import Speed

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

_DRAW_EVERY = 0.1  # seconds
_BARS = "▁▂▃▄▅▆▇█"
MAX_SPARKS = 40  # characters of a loss curve


@dataclass(frozen=True, slots=True)
class Step:
    """What is shown of a logged step."""

    step: int
    max_steps: int
    loss: float
    learning_rate: float
    speed: Speed

    @property
    def in_words(self) -> str:
        """One line."""
        line = f"{self.count}  loss {self.loss:.4f}  lr {self.learning_rate:.2e}  {self.speed_in_words}"
        return f"{line}  {duration(self.speed.seconds_left)} left" if self.step < self.max_steps else line

    @property
    def count(self) -> str:
        """`step 3/100`."""
        return f"step {self.step:,}/{self.max_steps:,}"

    @property
    def speed_in_words(self) -> str:
        """`2,250 tokens/s (580 trained)`."""
        return f"{self.speed.tokens_per_second:,.0f} tokens/s ({self.speed.trained_tokens_per_second:,.0f} trained)"


class View(Protocol):
    """Shows the steps of a run while it is entered."""

    def __enter__(self) -> View: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def step(self, step: Step) -> None:
        """A step was logged."""

    def validated(self, loss: float) -> None:
        """A validation gave this loss."""


def make_view(earlier: Sequence[float] = (), *, is_main: bool = True) -> View:
    """The view for this process and its stderr. `earlier` are the losses of the steps before a run that continues."""
    if not is_main:
        return Silent()
    if on_terminal():
        console = safe_console(stderr=True)
        if console.is_interactive:  # not a dumb terminal, nor one that TTY_INTERACTIVE=0 says is none
            return Live(console, earlier)
    return Lines()


class Silent:
    """Shows nothing: the processes besides the main one."""

    def __enter__(self) -> Silent:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Do nothing."""

    def step(self, step: Step) -> None:
        """Do nothing."""

    def validated(self, loss: float) -> None:
        """Do nothing."""


class Lines(Silent):
    """A line for each logged step: `trainer.logging_steps` says which are."""

    def step(self, step: Step) -> None:
        """Print the line."""
        say(step.in_words)


class Live(Silent):
    """Three lines at the bottom of a terminal that are drawn again. What else is printed meanwhile goes above them.

    At the end the lines are cleared, and the last step is left as one line. A terminal that is gone ends no run.
    """

    def __init__(self, console: Console, earlier: Sequence[float] = ()) -> None:
        from rich.live import Live as RichLive

        # No thread of its own, which could still be there when Python ends.
        self._live = RichLive(console=console, auto_refresh=False, transient=True, vertical_overflow="crop")
        self._console, self._losses = console, list(earlier)
        self._last: Step | None = None
        self._validation: float | None = None
        self._drawn, self._is_shown = -math.inf, False

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._is_shown:
            with suppress(OSError, ValueError):
                self._live.stop()
        if self._last is not None:
            say(self._last.in_words)

    def step(self, step: Step) -> None:
        """Draw the lines again, if they are old enough."""
        self._losses.append(step.loss)
        self._last = step
        now = time.monotonic()
        if now - self._drawn >= _DRAW_EVERY or step.step >= step.max_steps:
            self._drawn = now
            self._draw()

    def validated(self, loss: float) -> None:
        """Remember it."""
        self._validation = loss

    def _draw(self) -> None:
        with suppress(OSError, ValueError):
            if not self._is_shown:
                self._is_shown = True
                self._live.start()
            self._live.update(self.shown(), refresh=True)

    def shown(self) -> Text:
        """The lines, each cut to the width of the terminal."""
        from rich.text import Text

        assert self._last is not None, "a step was logged"
        sparks = min(MAX_SPARKS, self._console.width - 40) if can_draw(self._console.encoding) else 0
        lines = lines_of(self._last, self._losses, self._validation, memory_bytes(), sparks)
        text = Text("\n".join(lines), no_wrap=True, overflow="ellipsis")
        text.stylize("bold", 2, 2 + len(self._last.count))
        return text


def lines_of(
    step: Step, losses: Sequence[float], validation: float | None, memory: int | None, sparks: int
) -> list[str]:
    """The three lines of the live view; the loss curve has at most `sparks` characters."""
    share = f"{step.step / max(step.max_steps, 1):.0%}"
    left = [f"{duration(step.speed.seconds_left)} left"] if step.step < step.max_steps else []
    loss = [f"loss {step.loss:.4f}", *filter(None, [sparkline(losses, sparks)])]
    loss += [f"validation {validation:.4f}"] if validation is not None else []
    speed = [f"lr {step.learning_rate:.2e}", step.speed_in_words]
    speed += [f"memory {memory / 1e9:.1f} GB"] if memory is not None else []
    return [f"  {'  '.join(parts)}" for parts in ([step.count, share, *left], loss, speed)]


def sparkline(values: Sequence[float], width: int) -> str:
    """Values as at most `width` bars, the means of stretches, from the lowest to the highest of them."""
    known = [value for value in values if math.isfinite(value)]
    count = min(width, len(known))
    if count < 2:
        return ""
    means = []
    for number in range(count):
        stretch = known[len(known) * number // count : len(known) * (number + 1) // count]
        means.append(sum(stretch) / len(stretch))
    low, high = min(means), max(means)
    if high == low:
        return _BARS[len(_BARS) // 2] * count
    return "".join(_BARS[min(int((mean - low) / (high - low) * len(_BARS)), len(_BARS) - 1)] for mean in means)


def can_draw(encoding: str) -> bool:
    """Whether bars can be written in this encoding."""
    try:
        _BARS.encode(encoding)
    except (LookupError, UnicodeError):
        return False
    return True


def memory_bytes() -> int | None:
    """What this process holds: of the memory of its GPU where there is one, else of the machine's; None if unknown."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        return int(torch.cuda.memory_reserved())
    return process_bytes("VmRSS")
