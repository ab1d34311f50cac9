"""Files of a folder, by name: no name leads out of it, and nothing behind a link is written to or removed."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from sftdata.errors import OutputError
from sftdata.files.atomic import atomic_write

_COPY_BYTES = 8 << 20
MAX_NAME_CHARS = 1000


def is_plain_name(name: object) -> bool:
    """Whether this is the name of a file below a folder on every system: parts joined with /, none of them special."""
    if not isinstance(name, str) or not 0 < len(name) <= MAX_NAME_CHARS or set(name) & set("\\:\0"):
        return False
    try:
        name.encode()
    except UnicodeEncodeError:  # a lone surrogate
        return False
    return not {"", ".", ".."} & set(name.split("/"))


def inside(folder: Path, name: str) -> Path:
    """The path of a file below `folder`. What it names may itself be a link, which is to be replaced, never followed.

    Raises OutputError where the name leads out of the folder, or a link lies on the way.
    """
    if not is_plain_name(name):
        what = f"{name[:100]!r} is not the name of a file in it"
        raise OutputError(str(folder), what, "name another folder")
    parts = PurePosixPath(name).parts
    path = folder
    for part in parts[:-1]:
        path /= part
        refuse_link(path)
    return path / parts[-1]


def refuse_link(path: Path) -> None:
    """Raise OutputError where a path is a link: what is behind it belongs to somebody else."""
    if is_link(path):
        what = "is a link, and nothing is written to or removed from what it leads to"
        raise OutputError(str(path), what, "remove the link, or name another folder")


def is_taken(path: Path) -> bool:
    """Whether anything is at this path, be it a link that leads nowhere."""
    return is_link(path) or path.exists()


def is_link(path: Path) -> bool:
    """Whether there is a link at this path, to a file, to a folder or to nothing."""
    is_junction = getattr(os.path, "isjunction", None)  # a link of Windows, which Python knows from 3.12 on
    return path.is_symlink() or (is_junction is not None and is_junction(path))


def refuse_odd(folder: Path) -> None:
    """Raise OutputError where a link, a pipe or a device is below a folder. Links are not followed. Raises OSError."""
    with os.scandir(folder) as entries:
        for entry in entries:
            refuse_link(Path(entry.path))
            if entry.is_dir(follow_symlinks=False):
                refuse_odd(Path(entry.path))
            elif not entry.is_file(follow_symlinks=False):
                raise OutputError(entry.path, "is neither a file nor a folder", "remove it, or name another folder")


def move_into(source: Path, folder: Path, name: str) -> None:
    """Move a file to its place below `folder`, over a file or a link that is there. Raises OutputError, OSError."""
    target = inside(folder, name)
    target.parent.mkdir(parents=True, exist_ok=True)
    move(source, target)


def move(source: Path, target: Path) -> None:
    """Rename a file; on another file system, write it there, where it appears whole or not at all, and remove it here.

    Raises OSError, OutputError.
    """
    try:
        source.replace(target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        with open(source, "rb") as file, atomic_write(target) as sink:
            while data := file.read(_COPY_BYTES):
                sink.write(data)
        source.unlink()


def remove_inside(folder: Path, names: Iterable[str]) -> None:
    """Remove files below `folder`, and folders that are empty without them. Raises OutputError, OSError."""
    names = list(names)
    for name in names:
        inside(folder, name).unlink(missing_ok=True)
    parents = {parent for name in names for parent in PurePosixPath(name).parents} - {PurePosixPath()}
    for parent in sorted(parents, reverse=True):
        remove_if_empty(folder / parent)


def remove_if_empty(folder: Path) -> None:
    """Remove a folder that holds nothing; leave anything else, a link too. Raises OSError."""
    if is_folder(folder) and not any(folder.iterdir()):
        folder.rmdir()


def is_folder(path: Path) -> bool:
    """Whether there is a folder at this path, and not a link to one."""
    try:
        return stat.S_ISDIR(path.lstat().st_mode) and not is_link(path)
    except (FileNotFoundError, NotADirectoryError):
        return False


def is_file(path: Path) -> bool:
    """Whether there is a regular file at this path, and not a link to one."""
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False
