"""A pager for long output on a terminal: what does not fit on the screen goes through `less`, with its colours."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sftdata.safe.terminal import raw_stream, safe_console

if TYPE_CHECKING:
    from rich.console import Console

_LESS = {"LESS": "FRX", "LESSCHARSET": "utf-8"}  # quit if it fits, pass colours, leave the text on the screen; as git


def pager_command(environment: Mapping[str, str]) -> list[str] | None:
    """The program that shows long output: that of PAGER, or less; None if there is none, or the terminal is dumb."""
    if environment.get("TERM", "dumb") in ("dumb", "unknown"):
        return None
    given = environment.get("PAGER", "less")
    try:
        command = shlex.split(given)
    except ValueError:
        return None
    return command if command and shutil.which(command[0], path=environment.get("PATH")) else None


@contextmanager
def paged(allowed: bool = True) -> Iterator[Console]:
    """A console whose output is shown when the block ends: through a pager if stdout is a terminal that it does not fit
    on, else as it is. Without `allowed` there is no pager.
    """
    console = safe_console()
    is_terminal = raw_stream(sys.stdout).isatty()  # and not made to look like one, as by FORCE_COLOR
    command = pager_command(os.environ) if allowed and is_terminal else None
    if command is None:
        yield console
        return
    with console.capture() as captured:
        yield console
    text = captured.get()
    if text.count("\n") < console.height or not _show(command, text):
        console.file.write(text)
        console.file.flush()


def _show(command: list[str], text: str) -> bool:
    """Give a text to a pager and wait for it to end; whether it could be started."""
    environment = {**_LESS, **os.environ}
    try:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, text=True, encoding="utf-8", env=environment)
    except OSError:
        return False
    try:
        process.communicate(text)
    except (BrokenPipeError, KeyboardInterrupt):  # who quits has seen enough
        process.wait()
    return True
