"""A dataset on a store, as a folder of this machine that has a file once it is asked for.

The copies are in the cache, CACHE/datasets, each under the address and the checksum of its manifest: a dataset that was
replaced on the store is another one here. The files of all copies together stay below a number of bytes: see room.py.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from filelock import FileLock

from sftdata.errors import DatasetError, call_folder
from sftdata.files import copies
from sftdata.files.atomic import MANIFEST_NAME, MAX_MANIFEST_BYTES, write_bytes
from sftdata.files.inside import is_plain_name
from sftdata.files.report_files import MAX_REPORT_BYTES, REPORT_NAMES
from sftdata.remote import room
from sftdata.remote.cache import cache_folder, name_for
from sftdata.remote.folder import RemoteFolder
from sftdata.remote.stores import is_url


def local_folder(place: str | Path) -> Path:
    """The folder of a dataset: as it is, or for an address a copy that is filled as its files are asked for.

    Raises DatasetError where an address has no dataset, or its store fails.
    """
    return mirror(str(place)) if is_url(str(place)) else Path(place)


def mirror(address: str) -> Path:
    """The copy of the dataset at an address, with its manifest. Raises DatasetError."""
    folder = RemoteFolder(address, DatasetError)
    manifest = folder.read(MANIFEST_NAME, MAX_MANIFEST_BYTES)
    if manifest is None:
        what = f"has no {MANIFEST_NAME}, so it is not a dataset, or one that is being written"
        raise DatasetError(str(folder), what, "check the address, or wait until it is written")
    name = f"{name_for(folder.address)}-{hashlib.sha256(manifest).hexdigest()[:16]}"
    root = cache_folder().resolve() / "datasets" / name
    with room.cache_errors(root.parent):
        held = root / MANIFEST_NAME
        if not held.exists() or held.read_bytes() != manifest:
            write_bytes(root / MANIFEST_NAME, manifest)
    Mirror(folder, root, manifest).register()
    return root


def hold(folder: Path, name: str) -> BinaryIO | None:
    """Fetch a file of a copy, and keep it until what is returned is closed: see `room.hold`. Raises DatasetError."""
    held = room.hold(folder, name)
    try:
        copies.ensure(folder / name)
    except BaseException:
        if held is not None:
            held.close()
        raise
    return held


def fetch_again(folder: Path) -> None:
    """Let every file of a copy come from the store once more when it is next asked for. Nothing, of other folders."""
    copied = copies.copy_of(folder)
    if isinstance(copied, Mirror):
        copied.forget()


class Mirror:
    """The copy of one dataset: see `copies.Copied`."""

    def __init__(self, folder: RemoteFolder, root: Path, manifest: bytes) -> None:
        self._folder = folder
        self._root = root
        self._listed = _listed_files(manifest)
        self._doubted: set[str] = set()  # what is fetched also where a copy is there

    def register(self) -> None:
        """Let this process ask for the files of the copy, and call it by its address."""
        copies.register(self._root, self)
        call_folder(str(self._root), self.address)

    def forget(self) -> None:
        """Fetch each file once more. Until then its copy stays, for other processes that use it."""
        self._doubted = {*self._listed, *REPORT_NAMES}

    @property
    def address(self) -> str:
        return str(self._folder)

    def fetch(self, name: str) -> None:
        path = self._root / name
        entry = self._listed.get(name)
        is_doubted = name in self._doubted
        if (entry is None and name not in REPORT_NAMES) or (path.exists() and not is_doubted):
            if entry is not None:
                room.mark_used(self._root, name)
            return
        if entry is None:
            data = self._folder.read(name, MAX_REPORT_BYTES)
            if data is not None:
                write_bytes(path, data)
            elif is_doubted:
                path.unlink(missing_ok=True)
            self._doubted.discard(name)
            return
        size_bytes, sha256 = entry
        cache = self._root.parent
        with room.cache_errors(cache), FileLock(room.lock_of(self._root, name)):  # of several processes, one fetches it
            if is_doubted or not path.exists():
                made = room.room_for(cache, size_bytes, self._root)
                self._folder.download(name, path, size_bytes, sha256, made)
                self._doubted.discard(name)
        room.mark_used(self._root, name)

    def names(self) -> list[str]:
        return sorted(self._folder.files())

    def send(self, name: str) -> None:
        self._folder.upload(self._root / name, name)

    def remove(self, name: str) -> None:
        self._folder.remove([name])


def _listed_files(manifest: bytes) -> dict[str, tuple[int, str]]:
    """The size and the checksum of each file that a manifest lists. What it says else is checked by who loads it."""

    def entries(value: Any) -> Iterator[Mapping[str, Any]]:
        for key in ("shards", "ledger", "files"):
            listed = value.get(key) if isinstance(value, dict) else None
            yield from (one for one in listed or () if isinstance(one, dict))

    try:
        found = [*entries(json.loads(manifest))]
    except (ValueError, RecursionError, TypeError):
        return {}
    return {
        str(one["path"]): (one["size_bytes"], str(one.get("sha256")))
        for one in found
        if is_plain_name(one.get("path")) and isinstance(one.get("size_bytes"), int)
    }
