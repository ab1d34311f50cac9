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
            names += [_relative(found / name, folder) for name in entries]
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
    for name in sorted(names):
        path = base / name
        if path.is_file():
            by_path.setdefault(Path(os.path.realpath(path)).as_posix(), []).append(name)
        elif (what := what_else(path)) is not None:
            skip(f"{name} ({what})")
    chosen = []
    for real, same in by_path.items():
        first = min(same, key=lambda name: (not is_data(name), posixpath.join(root, name) != real, name))
        chosen.append(first)
        for name in same:
            if name != first and is_data(name):
                skip(f"{name} (is the same file as {first})")
    return sorted(chosen)


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
        names, folders = _list(found)
        links += [found / name for name in folders if (found / name).is_symlink()]
        pending += [found / name for name in folders if not (found / name).is_symlink()]
        yield found, names


def _list(folder: Path) -> tuple[list[str], list[str]]:
    """The names in a folder that are not hidden, sorted: those of all but folders, and those of folders."""
    names: list[str] = []
    folders: list[str] = []
    for path in _visible(folder):
        (folders if path.is_dir() else names).append(path.name)
    return names, folders


def _visible(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.iterdir()) if not path.name.startswith(".")]


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
    paths = sorted(folder.iterdir()) if pattern.startswith(".") else _visible(folder)
    return [path for path in paths if fnmatch.fnmatch(path.name, pattern)]


def _relative(path: Path, base: Path) -> str:
    return posixpath.normpath(path.relative_to(base).as_posix())
