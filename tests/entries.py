"""Entries of manifests that tests write."""

from __future__ import annotations

import hashlib
from pathlib import Path

from sftdata.store.manifest import FileEntry


def file_entry(folder: Path, path: str) -> FileEntry:
    """The entry of the file `path` in the folder."""
    data = (folder / path).read_bytes()
    return FileEntry(path=path, size_bytes=len(data), sha256=hashlib.sha256(data).hexdigest())
