"""A folder on a store: its files by name. The few verbs that a dataset needs, none of which assumes a rename."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from sftdata.errors import SftDataError
from sftdata.files.atomic import atomic_write
from sftdata.remote.stores import is_object_store, refuse_credentials, refuse_other_address, store_errors
from sftdata.safe.addresses import safe_address

_CHUNK_BYTES = 8 << 20


class Object(NamedTuple):
    """A file on a store: its size, where the store says it."""

    size_bytes: int | None


class RemoteFolder:
    """A folder on a store. Every call asks the store: nothing is remembered of what is there.

    Each verb raises `raised` where the store fails, without credentials in its message; so does an address that has a
    password or a token in it, or what is left out where it is shown.
    """

    def __init__(self, address: str, raised: type[SftDataError]) -> None:
        refuse_credentials(address, raised)
        if not address.partition("://")[2].strip("/"):
            raise raised(safe_address(address), "names a whole store, not a folder on it", "add the name of a folder")
        self.address = address.rstrip("/")
        refuse_other_address(self.address, raised)
        import fsspec

        self._raised = raised
        with store_errors(self.address, raised):
            self._client, path = fsspec.url_to_fs(self.address)
        self._path = path.rstrip("/")
        self._process = os.getpid()

    @property
    def _store(self) -> Any:
        """The store's client: another one in each process, since none of them works in a fork of its own."""
        if self._process != os.getpid():
            import fsspec

            with store_errors(self.address, self._raised):
                self._client, _ = fsspec.url_to_fs(self.address)
            self._process = os.getpid()
        return self._client

    def __str__(self) -> str:
        return safe_address(self.address)

    def at(self, name: str) -> str:
        """The address of a file in it, as it may be shown."""
        return f"{self}/{name}"

    def _errors(self, name: str) -> Any:
        return store_errors(self.address, self._raised, self.at(name) if name else str(self))

    def _of(self, name: str) -> str:
        return f"{self._path}/{name}"

    def files(self) -> dict[str, Object]:
        """Every file below the folder by name, hidden ones too; empty where there is no such folder."""
        from sftdata.remote.listing import files_below

        with self._errors(""):
            self._store.invalidate_cache()
            try:
                found = files_below(self._store, self._path)
            except FileNotFoundError:
                return {}
        return {
            path[len(self._path) + 1 :]: Object(info.get("size"))
            for path, info in found.items()
            if path.startswith(f"{self._path}/") and info.get("type", "file") == "file"
        }

    def get(self, name: str) -> Object | None:
        """A file; None where there is none."""
        with self._errors(name):
            self._store.invalidate_cache()
            try:
                info = self._store.info(self._of(name))
            except FileNotFoundError:
                return None
        return Object(info.get("size")) if info.get("type", "file") == "file" else None

    def read(self, name: str, max_bytes: int) -> bytes | None:
        """A whole small file; None where there is none. Raises where it has more bytes, or ends before its size."""
        found = self.get(name)
        if found is None:
            return None
        if found.size_bytes is not None and found.size_bytes > max_bytes:
            what = f"has {found.size_bytes:,} bytes, more than the {max_bytes:,} that are read"
            raise self._raised(self.at(name), what, "check the address")
        with self._errors(name):
            try:
                data: bytes = self._store.cat_file(self._of(name))
            except FileNotFoundError:
                return None
        if found.size_bytes is not None and len(data) != found.size_bytes:
            self._cut(name, len(data), found.size_bytes)
        return data

    def chunks(self, name: str) -> Iterator[bytes]:
        """The bytes of a file, in parts."""
        with contextlib.ExitStack() as opened:
            with self._errors(name):
                file = opened.enter_context(self._store.open(self._of(name), "rb"))
            while True:
                with self._errors(name):
                    data = file.read(_CHUNK_BYTES)
                if not data:
                    return
                yield data

    def download(
        self,
        name: str,
        target: Path,
        size_bytes: int,
        sha256: str,
        room: contextlib.AbstractContextManager[None],
    ) -> None:
        """Copy a file to the local disk, where it appears whole or not at all. `room` is left once the file has its
        place.

        Raises where it has another size or checksum. Raises OutputError where it cannot be written.
        """
        with contextlib.ExitStack() as stack:
            with room:
                sink = stack.enter_context(atomic_write(target))
                sink.reserve(size_bytes)
            for data in self.chunks(name):
                sink.write(data)
            if sink.size_bytes < size_bytes:
                self._cut(name, sink.size_bytes, size_bytes)
            if sink.size_bytes != size_bytes or sink.sha256 != sha256:
                what = "does not match its checksum in the manifest: its content has changed"
                raise self._raised(self.at(name), what, "run again if it is being replaced, or prepare it again")

    def fetch(self, name: str, target: Path) -> None:
        """Copy a file to the local disk, where it appears with the size that the store says, or not at all; nothing
        where there is none. Raises OutputError where it cannot be written.
        """
        found = self.get(name)
        if found is None:
            return
        with atomic_write(target) as sink:
            for data in self.chunks(name):
                sink.write(data)
            if found.size_bytes is not None and sink.size_bytes != found.size_bytes:
                self._cut(name, sink.size_bytes, found.size_bytes)

    def upload(self, source: Path, name: str) -> None:
        """Copy a file of the local disk to the store, over what is there. Raises where the store has another size."""
        with self._errors(name):
            self._make_parent(name)
            self._store.put_file(str(source), self._of(name))
        self._check_size(name, source.stat().st_size)

    def write(self, name: str, data: bytes) -> None:
        """Write a small file, over what is there."""
        with self._errors(name):
            self._make_parent(name)
            self._store.pipe_file(self._of(name), data)
        self._check_size(name, len(data))

    def create(self, name: str, data: bytes) -> bool:
        """Write a small file where there is none; False where there is one. Stores that can, decide who comes first."""
        with self._errors(name):
            self._make_parent(name)
            try:
                self._store.pipe_file(self._of(name), data, mode="create")
            except FileExistsError:
                return False
            except (TypeError, NotImplementedError):  # a client without this mode
                if self._store.exists(self._of(name)):
                    return False
                self._store.pipe_file(self._of(name), data)
        return True

    def copy(self, name: str, target: str) -> None:
        """Copy a file within the store, where it can; else through this machine."""
        with self._errors(target):
            self._make_parent(target)
            self._store.cp_file(self._of(name), self._of(target))

    def remove(self, names: Iterable[str]) -> None:
        """Remove files; one that is not there is none."""
        for name in names:
            with self._errors(name), contextlib.suppress(FileNotFoundError):
                self._store.rm_file(self._of(name))

    def _make_parent(self, name: str) -> None:
        """Make the folder of a file. Object stores have none, and a bucket that is not there is never made."""
        if not is_object_store(self.address):
            with contextlib.suppress(FileExistsError, NotImplementedError):
                self._store.makedirs(self._of(name).rpartition("/")[0], exist_ok=True)

    def _check_size(self, name: str, size_bytes: int) -> None:
        found = self.get(name)
        if found is None or (found.size_bytes is not None and found.size_bytes != size_bytes):
            has = "is not there" if found is None else f"has {found.size_bytes:,} of {size_bytes:,} bytes"
            what = f"{has} after it was written"
            raise self._raised(self.at(name), what, "run the same command again, which goes on where this one stopped")

    def _cut(self, name: str, got: int, size_bytes: int) -> None:
        what = f"ended after {got:,} of {size_bytes:,} bytes: the store cut the download short"
        raise self._raised(self.at(name), what, "run the same command again")
