"""What a run says. Nothing that is said can end a run, or control the terminal."""

from __future__ import annotations

import sys
from contextlib import suppress

from sftdata.safe.terminal import printable


def say(text: str) -> None:
    """Lines on stderr. A stderr that is closed, full or not UTF-8 is no reason to stop training."""
    with suppress(OSError, ValueError, RuntimeError):  # RuntimeError: a signal came while another line was printed
        print(printable(text), file=sys.stderr, flush=True)


def on_terminal() -> bool:
    """Whether someone sees what is said as it is said."""
    try:
        return sys.stderr.isatty()
    except (AttributeError, OSError, ValueError):  # closed
        return False
