"""Faults of this program while it works on one row: what becomes of them, so that they cost that row and no other.

A fault is an error that nobody raised on purpose. The row is dropped as `internal_error`; the fault goes along with it
as text, the same whatever process met it: its first line is the detail of the row, the others are the traceback.
"""

from __future__ import annotations

import errno
import re
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import PurePath

import pyarrow as pa

from sftdata.errors import SftDataError

INTERNAL_ERROR = "internal_error"
ERROR_LOG = "errors.log"  # in a dataset, with the traceback of each such row; only there if there are any
MAX_SHARE = 0.01  # of the rows, above which a run ends with exit code 1: its dataset is there, and lacks them
# The machine's, not a row's: they end the run, which can be continued.
_OF_MACHINE = {errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EIO}
_MAX_FRAMES, _MAX_MESSAGE = 20, 500
_ADDRESS = re.compile(r"\b0x[0-9A-Fa-f]{4,}")
_FOLDERS = re.compile(r"(?:[A-Za-z]:)?(?:[/\\][^\s/\\'\"]+){2,}[/\\]")


def is_fault(error: BaseException) -> bool:
    """Whether an error is a fault of ours: not one that says what a user can put right, that memory or the disk is
    full, that a module is not there, or that the run is to stop. A panic of a library in Rust is a fault.
    """
    if isinstance(error, (SftDataError, MemoryError, ImportError)):
        return False
    if isinstance(error, OSError) and error.errno in _OF_MACHINE:
        return False
    return isinstance(error, Exception) or type(error).__name__ == "PanicException"


def fault_text(error: BaseException) -> str:
    """A fault as text. It has no addresses and no folders of this machine, and no more of a message than its start.

    How deep a recursion went depends on what was called before, so only its beginning is told.
    """
    frames = traceback.extract_tb(error.__traceback__)
    name = type(error).__name__
    if isinstance(error, RecursionError):
        return "\n".join([name, *(_frame_line(frame) for frame in frames[:2])])
    where = f" at {_place(frames[-1].filename)}:{frames[-1].lineno}" if frames else ""
    lines = [_frame_line(frame) for frame in frames[-_MAX_FRAMES:]]
    message = _FOLDERS.sub("", _ADDRESS.sub("0x...", _message(error)))
    return "\n".join([f"{name}{where}", *lines, f"{name}: {message}"])


def detail_of(fault: str) -> str:
    """What the ledger says of a row with this fault."""
    return fault.partition("\n")[0]


@contextmanager
def going_without(what: str, say: Callable[[str], None]) -> Iterator[None]:
    """Go on where the block meets a fault: what it looks for is help, which no row depends on. `say` is told."""
    try:
        yield
    except BaseException as error:
        if not is_fault(error):
            raise
        say(f"{what}: not found, for a fault of sftdata ({detail_of(fault_text(error))}); please report it")


def by_halves(
    function: Callable[[pa.Table], pa.Table], table: pa.Table, of_row: Callable[[pa.Table, str], pa.Table]
) -> Iterator[pa.Table]:
    """The result for all rows of a table; or, where that meets a fault, for its halves, and so on: so a fault costs the
    row that has it, for which `of_row` makes the result from its table and the text of the fault.
    """
    try:
        result = function(table)
    except BaseException as error:
        if table.num_rows == 0 or not is_fault(error):
            raise
        fault = fault_text(error)
    else:
        yield result
        return
    if table.num_rows == 1:
        yield of_row(table, fault)
        return
    middle = table.num_rows // 2
    for half in (table.slice(0, middle), table.slice(middle)):
        yield from by_halves(function, half, of_row)


def _frame_line(frame: traceback.FrameSummary) -> str:
    line = f"  {_place(frame.filename)}:{frame.lineno} in {frame.name}"
    return f"{line}\n    {frame.line}" if frame.line else line


def _place(filename: str) -> str:
    """A file of a program without the folders that it is installed in."""
    parts = PurePath(filename).parts
    for name in ("site-packages", "dist-packages", "sftdata"):
        if name in parts:
            last = len(parts) - 1 - parts[::-1].index(name)
            return "/".join(parts[last + (name != "sftdata") :])
    return parts[-1] if parts else filename


def _message(error: BaseException) -> str:
    """The beginning of an error's message, on one line, with nothing that a terminal obeys."""
    try:
        text = str(error)[:_MAX_MESSAGE]
    except BaseException as another:
        if not is_fault(another):
            raise
        return ""
    return "".join(char if char.isprintable() else " " if char.isspace() else "?" for char in text)
