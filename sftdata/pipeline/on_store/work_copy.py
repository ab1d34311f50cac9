"""The work of a run on a store: every machine has a copy of what it needs, which its tasks map into memory.

ADDRESS/pieces/STAGE/KEY.arrow   results of stages; what is in them follows from their names
        shards/SHA256.arrow      packed shards
        rows/SHA256.jsonl        rows that were given as Python objects

A task writes a file on its machine, whole, and then to the store; only then its result is known. A file that another
machine has written is fetched when it is first read. Nothing is renamed on the store. Where a store shows an object
that is being written, its beginning is no Arrow file, so no later run takes it for a result.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from filelock import FileLock

from sftdata.errors import OutputError
from sftdata.files import copies
from sftdata.files.atomic import output_errors
from sftdata.files.inside import refuse_link
from sftdata.remote.folder import RemoteFolder

_LOCKS = ".fetching"


@dataclass(frozen=True)
class WorkCopy:
    """The work at an address, and the copy in the folder `root`, which is made on every machine. It is sent to other
    processes, and has no credentials: each machine has its own. See `copies.Copied` for its verbs, which raise
    OutputError.
    """

    address: str
    root: Path  # absolute, without links

    def attach(self) -> None:
        """Let this process find the files of the work below `root`."""
        with output_errors(self.root):
            refuse_link(self.root)
            self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        copies.register(self.root, self)

    def clear(self) -> None:
        """Remove the copy of this machine, another than that of the command."""
        shutil.rmtree(self.root, ignore_errors=True)

    def begin(self, *, fresh: bool) -> None:
        """Attach the process that plans the run. `fresh` removes the work of earlier runs."""
        self.attach()
        if fresh:
            _folder(self.address).remove(self.names())

    def end(self, *, keep: Sequence[str]) -> None:
        """Forget the copy, and remove the work from the store but for the folders to keep."""
        try:
            _folder(self.address).remove(name for name in self.names() if name.partition("/")[0] not in keep)
        finally:
            copies.forget(self.root)
            shutil.rmtree(self.root / _LOCKS, ignore_errors=True)

    def fetch(self, name: str) -> None:
        """See `copies.Copied`. Raises OutputError where the store fails, or lacks what a task has written there."""
        path = self.root / name
        if path.exists():
            return
        folder = _folder(self.address)
        lock = self.root / _LOCKS / name.replace("/", "-")
        with output_errors(lock):
            lock.parent.mkdir(exist_ok=True)
        with FileLock(lock):  # of several processes that need a file, one fetches it
            if not path.exists():
                folder.fetch(name, path)
        if not path.exists() and name.startswith("pieces/"):
            hint = "run the same command again; no other run and no rule of the store may remove what is in that folder"
            raise OutputError(folder.at(name), "is not on the store any more, though a task has written it", hint)

    def names(self) -> list[str]:
        return sorted(_folder(self.address).files())

    def send(self, name: str) -> None:
        _folder(self.address).upload(self.root / name, name)

    def remove(self, name: str) -> None:
        _folder(self.address).remove([name])


@lru_cache(maxsize=4)
def _folder(address: str) -> RemoteFolder:
    return RemoteFolder(address, OutputError)
