"""Folders of this machine that are copies of folders on a store, where a file comes when it is first asked for.

Whoever opens a file of a dataset asks `ensure` first, which does nothing for every other folder.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from sftdata.errors import call_folder


class Copied(Protocol):
    """What fills a copy."""

    @property
    def address(self) -> str:
        """The address of the folder on the store, as it may be shown."""
        ...

    def fetch(self, name: str) -> None:
        """Make the file of this name be there, whole, if the store has it. Raises DatasetError."""
        ...

    def names(self) -> list[str]:
        """All files of the folder on the store. Raises DatasetError."""
        ...

    def send(self, name: str) -> None:
        """Write a file of the copy to the store. Raises DatasetError."""
        ...


_copies: dict[Path, Copied] = {}


def register(folder: Path, copied: Copied) -> None:
    """Say that a folder is a copy. Its path is absolute and has no links."""
    _copies[folder] = copied
    call_folder(str(folder), copied.address)


def copy_of(folder: str | Path) -> Copied | None:
    """What a folder is a copy of; None if it is an ordinary one."""
    return _copies.get(Path(folder)) if _copies else None


def ensure(path: str | Path) -> None:
    """Let a file of a copy come from the store, if it is not there yet."""
    found = _place(path) if _copies else None
    if found is not None:
        found[0].fetch(found[1])


def send(path: str | Path) -> None:
    """Write a file of a copy to the store too."""
    found = _place(path) if _copies else None
    if found is not None:
        found[0].send(found[1])


def name_of(folder: Path) -> str:
    """What a dataset is called: the last part of its folder, or of its address."""
    copied = copy_of(folder)
    return folder.resolve().name if copied is None else copied.address.rstrip("/").rpartition("/")[2]


def _place(path: str | Path) -> tuple[Copied, str] | None:
    path = Path(path)
    for parent in path.parents:
        if (copied := _copies.get(parent)) is not None:
            return copied, path.relative_to(parent).as_posix()
    return None
