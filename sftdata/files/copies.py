"""Folders of this machine that are copies of folders on a store, where a file comes when it is first asked for.

Whoever opens a file of a dataset, or of the work of a run, asks `ensure` first, and calls `send` for a file that it has
written. Both do nothing for every other folder.
"""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol


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

    def remove(self, name: str) -> None:
        """Remove a file from the store. Raises DatasetError."""
        ...


_THREADS = 8  # that fetch: a store answers late, but many at once
_copies: dict[Path, Copied] = {}


def register(folder: Path, copied: Copied) -> None:
    """Say that a folder is a copy. Its path is absolute and has no links."""
    _copies[folder] = copied


def forget(folder: Path) -> None:
    """Say that a folder is no copy any more."""
    _copies.pop(folder, None)


def copy_of(folder: str | Path) -> Copied | None:
    """What a folder is a copy of; None if it is an ordinary one."""
    return _copies.get(Path(folder)) if _copies else None


def ensure(path: str | Path) -> None:
    """Let a file of a copy come from the store, if it is not there yet."""
    found = _place(path) if _copies else None
    if found is not None:
        found[0].fetch(found[1])


def ensure_all(paths: Iterable[Path]) -> None:
    """`ensure` for each file, several at a time."""
    if not _copies:
        return
    missing = [path for path in dict.fromkeys(paths) if not path.exists()]
    with ThreadPoolExecutor(_THREADS) as threads:
        list(threads.map(ensure, missing))


def listed(folder: Path) -> set[Path] | None:
    """The files on the store of the copy that a folder belongs to, by their paths here; None for an ordinary folder."""
    for root, copied in _copies.items():
        if folder.is_relative_to(root):
            return {root / name for name in copied.names()}
    return None


def send(path: str | Path) -> None:
    """Write a file of a copy to the store too."""
    found = _place(path) if _copies else None
    if found is not None:
        found[0].send(found[1])


def remove(path: Path) -> None:
    """Remove a file of a copy from the store."""
    found = _place(path) if _copies else None
    if found is not None:
        found[0].remove(found[1])


def address_of(path: Path) -> str:
    """What every machine can open a file by: its address, for one of a copy; else its path."""
    found = _place(path) if _copies else None
    return str(path) if found is None else f"{found[0].address}/{found[1]}"


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
