"""The files below a folder on a store, and those that a glob matches: all of them, or an error.

fsspec's own walk leaves out a folder that cannot be listed: fewer rows would be read, or a dataset would not be seen.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Callable, Iterator
from typing import Any

Infos = dict[str, Any]


def files_below(store: Any, folder: str) -> Infos:
    """What a store says of each file below a folder, or of a path that is a file, by path. Empty where there is none.

    Has links and such too. Raises what the client of the store does.
    """
    if _lists_at_once(store):
        found = store.find(folder, detail=True)
    else:
        found = dict(_walk(store, folder, lambda path: True))
        if not found and (info := _info(store, folder)) is not None and info.get("type") != "directory":
            found = {folder: info}
    # An object whose name ends with a slash and that has no bytes is how consoles of object stores show a folder.
    return {
        path: info
        for path, info in sorted(found.items())
        if info.get("type") != "directory" and not (path.endswith("/") and not info.get("size"))
    }


def files_matching(store: Any, pattern: str) -> Infos:
    """What a store says of each file that a glob matches, by path. Raises what the client of the store does."""
    from fsspec.utils import glob_translate

    parts = pattern.split("/")
    first = next((index for index, part in enumerate(parts) if re.search(r"[*?\[]", part)), len(parts) - 1)
    root = "/".join(parts[:first]) or ("/" if pattern.startswith("/") else "")
    if "**" in pattern:
        found = files_below(store, root)
    elif first == len(parts) - 1 and _lists_at_once(store):
        found = store.glob(pattern, detail=True)  # of one folder; the store gets the beginning of the names
    else:

        def may_match(path: str) -> bool:
            depth = path.count("/") + 1
            return depth < len(parts) and re.match(glob_translate("/".join(parts[:depth])), path) is not None

        found = dict(_walk(store, root, may_match))
    is_match = re.compile(glob_translate(pattern)).match
    return {path: info for path, info in sorted(found.items()) if info.get("type") != "directory" and is_match(path)}


def _lists_at_once(store: Any) -> bool:
    """Whether a store lists all files below a folder in a way of its own, and not folder by folder."""
    from fsspec.asyn import AsyncFileSystem
    from fsspec.spec import AbstractFileSystem

    kind = type(store)
    has_own = getattr(kind, "_find", AsyncFileSystem._find) is not AsyncFileSystem._find
    return has_own or kind.find is not AbstractFileSystem.find


def _walk(
    store: Any, folder: str, may_enter: Callable[[str], bool], *, is_first: bool = True
) -> Iterator[tuple[str, Any]]:
    """The files below a folder, links to folders not followed."""
    try:
        listing = store.ls(folder, detail=True)
    except (FileNotFoundError, NotADirectoryError) as error:
        if is_first:
            return
        raise OSError(errno.EBUSY, "a folder was removed while it was listed") from error
    for info in listing:
        path, kind = info["name"], info.get("type", "file")
        if kind not in ("file", "directory") and not path.rpartition("/")[2].startswith("."):
            info = _behind(store, path)
            kind = info["type"]
            if kind == "directory" and may_enter(path):
                raise OSError(errno.EINVAL, f"{path} is a link to a folder, and those are not followed on a store")
        if kind != "directory":
            yield path, info
        elif not info.get("islink") and path.rstrip("/") != folder.rstrip("/") and may_enter(path.rstrip("/")):
            yield from _walk(store, path.rstrip("/"), may_enter, is_first=False)


def _behind(store: Any, path: str) -> Any:
    """What a store says of the file or the folder that a link leads to. Raises OSError for anything else."""
    if (info := _info(store, path)) is None:
        raise OSError(errno.EINVAL, f"{path} is a link that leads nowhere")
    if info.get("type") not in ("file", "directory"):
        raise OSError(errno.EINVAL, f"{path} is neither a file nor a folder")
    return info


def _info(store: Any, path: str) -> Any:
    try:
        return store.info(path)
    except FileNotFoundError:
        return None
