"""The head of a page that sfttrain writes: of which command it is, and the checksum of what follows.

So a page is replaced where it is as it was written, and one that somebody has changed is kept.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from sftdata.errors import OutputError
from sftdata.files.atomic import output_errors
from sftdata.files.report_files import read_head

REPORT, EVAL, FIND_LR = "report", "eval", "find-lr"  # the commands that write pages
_MARK = re.compile(rb"<!doctype html>\n<!-- sfttrain ([a-z-]+), sha256 ([0-9a-f]{64}) -->\n")


def with_mark(command: str, body: bytes) -> bytes:
    """A page of a command, with its head."""
    return f"<!doctype html>\n<!-- sfttrain {command}, sha256 {hashlib.sha256(body).hexdigest()} -->\n".encode() + body


def check_own(path: Path, command: str, todo: str) -> None:
    """Raise OutputError where what is at a path is not a page of this command, as it was written."""
    with output_errors(path):
        found = read_head(path, _MARK)
    if found is None or found[0][1] != command.encode() or not found[1]:
        what = f"was not written by `sfttrain {command}`, or has changed since, so it is kept"
        raise OutputError(str(path), what, todo)
