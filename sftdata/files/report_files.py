"""The files that `sftdata report` writes beside a manifest, which are no part of the dataset: how they are recognised.

A mark at the head says of which dataset a report is, and has the checksum of what follows. So a report that belongs to
another dataset is known, and one that somebody has changed is never removed for theirs.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import NamedTuple

from sftdata.errors import OutputError
from sftdata.files.inside import is_file, is_taken

REPORT_NAME, CARD_NAME = "report.html", "README.md"
REPORT_NAMES = (REPORT_NAME, CARD_NAME)
MAX_REPORT_BYTES = 32 << 20  # far above what a report has
_HEADS = {REPORT_NAME: (b"<!doctype html>\n<!-- ", b" -->\n"), CARD_NAME: (b"---\n# ", b"\n")}
_MARK = re.compile(
    rb"(?:<!doctype html>\n<!--|---\n#) sftdata report of ([0-9a-f]{64}), sha256 ([0-9a-f]{64})(?: -->)?\n"
)


class ReportMark(NamedTuple):
    """What the head of a report says: the hash of the manifest that it is of, and whether it is as it was written."""

    manifest_hash: str
    is_unchanged: bool


def with_mark(kind: str, manifest_hash: str, body: bytes) -> bytes:
    """A report of this kind, REPORT_NAME or CARD_NAME, with its head. That of CARD_NAME opens the YAML of the card."""
    before, after = _HEADS[kind]
    said = f"sftdata report of {manifest_hash}, sha256 {hashlib.sha256(body).hexdigest()}"
    return before + said.encode() + after + body


def read_mark(path: Path) -> ReportMark | None:
    """The mark of a file; None if it is no regular file, or not one that `sftdata report` wrote. Raises OSError."""
    found = read_head(path, _MARK)
    return None if found is None else ReportMark(found[0][1].decode(), found[1])


def read_head(path: Path, head: re.Pattern[bytes]) -> tuple[re.Match[bytes], bool] | None:
    """The head of a file, whose last group is the checksum of what follows, and whether that is right.

    None if it is no regular file, or has no such head. Raises OSError.
    """
    if not is_file(path):
        return None
    with open(path, "rb") as file:
        content = file.read(MAX_REPORT_BYTES + 1)
    match = head.match(content)
    if match is None or len(content) > MAX_REPORT_BYTES:
        return None
    return match, hashlib.sha256(content[match.end() :]).hexdigest() == match[head.groups].decode()


def check_place(target: Path, folder: Path, name: str, holds: str) -> bool:
    """Whether a file is where a report is to be written. `name` is that of a report in `folder`, `holds` what it is.

    Raises OutputError for another place in that folder, and for what is no regular file.
    """
    place, own = target.parent.resolve() / target.name, folder.resolve()
    if place != own / name and (own in place.parents or place == own):
        todo = f"name a file in another folder, or {name} in it"
        raise OutputError(str(target), f"lies in the folder of {holds}", todo)
    return is_there(target, name)


def is_there(target: Path, name: str) -> bool:
    """Whether a file is at a place for a report. Raises OutputError for what is no regular file."""
    if not is_taken(target):
        return False
    if target.is_dir():
        raise OutputError(str(target), "is a folder", f"name a file, such as {target / name}")
    if not target.is_file():
        raise OutputError(str(target), "is not a regular file", "name another file")
    return True
