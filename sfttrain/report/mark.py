"""The head of a run's report, which says that it is ours, and whether it is as it was written."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from sftdata.files.inside import is_file

REPORT = "report.html"
_MARK = re.compile(rb"<!doctype html>\n<!-- sfttrain report, sha256 ([0-9a-f]{64}) -->\n")
_MAX_BYTES = 32 << 20  # far above what a report has


def with_mark(body: bytes) -> bytes:
    """A page with its head."""
    return f"<!doctype html>\n<!-- sfttrain report, sha256 {hashlib.sha256(body).hexdigest()} -->\n".encode() + body


def is_own_report(path: Path) -> bool:
    """Whether a file is a report of a run, as it was written. Raises OSError."""
    if not is_file(path):
        return False
    with open(path, "rb") as file:
        content = file.read(_MAX_BYTES + 1)
    match = _MARK.match(content)
    return (
        match is not None
        and len(content) <= _MAX_BYTES
        and hashlib.sha256(content[match.end() :]).hexdigest() == match[1].decode()
    )
