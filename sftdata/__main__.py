"""`python -m sftdata`, and the program `sftdata`: the processes first, then all else."""

from __future__ import annotations

import sys

from sftdata.engines.aside import Aside
from sftdata.light import can_fork, leave, take_over
from sftdata.machine import count_cores


def main() -> None:
    """Run the command line; exits with 0, 1 after a mistake of the user's, 130 after Ctrl-C."""
    take_over()
    aside = begin_aside(*sys.argv[1:2])
    from sftdata.cli import app

    try:
        app(prog_name="sftdata", obj=aside)
    except SystemExit as end:
        leave(end.code)


def begin_aside(command: str = "") -> Aside | None:
    """A process that begins at once to import what encodes, where the command will want it and a core is free."""
    if command != "prepare" or not can_fork() or count_cores() < 2:
        return None
    return Aside("sftdata.encode.service:EncodingHere")


if __name__ == "__main__":
    main()
