"""`python -m sftdata`, and the program `sftdata`: the processes first, then all else."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from sftdata.engines.aside import Aside
from sftdata.light import can_fork, import_arrow, leave, take_over
from sftdata.machine import count_cores


def main() -> None:
    """Run the command line; exits with 0, 1 after a mistake of the user's, 130 after Ctrl-C."""
    take_over()
    aside = begin_aside(sys.argv[1:])
    if aside is not None:
        # It is needed in any case, and makes thousands of calls. Where the stack is deep already, each of them may
        # cross the end of a block of it, which Python 3.11 then takes from the system and gives back every time.
        import_arrow()
    from sftdata.cli import only

    try:
        only(sys.argv[1:2])(prog_name="sftdata", obj=aside)
    except SystemExit as end:
        leave(end.code)


def begin_aside(arguments: Sequence[str]) -> Aside | None:
    """A process that begins at once to load what encodes, where the command will want it and a core is free."""
    if arguments[:1] != ["prepare"] or not can_fork() or count_cores() < 2:
        return None
    return Aside("sftdata.encoding_here:EncodingHere", "sftdata.encode.foresight:begin", arguments)


if __name__ == "__main__":
    main()
