"""What files are called in front of people, where the name within a source is not enough."""

from __future__ import annotations

import glob
import posixpath
from collections.abc import Sequence

from sftdata.read.units import Unit


def distinct_names(units: Sequence[Unit], source_paths: Sequence[str]) -> list[str]:
    """The name of each unit's file: relative to its source, and behind the source's path as configured where another
    file has the same name. So `chat.jsonl:7` never means two rows.
    """
    files: dict[str, set[str]] = {}
    for unit in units:
        files.setdefault(unit.name, set()).add(unit.path)
    return [
        unit.name if len(files[unit.name]) == 1 else _behind(source_paths[unit.source], unit.name) for unit in units
    ]


def _behind(source_path: str, name: str) -> str:
    """The file's path as far as the configuration says it: `chats/a.jsonl` in the source `chats/*.jsonl`."""
    fixed = source_path
    while glob.has_magic(fixed):
        fixed = posixpath.dirname(fixed)
    if fixed == source_path and posixpath.basename(fixed) == name:
        return fixed
    return posixpath.join(fixed, name)
