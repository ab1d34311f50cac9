"""What a run says, and how durations are said. Nothing that is said can end a run, or control the terminal."""

from __future__ import annotations

import sys
from contextlib import suppress

from sftdata.safe.terminal import printable


def say(text: str) -> None:
    """Lines on stderr. A stderr that is closed, full or not UTF-8 is no reason to stop training."""
    with suppress(OSError, ValueError, RuntimeError):  # RuntimeError: a signal came while another line was printed
        print(printable(text), file=sys.stderr, flush=True)


def duration(seconds: float) -> str:
    """`0.31 s`, `45 s`, `12 min 30 s`, `3 h`, `3 h 05 min`, `2 d 03 h`."""
    if seconds < 9.95:
        return f"{seconds:.2g} s"
    whole = round(min(seconds, 1e9))
    for size, unit, part, name in ((86_400, "d", 3_600, "h"), (3_600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= (2 * size if unit == "d" else size):
            rest = whole % size // part
            return f"{whole // size:,} {unit}" + (f" {rest:02} {name}" if rest else "")
    return f"{whole} s"


def on_terminal() -> bool:
    """Whether someone sees what is said as it is said."""
    try:
        return sys.stderr.isatty()
    except (AttributeError, OSError, ValueError):  # closed
        return False
