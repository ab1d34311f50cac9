"""A lock that one process holds on a folder, and that a dead process never does."""

from __future__ import annotations

import errno
import os
from pathlib import Path

_UNSUPPORTED = (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL)


class FolderLock:
    """The file `lock` in a folder, locked while the system keeps it open for this process.

    Where the system or its file system has no such locks, nobody is refused.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / "lock"
        self._file: int | None = None

    def acquire(self) -> bool:
        """Take the lock; False where another process holds it. Raises OSError where the file cannot be made."""
        while True:
            file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o666)
            if not _lock(file):
                os.close(file)
                return False
            if _is_at(file, self._path):
                self._file = file
                return True
            os.close(file)  # its holder has just removed it: there is a new one, or none

    def release(self, *, remove: bool) -> None:
        """Give the lock up, and with `remove` take its file away."""
        if self._file is None:
            return
        if remove:
            self._path.unlink(missing_ok=True)
        os.close(self._file)
        self._file = None


def _lock(file: int) -> bool:
    """Whether the lock could be had. It belongs to the open file, and so ends with the process, however that ends."""
    try:
        import fcntl
    except ImportError:
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in _UNSUPPORTED:
            raise
    return True


def _is_at(file: int, path: Path) -> bool:
    """Whether the open file is the one that stands under this name."""
    try:
        return os.path.samestat(os.fstat(file), path.stat())
    except FileNotFoundError:
        return False
