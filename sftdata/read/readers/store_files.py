"""Files on a store: found by address, folder or glob, and whether they are still what they were."""

from __future__ import annotations

import glob
import posixpath
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from sftdata.errors import SourceError
from sftdata.read.units import Stored
from sftdata.remote.stores import store_errors
from sftdata.safe.addresses import safe_address

# What clients of stores call the version of an object: its content's, or the time at which it was written.
_CONTENT = ("ETag", "etag", "generation", "md5Hash", "content_md5")
_WRITTEN = ("mtime", "LastModified", "last_modified", "Last-Modified", "updated", "modified", "created")


class Found(NamedTuple):
    """The files at an address: its own path on the store, the path that names are relative to, and each file's own."""

    path: str
    base: str
    base_address: str
    files: dict[str, Stored | None]  # by path

    def named(self) -> Iterator[tuple[str, str, Stored | None]]:
        """The name of each file, relative to the folder of the address or before its first wildcard, and its address.

        Addresses begin as the one that was given: what a store writes of a path may lack the host. Raises SourceError
        for a name that is another file's once it is normalised, such as x//a.jsonl.
        """
        base = self.base.rstrip("/")
        for path, stored in self.files.items():
            name = path[len(base) :].removeprefix("/")
            if not path.startswith(base) or {"", ".", ".."} & set(name.split("/")):
                what = f"has a file whose path is {path!r}, and an empty part, . or .. is none of a file's name"
                raise SourceError(safe_address(self.base_address), what, "rename it, or name the others with a glob")
            yield name, f"{self.base_address}/{name}", stored


def find_stored(url: str) -> Found:
    """The files at an address: one file, those of a folder, or those that a glob matches.

    Raises SourceError where the store does not answer.
    """
    import fsspec

    from sftdata.remote.listing import files_below, files_matching

    is_glob = glob.has_magic(url)
    with store_errors(url):
        store, path = fsspec.url_to_fs(url)
        store.invalidate_cache()  # what this process saw earlier may have changed
        found = files_matching(store, path) if is_glob else files_below(store, path)
        files = {name: info for name, info in found.items() if info.get("type", "file") == "file"}
        return Found(
            path,
            _before_wildcard(path) if is_glob else path,
            _before_wildcard(url) if is_glob else _without_slash(url),
            {name: _stored(info) for name, info in sorted(files.items())},
        )


def stored_now(url: str) -> Stored | None:
    """What the store says of a file at this moment; None where it says nothing of files, or not their size.

    Raises SourceError where it does not answer.
    """
    import fsspec

    with store_errors(url):
        store, path = fsspec.url_to_fs(url)
        store.invalidate_cache()
        try:
            info = store.info(path)
        except NotImplementedError:
            return None
        return _stored(info)


def _stored(info: Mapping[str, Any]) -> Stored | None:
    if not isinstance(size := info.get("size"), int):
        return None
    for keys, is_content in ((_CONTENT, True), (_WRITTEN, False)):
        for key in keys:
            if value := info.get(key):
                text = str(value.timestamp() if hasattr(value, "timestamp") else value).strip('"')
                return Stored(size, text, is_content and not text.startswith("W/"))
    return Stored(size, "", False)


def _before_wildcard(path: str) -> str:
    """The folders of a path or an address before its first wildcard, without a slash at their end."""
    head, mark, tail = path.rpartition("://")
    while glob.has_magic(tail):
        tail = posixpath.dirname(tail)
    return _without_slash(f"{head}{mark}{tail}")


def _without_slash(path: str) -> str:
    """A path or an address to which a slash and a name can be added: hdfs:///, whose host is empty, gives hdfs://."""
    head, mark, tail = path.rpartition("://")
    return f"{head}{mark}{tail.rstrip('/')}" if tail or not mark else f"{head}:/"
