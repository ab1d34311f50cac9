"""What tests ask about processes."""

from __future__ import annotations

import os
from pathlib import Path


def is_alive(pid: int) -> bool:
    """Whether a process is there and has not ended."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    if not Path("/proc/self/stat").exists():
        return True
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


def read_terminal(above: int, below: int) -> bytes:
    """All that a process writes to its end of a pseudo-terminal, `below`, until it ends. Closes both ends."""
    os.close(below)
    said = b""
    while True:
        try:
            part = os.read(above, 1 << 16)
        except OSError:  # the other end is closed
            break
        if not part:
            break
        said += part
    os.close(above)
    return said
