"""The lock of a run on the folder that it writes into."""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path

from filelock import FileLock, Timeout

from sftdata.errors import OutputError
from sftdata.files.inside import refuse_link


class FolderLock:
    """A file that is locked while a run works in a folder; the system releases it when the process ends, however it
    ends. `where` is the folder as the user knows it.
    """

    def __init__(self, path: Path, where: Path) -> None:
        self._path = path
        self._where = where
        self._lock = FileLock(path, thread_local=False)

    def acquire(self) -> None:
        """Raise OutputError where another run holds the lock, or its file is a link.

        Where the file system has no locks, no run is refused. Raises OSError where the file cannot be made.
        """
        refuse_link(self._path)
        try:
            self._lock.acquire(blocking=False)
        except Timeout as error:
            todo = "wait for it, or name another folder"
            raise OutputError(str(self._where), "another run is writing into this folder", todo) from error
        except OSError as error:
            if error.errno not in (errno.ENOLCK, errno.ENOTSUP, errno.EINVAL):
                raise

    def release(self) -> None:
        """Release the lock and leave its file."""
        self._lock.release()

    def remove(self) -> None:
        """Release the lock and remove its file: while it is held, for else another run may hold it already.

        Windows removes no open file, and none that another run has opened.
        """
        if os.name != "nt":
            self._path.unlink(missing_ok=True)
        self._lock.release()
        if os.name == "nt":
            with contextlib.suppress(OSError):
                self._path.unlink()
