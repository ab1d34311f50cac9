"""The files that `sftdata report` writes beside a manifest, which are no part of the dataset: how they are recognised.

A mark at the head says of which dataset a report is, and has the checksum of what follows. So a report that belongs to
another dataset is known, and one that somebody has changed is never removed for theirs.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import NamedTuple

from sftdata.files.inside import is_file

REPORT_NAME, CARD_NAME = "report.html", "README.md"
REPORT_NAMES = (REPORT_NAME, CARD_NAME)
_MAX_BYTES = 32 << 20  # far above what a report has
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
    if not is_file(path):
        return None
    with open(path, "rb") as file:
        content = file.read(_MAX_BYTES + 1)
    match = _MARK.match(content)
    if match is None or len(content) > _MAX_BYTES:
        return None
    is_unchanged = hashlib.sha256(content[match.end() :]).hexdigest() == match[2].decode()
    return ReportMark(match[1].decode(), is_unchanged)
