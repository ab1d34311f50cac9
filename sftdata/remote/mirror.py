"""A dataset on a store, as a folder of this machine that has a file once it is asked for.

The copies are in the cache, CACHE/datasets, each under the address and the checksum of its manifest: a dataset that was
replaced on the store is another one here. The files of all copies together stay below a number of bytes: those that
were last asked for longest ago are removed first, and come again when they are needed.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from filelock import FileLock

from sftdata.errors import ConfigError, DatasetError
from sftdata.files import copies
from sftdata.files.atomic import MANIFEST_NAME, MAX_MANIFEST_BYTES, write_bytes
from sftdata.files.inside import is_plain_name
from sftdata.files.report_files import MAX_REPORT_BYTES, REPORT_NAMES
from sftdata.remote.cache import cache_folder, name_for
from sftdata.remote.folder import RemoteFolder
from sftdata.remote.stores import is_url

SIZE_VARIABLE = "SFTDATA_CACHE_GB"
DEFAULT_GB = 100.0
_LOCKS = ".locks"  # beside each lock there is a file whose time says when a copy was last asked for
_ABANDONED_S = 600  # for which nothing was written to an unfinished file: who wrote it is gone


def local_folder(place: str | Path) -> Path:
    """The folder of a dataset: as it is, or for an address a copy that is filled as its files are asked for.

    Raises DatasetError where there is no dataset at an address, or its store fails.
    """
    return mirror(str(place)) if is_url(str(place)) else Path(place)


def mirror(address: str) -> Path:
    """The copy of the dataset at an address, with its manifest. Raises DatasetError."""
    folder = RemoteFolder(address, DatasetError)
    manifest = folder.read(MANIFEST_NAME, MAX_MANIFEST_BYTES)
    if manifest is None:
        what = f"has no {MANIFEST_NAME}, so it is no dataset, or one that is being written"
        raise DatasetError(str(folder), what, "check the address, or wait until it is written")
    name = f"{name_for(folder.address)}-{hashlib.sha256(manifest).hexdigest()[:16]}"
    root = cache_folder().resolve() / "datasets" / name
    with _cache_errors(root):
        held = root / MANIFEST_NAME
        if not held.exists() or held.read_bytes() != manifest:
            write_bytes(root / MANIFEST_NAME, manifest)
    copies.register(root, Mirror(folder, root, manifest))
    return root


def fits(folder: Path, names: Iterable[str]) -> bool:
    """Whether the cache may hold these files of a copy together; True for an ordinary folder. Raises ConfigError."""
    copied = copies.copy_of(folder)
    return not isinstance(copied, Mirror) or copied.size_of(names) <= limit_bytes()


def fetch_all(folder: Path, names: Sequence[str]) -> bool:
    """Fetch these files of a copy, if the cache may hold them together. Whether they are there: always, for an
    ordinary folder. Raises DatasetError.
    """
    copied = copies.copy_of(folder)
    if not fits(folder, names):
        return False
    if copied is not None:
        for name in names:
            copied.fetch(name)
    return True


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

    def forget(self) -> None:
        """Fetch each file once more. Until then its copy stays, for other processes that use it."""
        self._doubted = {*self._listed, *REPORT_NAMES}

    @property
    def address(self) -> str:
        return str(self._folder)

    def size_of(self, names: Iterable[str]) -> int:
        """The bytes of these files together."""
        return sum(self._listed[name][0] for name in names if name in self._listed)

    def fetch(self, name: str) -> None:
        path = self._root / name
        entry = self._listed.get(name)
        is_doubted = name in self._doubted
        if (entry is None and name not in REPORT_NAMES) or (path.exists() and not is_doubted):
            if entry is not None:
                _mark_used(self._root, name)
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
        with _cache_errors(self._root):
            lock = _lock_of(self._root, name)
            lock.parent.mkdir(exist_ok=True)
            with FileLock(lock):  # of several processes that need a file, one fetches it
                if is_doubted or not path.exists():
                    make_room(self._root.parent, size_bytes, self._root)
                    self._folder.download(name, path, size_bytes, sha256)
                    self._doubted.discard(name)
        _mark_used(self._root, name)

    def names(self) -> list[str]:
        return sorted(self._folder.files())

    def send(self, name: str) -> None:
        self._folder.upload(self._root / name, name)


def make_room(cache: Path, size_bytes: int, using: Path) -> None:
    """Remove files of the copies in the cache, those first that were last asked for longest ago, until another one of
    this size fits below the limit; those of the copy in use last, but for its manifest and its tokenizer, which are
    kept. So is what another process is just writing.

    What a process has open stays readable for it.
    """
    used, files = 0, []
    for path in cache.glob("*/*/*"):
        with contextlib.suppress(OSError):  # another process makes room too
            status = path.stat()
            if path.is_relative_to(using / "tokenizer") or path.parent.name == _LOCKS:
                continue
            used += status.st_size
            is_unfinished = path.name.startswith(".") and path.suffix == ".tmp"
            if not is_unfinished or time.time() - status.st_mtime > _ABANDONED_S:
                files.append((path.is_relative_to(using), _last_used(path, status), status.st_size, path))
    for _, _, size, path in sorted(files):
        if used + size_bytes <= limit_bytes():
            return
        with contextlib.suppress(OSError):  # on Windows, what is open stays
            path.unlink()
        used -= size


def _lock_of(root: Path, name: str) -> Path:
    return root / _LOCKS / hashlib.sha256(name.encode()).hexdigest()


def _mark_used(root: Path, name: str) -> None:
    """Note that a copy is asked for now. Its own times stay: by them a process knows the file that it has compared."""
    with contextlib.suppress(OSError):  # a cache that others fill may be read-only
        _lock_of(root, name).with_suffix(".used").touch()


def _last_used(path: Path, status: os.stat_result) -> int:
    """When a copy was last asked for, or else written, in nanoseconds."""
    root = path.parents[1]
    mark = _lock_of(root, path.relative_to(root).as_posix()).with_suffix(".used")
    try:
        return max(status.st_mtime_ns, mark.stat().st_mtime_ns)
    except OSError:
        return status.st_mtime_ns


def limit_bytes() -> int:
    """How many bytes the files of copies may have together. Raises ConfigError where the variable is no number."""
    said = os.environ.get(SIZE_VARIABLE) or str(DEFAULT_GB)
    try:
        size = int(float(said) * 1e9)
    except (ValueError, OverflowError) as error:
        raise ConfigError(SIZE_VARIABLE, f"is no number ({said[:40]!r})", "give gigabytes, such as 50") from error
    if size <= 0:
        raise ConfigError(SIZE_VARIABLE, f"is not above 0 ({said[:40]!r})", "give gigabytes, such as 50")
    return size


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


@contextlib.contextmanager
def _cache_errors(root: Path) -> Iterator[None]:
    """Turn errors of this machine's disk into one that says how to name another folder for the cache."""
    try:
        yield
    except OSError as error:
        what = f"cannot hold copies of what is on a store ({error.strerror or error})"
        raise DatasetError(str(root.parent.parent), what, "name another folder in SFTDATA_CACHE") from error
