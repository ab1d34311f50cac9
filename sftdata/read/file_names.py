"""The names of files that users see, unique across sources."""

from __future__ import annotations

import glob
import posixpath
from collections.abc import Sequence

from sftdata.read.units import Unit


def distinct_names(units: Sequence[Unit], source_paths: Sequence[str]) -> list[str]:
    """The name of each unit's file: relative to its source, or with the source's path as configured if another file has
    the same name. So `chat.jsonl:7` never means two rows.
    """
    files: dict[str, set[str]] = {}
    for unit in units:
        files.setdefault(unit.name, set()).add(unit.path)
    return [
        unit.name if len(files[unit.name]) == 1 else _with_source_path(source_paths[unit.source], unit.name)
        for unit in units
    ]


def _with_source_path(source_path: str, name: str) -> str:
    """The source's path before its first wildcard, and the file's name: `chats/a.jsonl` for `chats/*.jsonl`."""
    folder = before_wildcard(source_path)
    if folder == source_path and posixpath.basename(folder) == name:
        return folder
    return posixpath.join(folder, name)


def before_wildcard(path: str) -> str:
    """The folders of a path before its first wildcard; the path itself if it has none."""
    while glob.has_magic(path):
        path = posixpath.dirname(path)
    return path
