"""Where this machine keeps what belongs to datasets on stores: work in progress, and copies of files that were read."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

CACHE_VARIABLE = "SFTDATA_CACHE"


def cache_folder() -> Path:
    """The folder that SFTDATA_CACHE names; else `sftdata` in the user's folder for caches."""
    if named := os.environ.get(CACHE_VARIABLE):
        return Path(named).expanduser()
    home = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(home).expanduser() / "sftdata"


def name_for(address: str) -> str:
    """A name for what belongs to an address: its last part, and a checksum, so that no two addresses share one."""
    last = "".join(char if char.isalnum() or char in "-_." else "-" for char in address.rstrip("/").rpartition("/")[2])
    return f"{last.strip('.')[:40] or 'dataset'}-{hashlib.sha256(address.encode()).hexdigest()[:16]}"
