"""Writing a file so that it is whole or absent, and knowing its checksum."""

from __future__ import annotations

import errno
import hashlib
import itertools
import os
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, cast

from sftdata.errors import OutputError

# What the machine says -> what we say: (what, what to do).
_FAULTS = {
    errno.ENOSPC: ("the disk is full", "free some space or choose another output folder, then run again"),
    errno.EDQUOT: ("your disk quota is used up", "free some space or choose another output folder, then run again"),
    errno.EFBIG: ("the file would be larger than is allowed here", "raise the limit (ulimit -f), or write elsewhere"),
    errno.EROFS: ("the file system is read-only", "choose another output folder"),
    errno.EACCES: ("you may not write here", "choose another output folder, or change its permissions"),
    errno.EPERM: ("you may not write here", "choose another output folder, or change its permissions"),
    errno.ENOTDIR: ("a part of this path is a file, not a folder", "choose another output folder"),
    errno.EISDIR: ("a folder stands where a file is to be written", "choose another output folder"),
    errno.EEXIST: ("a file stands where a folder is to be made", "choose another output folder"),
    errno.ENAMETOOLONG: ("the path is too long for this file system", "choose another output folder"),
    errno.EIO: ("the disk reports an error", "check the disk, or choose another output folder"),
}
MANIFEST_NAME = "manifest.json"  # of the file that makes a folder a dataset; written last
_READ_BYTES = 1 << 20
KEPT_BYTES = 64 << 20  # at the end of a file being written that the system keeps in memory
LARGE_BYTES = 1 << 20  # from where a write and its checksum are worth a thread each
_serial = itertools.count()


class Sink:
    """A file being written: passes bytes on, and counts and hashes them, so that nobody need read them again."""

    def __init__(self, file: BinaryIO, hashing: Executor) -> None:
        self._file = file
        self._hashing = hashing
        self._digest = hashlib.sha256()
        self.size_bytes = 0
        self.closed = False

    def write(self, data: bytes | memoryview) -> int:
        """Write all of `data`. Raises OSError where the machine cannot."""
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

    def _start_sync(self, size: int) -> None:
        """Let the system put the bytes just written on the disk now, so that the last fsync has little to wait for.

        Bytes written KEPT_BYTES ago are on the disk by now and leave memory, so that large files do not take all that
        the system has for files.
        """
        if hasattr(os, "posix_fadvise"):
            self._file.flush()
            with suppress(OSError):  # not every file system takes advice
                for start in (self.size_bytes, self.size_bytes - KEPT_BYTES):
                    if start >= 0:
                        os.posix_fadvise(self._file.fileno(), start, size, os.POSIX_FADV_DONTNEED)

    def tell(self) -> int:
        """The number of bytes written so far."""
        return self.size_bytes

    def flush(self) -> None:
        """Hand what is buffered to the operating system."""
        self._file.flush()

    def readable(self) -> bool:
        """No: a sink only takes."""
        return False

    def writable(self) -> bool:
        """Yes."""
        return True

    def seekable(self) -> bool:
        """No: the checksum follows the order of writing."""
        return False

    def close(self) -> None:
        """Nothing: `atomic_write` closes the file, once it is safely on the disk."""

    @property
    def sha256(self) -> str:
        """The checksum of the bytes written so far, in hex."""
        return self._digest.hexdigest()


@contextmanager
def atomic_write(path: str | Path) -> Iterator[Sink]:
    """Write a file that appears whole under its name when the block ends, or not at all.

    The bytes go to a hidden file beside it, are flushed to the disk, and are renamed. Whatever ends the block early
    (a fault, Ctrl-C) removes the hidden file and leaves an older file of that name as it was. The folder is made where
    it is absent. Raises OutputError where the disk is full, the folder cannot be written and the like.
    """
    path = Path(path)
    hidden = path.with_name(f".{path.name}.{os.getpid()}-{next(_serial)}.tmp")
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


def write_bytes(path: str | Path, data: bytes) -> str:
    """Write `data` as a whole file (see `atomic_write`) and give its sha256."""
    with atomic_write(path) as sink:
        sink.write(data)
    return sink.sha256


@contextmanager
def output_errors(path: str | Path) -> Iterator[None]:
    """Turn what the machine says when it cannot write into an OutputError about `path`.

    Other faults pass through unchanged: they are not the user's.
    """
    try:
        yield
    except OSError as error:
        fault = _FAULTS.get(error.errno or 0)
        if fault is None:
            raise
        raise OutputError(str(path), *fault) from error


def file_sha256(path: str | Path) -> str:
    """The sha256 of a file in hex, read in pieces. Raises OSError where it cannot be read."""
    digest = hashlib.sha256()
    buffer = bytearray(_READ_BYTES)
    view = memoryview(buffer)
    with open(path, "rb", buffering=0) as file:
        while count := file.readinto(buffer):
            digest.update(view[:count])
    return digest.hexdigest()


def sync_folder(folder: Path) -> None:
    """Make a rename last through a power cut, on systems where a folder can be flushed."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF):  # network file systems that cannot
            raise
    finally:
        os.close(descriptor)
