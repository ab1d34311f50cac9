"""The command line of sfttrain: one module per command."""

from __future__ import annotations

import atexit
import os
import sys
from contextlib import suppress

from sftdata.settings.command_line import command_line
from sfttrain.cli import run

app = command_line("sfttrain", "Train a causal language model on shards written by sftdata.")

app.command(help=run.HELP)(run.run)


def main() -> None:
    """Run the command line. Exit codes: 0 on success, 1 for a user error, 130 after Ctrl-C."""
    try:
        app(prog_name="sfttrain")
    except SystemExit as end:
        if in_process_group() and isinstance(end.code, int):
            end_in_process_group(end.code)
        raise


def in_process_group() -> bool:
    """Whether this process trains with others."""
    if "torch" not in sys.modules:
        return False
    from torch import distributed

    return distributed.is_available() and distributed.is_initialized()


def end_in_process_group(code: int) -> None:
    """Leave the group and end this process with an exit code, past Python's own end.

    A thread of gloo may still free a tensor of the last collective. Where Python is ending meanwhile, that thread asks
    for the interpreter's lock, is ended by CPython (before 3.14), and C++ aborts the whole process after all was saved.
    What modules have asked to be called at the end is called.
    """
    from torch import distributed

    distributed.destroy_process_group()
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)
