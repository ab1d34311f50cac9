"""The room that copies of files from stores take on this machine together: how much, who uses them, what makes room.

Beside the files of each copy, in a hidden folder, each has a mark, an empty file: its time says when the file was last
asked for, and whoever holds the file has a shared lock on the mark, which ends with the process. A file that is held is
not removed.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from filelock import FileLock

from sftdata.errors import ConfigError, DatasetError, OutputError

try:
    import fcntl
except ImportError:  # on Windows, where a file that is open cannot be removed
    fcntl = None  # type: ignore[assignment]

SIZE_VARIABLE = "SFTDATA_CACHE_GB"
DEFAULT_GB = 100.0
LOCKS = ".locks"
_ABANDONED_S = 600  # for which nothing was written to an unfinished file: who wrote it is gone
_FREE_SPACE = "free some space, or name another folder in SFTDATA_CACHE"


class _File(NamedTuple):
    """A file that may be removed, in the order in which they are."""

    is_own: bool  # of the copy that room is made for
    last_used: int  # nanoseconds
    size: int
    path: Path


def limit_bytes() -> int:
    """How many bytes the files of copies may have together. Raises ConfigError where the variable is not a number."""
    said = os.environ.get(SIZE_VARIABLE) or str(DEFAULT_GB)
    try:
        size = int(float(said) * 1e9)
    except (ValueError, OverflowError) as error:
        raise ConfigError(SIZE_VARIABLE, f"is not a number ({said[:40]!r})", "give gigabytes, such as 50") from error
    if size <= 0:
        raise ConfigError(SIZE_VARIABLE, f"is not above 0 ({said[:40]!r})", "give gigabytes, such as 50")
    return size


def room_bytes(cache: Path) -> int:
    """How many bytes of files there may be in the cache: the limit, or as much as the disk has for them. Raises
    ConfigError.
    """
    _, unwritten, files = _files_in(cache, cache)
    try:
        return min(limit_bytes(), sum(file.size for file in files) + shutil.disk_usage(cache).free - unwritten)
    except FileNotFoundError:
        return limit_bytes()


def more_room(size_bytes: int) -> str:
    """What lets the cache hold this many bytes."""
    return f"let it hold more, with {SIZE_VARIABLE}={math.ceil(size_bytes / 1e9)}"


@contextlib.contextmanager
def room_for(cache: Path, size_bytes: int, using: Path) -> Iterator[None]:
    """Make room for another file, as `make_room` does, and keep it until the block ends: no other process takes the
    same room for its own, if the file has its size by then.
    """
    cache.mkdir(parents=True, exist_ok=True)
    with FileLock(cache / ".room"):
        make_room(cache, size_bytes, using)
        yield


def make_room(cache: Path, size_bytes: int, using: Path) -> None:
    """Remove files of the copies in the cache, those first that were last asked for longest ago, until another one of
    this size fits below the limit and on the disk; those of the copy in use last, but for its manifest and its
    tokenizer, which are kept. So is what is held, and what another process is just writing.

    Raises DatasetError where that does not make room enough; what cannot be enough removes nothing.
    """
    used, unwritten, files = _files_in(cache, using)
    limit, free = limit_bytes(), shutil.disk_usage(cache).free - unwritten
    most = sum(file.size for file in files)
    if used - most + size_bytes > limit or size_bytes > free + most:
        used, files = used - most, []
    for file in sorted(files):
        if used + size_bytes <= limit and size_bytes <= free:
            return
        if _remove(file.path):
            used -= file.size
            free += file.size
    if used + size_bytes > limit:
        what = f"may hold {limit:,} bytes, and {used:,} of them are in use: no room for a file of {size_bytes:,}"
        raise DatasetError(str(cache), what, more_room(used + size_bytes))
    if size_bytes > free:
        what = f"the disk is full: {max(0, free):,} bytes are free, and a copy of a file on a store has {size_bytes:,}"
        raise DatasetError(str(cache), what, _FREE_SPACE)


def lock_of(root: Path, name: str) -> Path:
    """The file that is locked while a file of the copy `root` is fetched. Its folder is made."""
    place = _place_of(root, name)
    place.parent.mkdir(parents=True, exist_ok=True)
    return place


def mark_used(root: Path, name: str) -> None:
    """Note that a file is asked for now. Its own times stay: by them a process knows the file that it has compared."""
    with contextlib.suppress(OSError):  # a cache that others fill may be read-only
        _mark_of(root, name).touch()


def hold(root: Path, name: str) -> BinaryIO | None:
    """Keep a file of the copy `root` from being removed until what is returned is closed, or the process ends.

    None where that cannot be: on Windows, and in a cache that may only be read.
    """
    with contextlib.suppress(OSError):
        lock_of(root, name)
        mark = _mark_of(root, name).open("ab")
        if fcntl is not None:
            fcntl.flock(mark, fcntl.LOCK_SH)
        return mark
    return None


@contextlib.contextmanager
def cache_errors(cache: Path) -> Iterator[None]:
    """Turn errors of this machine's disk into one that says how to name another folder for the cache."""
    try:
        yield
    except OutputError as error:  # of a file that is written whole or not at all
        what = f"cannot hold a copy of a file on a store: {error.what}"
        raise DatasetError(str(cache), what, _FREE_SPACE) from error
    except OSError as error:
        what = f"cannot hold copies of what is on a store ({error.strerror or error})"
        raise DatasetError(str(cache), what, "name another folder in SFTDATA_CACHE") from error


def _files_in(cache: Path, using: Path) -> tuple[int, int, list[_File]]:
    """The bytes of the files of all copies, those of them that are yet to be written, and the files that may be
    removed.
    """
    used, unwritten, files = 0, 0, []
    for path in cache.glob("*/*/*"):
        with contextlib.suppress(OSError):  # another process makes room too
            status = path.stat()
            if path.is_relative_to(using / "tokenizer") or path.parent.name == LOCKS:
                continue
            used += status.st_size
            is_unfinished = path.name.startswith(".") and path.suffix == ".tmp"
            if is_unfinished and hasattr(status, "st_blocks"):  # on Windows, a file takes its size at once
                unwritten += max(0, status.st_size - 512 * status.st_blocks)
            if not is_unfinished or time.time() - status.st_mtime > _ABANDONED_S:
                files.append(_File(path.is_relative_to(using), _last_used(path, status), status.st_size, path))
    return used, unwritten, files


def _remove(path: Path) -> bool:
    """Remove a file, unless someone holds it. Whether it is gone."""
    root = path.parents[1]
    with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
        if fcntl is not None:
            lock_of(root, _name_of(path))
            mark = stack.enter_context(_mark_of(root, _name_of(path)).open("ab"))
            fcntl.flock(mark, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.unlink()
        return True
    return False


def _name_of(path: Path) -> str:
    return path.relative_to(path.parents[1]).as_posix()


def _place_of(root: Path, name: str) -> Path:
    return root / LOCKS / hashlib.sha256(name.encode()).hexdigest()


def _mark_of(root: Path, name: str) -> Path:
    return _place_of(root, name).with_suffix(".used")


def _last_used(path: Path, status: os.stat_result) -> int:
    """When a file was last asked for, or else written, in nanoseconds."""
    try:
        return max(status.st_mtime_ns, _mark_of(path.parents[1], _name_of(path)).stat().st_mtime_ns)
    except OSError:
        return status.st_mtime_ns
