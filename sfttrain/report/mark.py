"""The head of a run's report, which says that it is ours, and whether it is as it was written."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from sftdata.files.report_files import read_head

_MARK = re.compile(rb"<!doctype html>\n<!-- sfttrain report, sha256 ([0-9a-f]{64}) -->\n")


def with_mark(body: bytes) -> bytes:
    """A page with its head."""
    return f"<!doctype html>\n<!-- sfttrain report, sha256 {hashlib.sha256(body).hexdigest()} -->\n".encode() + body


def is_own_report(path: Path) -> bool:
    """Whether a file is a report of a run, as it was written. Raises OSError."""
    found = read_head(path, _MARK)
    return found is not None and found[1]
