"""The files of a local folder or pattern: each once, by its real path, and everything that is not read by its name.

Links to folders are followed, but no folder is visited twice, so that a loop of links ends. Hidden files and folders
are left out, as a shell leaves them out. A folder that cannot be listed is an error: it may hold data.
"""

from __future__ import annotations

import contextlib
import fnmatch
import glob
import os
import posixpath
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from sftdata.read.readers.open_files import unreadable

Skip = Callable[[str], None]  # called with a name and what it is, as `pipe.jsonl (is a named pipe)`
_KINDS = (
    (stat.S_ISFIFO, "is a named pipe"),
    (stat.S_ISSOCK, "is a socket"),
    (stat.S_ISCHR, "is a device"),
    (stat.S_ISBLK, "is a device"),
)


def files_below(folder: Path, is_data: Callable[[str], bool], skip: Skip) -> list[str]:
    """The names of all files below a folder, relative to it. Raises SourceError if a folder cannot be listed.

    Of several names of one file, one is returned, if possible one that `is_data`.
    """
    names = []
    with _readable(folder):
        for found, entries in _folders_below(folder, folder, skip):
            inside = _relative(found, folder)
            names += entries if inside == "." else [f"{inside}/{name}" for name in entries]
        return _regular(folder, names, is_data, skip)


def files_matching(pattern: str, is_data: Callable[[str], bool], skip: Skip) -> tuple[Path, list[str]]:
    """The folder before the first wildcard of a pattern, and the files that match, as `files_below` returns them."""
    base = Path(pattern)
    while glob.has_magic(str(base)):
        base = base.parent
    parts = Path(pattern).parts[len(base.parts) :]
    with _readable(base):
        found = dict.fromkeys(_relative(path, base) for path in _matching(base, parts, base, skip))
        folders = {name for name in found if (base / name).is_dir()}
        for name in sorted(folders):
            skip(f"{name}/ (is a folder, and the pattern names files)")
        return base, _regular(base, [name for name in found if name not in folders], is_data, skip)


def what_else(path: Path) -> str | None:
    """What an existing path is that is no file and no folder; None if it is one of them, or does not exist."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return "is a link to nothing" if path.is_symlink() else None
    return next((what for is_kind, what in _KINDS if is_kind(mode)), None)


@contextlib.contextmanager
def _readable(base: Path) -> Iterator[None]:
    """Turn failures of the disk into SourceError with the name of the folder or file."""
    try:
        yield
    except OSError as error:
        raise unreadable(str(error.filename or base), error) from error


def _regular(base: Path, names: Iterable[str], is_data: Callable[[str], bool], skip: Skip) -> list[str]:
    """Those of the names that are files, one for each real path, sorted."""
    by_path: dict[str, list[str]] = {}
    root = Path(os.path.realpath(base)).as_posix()
    real_folders: dict[str, str] = {}  # there may be very many files: each is looked at once
    for name in sorted(names):
        inside = posixpath.dirname(name)
        if inside not in real_folders:
            real_folders[inside] = Path(os.path.realpath(base / inside)).as_posix()
        real = _real_file(base / name, real_folders[inside])
        if real is not None:
            by_path.setdefault(real, []).append(name)
        elif (what := what_else(base / name)) is not None:
            skip(f"{name} ({what})")
    chosen = []
    for real, same in by_path.items():
        if len(same) == 1:
            chosen += same
            continue
        first = min(same, key=lambda name: (not is_data(name), posixpath.join(root, name) != real, name))
        chosen.append(first)
        for name in same:
            if name != first and is_data(name):
                skip(f"{name} (is the same file as {first})")
    return sorted(chosen)


def _real_file(path: Path, real_folder: str) -> str | None:
    """The real path of a file in a folder with this real path; None if it is no file, or not there."""
    try:
        is_link = not stat.S_ISREG(path.lstat().st_mode)
    except OSError:
        is_link = True
    if is_link:
        return Path(os.path.realpath(path)).as_posix() if path.is_file() else None
    return posixpath.join(real_folder, path.name)


def _folders_below(folder: Path, base: Path, skip: Skip) -> Iterator[tuple[Path, list[str]]]:
    """A folder and all below it, each with the names of what is in it but folders. Linked folders come last."""
    pending, links, seen = [folder], list[Path](), set[str]()
    while pending or links:
        is_link = not pending
        found = pending.pop(0) if pending else links.pop(0)
        real = os.path.realpath(found)
        if real in seen:
            if is_link:
                skip(f"{_relative(found, base)}/ (links to a folder that is read already)")
            continue
        seen.add(real)
        names = []
        for entry in _visible(found):
            if not (Path(entry.path) if entry.is_symlink() else entry).is_dir():
                names.append(entry.name)
            else:
                (links if entry.is_symlink() else pending).append(found / entry.name)
        yield found, names


def _visible(folder: Path, *, hidden: bool = False) -> list[os.DirEntry[str]]:
    """What is in a folder, sorted by name; hidden files and folders only if they are asked for."""
    with os.scandir(folder) as entries:
        found = [entry for entry in entries if hidden or not entry.name.startswith(".")]
    return sorted(found, key=lambda entry: entry.name)


def _matching(folder: Path, parts: Sequence[str], base: Path, skip: Skip) -> Iterator[Path]:
    """What matches the parts of a pattern below a folder."""
    part, rest = parts[0], parts[1:]
    if part == "**":
        for found, names in [*_folders_below(folder, base, skip)]:
            if rest:
                yield from _matching(found, rest, base, skip)
            else:
                yield from (found / name for name in names)
    elif not glob.has_magic(part):
        path = folder / part
        if path.exists() or path.is_symlink():
            yield from _matching(path, rest, base, skip) if rest else [path]
    elif folder.is_dir():
        for path in _children(folder, part):
            if not rest:
                yield path
            elif path.is_dir():
                yield from _matching(path, rest, base, skip)


def _children(folder: Path, pattern: str) -> list[Path]:
    """What in a folder matches a pattern without slashes; hidden files only if the pattern names them."""
    entries = _visible(folder, hidden=pattern.startswith("."))
    return [folder / entry.name for entry in entries if fnmatch.fnmatch(entry.name, pattern)]


def _relative(path: Path, base: Path) -> str:
    return posixpath.normpath(path.relative_to(base).as_posix())
