"""Files that someone else may have made: what is opened is a regular file with something in it, and where it seems."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from sftdata.errors import DatasetError, plural
from sftdata.files.copies import ensure

RESTORE = "prepare the dataset again, or restore the file"
MAX_SHOWN_CHARS = 200  # of what a file says, in a message
_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def regular_file(path: str | Path, inside: str | Path | None = None, size_bytes: int | None = None) -> os.stat_result:
    """The status of a regular file that is not empty, without opening it: opening a pipe would wait forever.

    With `inside`, the file is in that folder, even if links lead to it (see `_may_be_in`); with `size_bytes`, it has
    that size. Raises DatasetError if not, or if the file does not exist or may not be read.
    """
    shown = shorten(str(path))
    ensure(path)
    try:
        try:
            real, status = _real_file(path)
        except FileNotFoundError:  # another process may have made room for its own copies just now
            ensure(path)
            real, status = _real_file(path)
        may_read = os.access(real, os.R_OK)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise DatasetError(shown, "does not exist", RESTORE) from error
    except (OSError, ValueError) as error:  # a loop of links, a name that is too long or has a null character
        what = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise DatasetError(shown, f"cannot be read: {what[:1].lower()}{what[1:]}", RESTORE) from error
    if not stat.S_ISREG(status.st_mode):
        kind = next((name for is_kind, name in _KINDS if is_kind(status.st_mode)), "something else")
        raise DatasetError(shown, f"is {kind}, not a file", RESTORE)
    if inside is not None and not _may_be_in(Path(inside), real):
        raise DatasetError(
            shown, "is reached through a link that leads out of the folder", "put a copy of the file in its place"
        )
    if not may_read:
        raise DatasetError(shown, "cannot be read: permission denied", "change its permissions")
    if size_bytes is not None and status.st_size != size_bytes:
        what = f"has {status.st_size} {plural('byte', status.st_size)} instead of {size_bytes}"
        raise DatasetError(shown, what, "copy it again from the original dataset, or prepare the dataset again")
    if status.st_size == 0:
        raise DatasetError(shown, "is empty", RESTORE)
    return status


def _real_file(path: str | Path) -> tuple[Path, os.stat_result]:
    real = Path(os.path.realpath(path, strict=True))
    return real, real.stat()


def shorten(text: str, max_chars: int = MAX_SHOWN_CHARS) -> str:
    """A text of any length and kind, for a message: its beginning in one line, and how much is left out."""
    start = text[:max_chars]
    if not start.isprintable():
        start = "".join(char if char.isprintable() else repr(char)[1:-1] for char in start)
    return start if len(text) <= max_chars else f"{start}... ({len(text):,} characters)"


def _may_be_in(folder: Path, real: Path) -> bool:
    """Whether a file without links in its path is in the folder, or is what a snapshot in the cache of the Hugging Face
    hub consists of: links to files in the folder `blobs` beside the folder `snapshots`.
    """
    home = folder.resolve()
    blobs = [parent.parent / "blobs" for parent in home.parents if parent.name == "snapshots"]
    return any(place in real.parents for place in (home, *blobs))
