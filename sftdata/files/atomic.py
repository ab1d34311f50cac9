"""Atomic file writes with checksums: a file is complete or absent."""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, cast

from sftdata.errors import OutputError

# errno -> (what is wrong, hint)
_MESSAGES = {
    errno.ENOSPC: ("the disk is full", "free some space or choose another output folder, then run again"),
    errno.EDQUOT: ("your disk quota is exceeded", "free some space or choose another output folder, then run again"),
    errno.EFBIG: (
        "the file would exceed the file size limit",
        "raise it (ulimit -f), or choose another output folder",
    ),
    errno.EROFS: ("the file system is read-only", "choose another output folder"),
    errno.EACCES: ("permission denied", "choose another output folder, or change its permissions"),
    errno.EPERM: ("permission denied", "choose another output folder, or change its permissions"),
    errno.ENOTDIR: ("a part of this path is a file, not a folder", "choose another output folder"),
    errno.EISDIR: ("a folder with the name of the output file exists", "choose another output folder"),
    errno.EEXIST: ("a file with the name of the output folder exists", "choose another output folder"),
    errno.ENAMETOOLONG: ("the path is too long for this file system", "choose another output folder"),
    errno.ENOENT: ("the folder is gone, or cannot be made", "choose another output folder, or run again"),
    errno.ELOOP: ("a link in this path leads back to itself", "choose another output folder"),
    errno.EIO: ("the disk reports an I/O error", "check the disk, or choose another output folder"),
}
MAX_MANIFEST_BYTES = 32 << 20  # enough for 100,000 shards
MANIFEST_NAME = "manifest.json"  # the file that makes a folder a dataset; written last
_READ_BYTES = 1 << 20
CACHED_BYTES = 64 << 20  # of the end of a file being written that may stay in the page cache
LARGE_BYTES = 1 << 20  # from this size on, a write is hashed in a second thread


class Sink:
    """A file being written. Counts and hashes the bytes on the way, so that the file need not be read again."""

    def __init__(self, file: BinaryIO, hashing: Executor) -> None:
        self._file = file
        self._hashing = hashing
        self._digest = hashlib.sha256()
        self.size_bytes = 0
        self.closed = False

    def write(self, data: bytes | memoryview) -> int:
        """Write all of `data`. Raises OSError if the operating system cannot."""
        view = memoryview(data).cast("B")
        if view.nbytes < LARGE_BYTES:
            self._digest.update(view)
            self._file.write(view)
        else:
            hashed = self._hashing.submit(self._digest.update, view)
            self._file.write(view)
            self._start_sync(view.nbytes)
            hashed.result()
        self.size_bytes += view.nbytes
        return view.nbytes

    def reserve(self, size_bytes: int) -> None:
        """Let the file have this size from now on, before it is written: who counts the bytes in its folder sees it."""
        self._file.truncate(size_bytes)

    def _start_sync(self, size: int) -> None:
        """Start to flush the bytes just written, so that the final fsync has little left to do.

        Bytes written CACHED_BYTES ago are on disk by now and are evicted from the page cache, so that large files do
        not fill it.
        """
        if hasattr(os, "posix_fadvise"):
            self._file.flush()
            with suppress(OSError):  # not every file system supports it
                for start in (self.size_bytes, self.size_bytes - CACHED_BYTES):
                    if start >= 0:
                        os.posix_fadvise(self._file.fileno(), start, size, os.POSIX_FADV_DONTNEED)

    def tell(self) -> int:
        """The number of bytes written so far."""
        return self.size_bytes

    def flush(self) -> None:
        """Pass buffered bytes to the operating system."""
        self._file.flush()

    def readable(self) -> bool:
        """False: a sink can only be written."""
        return False

    def writable(self) -> bool:
        """True."""
        return True

    def seekable(self) -> bool:
        """False: the checksum depends on the order of the writes."""
        return False

    def close(self) -> None:
        """Do nothing: `atomic_write` closes the file once it is on disk."""

    @property
    def sha256(self) -> str:
        """The checksum of the bytes written so far, in hex."""
        return self._digest.hexdigest()


@contextmanager
def atomic_write(path: str | Path) -> Iterator[Sink]:
    """Write a file that appears under its name when the block ends, complete or not at all.

    The bytes go to a hidden file in the same folder, which is flushed to disk and then renamed. If the block ends
    early (an exception, Ctrl-C), the hidden file is removed and an existing file of that name is left unchanged.
    Missing folders are created. Raises OutputError if the file cannot be written, for example because the disk is full.
    """
    path = Path(path)
    hidden = unfinished_name(path)
    with output_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with open(hidden, "xb") as file, ThreadPoolExecutor(1) as hashing:
                sink = Sink(cast(BinaryIO, file), hashing)
                yield sink
                file.flush()
                os.fsync(file.fileno())
            hidden.replace(path)
        finally:
            hidden.unlink(missing_ok=True)
        sync_folder(path.parent)


def unfinished_name(path: Path) -> Path:
    """A name beside `path` for a file that is not whole yet. No other process has it, on any machine: two may write
    the same file where a node was thought to be lost.
    """
    return path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")


def make_zeros(path: str | Path, size_bytes: int) -> None:
    """Make a file of zeros to be mapped into memory, with its room on the disk. Who writes to a mapped file without
    room is ended by the system at once. Raises OutputError where there is none.
    """
    with output_errors(path), open(path, "wb") as file:
        file.truncate(size_bytes)
        if hasattr(os, "posix_fallocate") and size_bytes:
            try:
                os.posix_fallocate(file.fileno(), 0, size_bytes)
            except OSError as error:
                if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # file systems that cannot
                    raise


def write_bytes(path: str | Path, data: bytes) -> str:
    """Write `data` to a file with `atomic_write` and return its sha256."""
    with atomic_write(path) as sink:
        sink.write(data)
    return sink.sha256


@contextmanager
def output_errors(path: str | Path) -> Iterator[None]:
    """Turn operating system errors that a user can fix into an OutputError about `path`.

    Other exceptions pass through unchanged.
    """
    try:
        yield
    except OSError as error:
        message = _MESSAGES.get(error.errno or 0)
        if message is None:
            raise
        raise OutputError(str(path), *message) from error


def file_sha256(path: str | Path) -> str:
    """The sha256 of a file in hex, read in chunks. Raises OSError if it cannot be read."""
    digest = hashlib.sha256()
    buffer = bytearray(_READ_BYTES)
    view = memoryview(buffer)
    with open(path, "rb", buffering=0) as file:
        while count := file.readinto(buffer):
            digest.update(view[:count])
    return digest.hexdigest()


def sync_folder(folder: Path) -> None:
    """Make a rename survive a power failure, on systems where a folder can be flushed."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF):  # network file systems that do not support it
            raise
    finally:
        os.close(descriptor)
