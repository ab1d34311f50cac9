"""An audit of raw data: every finding of reading and curation, counted, with examples; nothing is written."""

from __future__ import annotations

from sftdata.audit.audit import NOT_NEEDED, audit
from sftdata.audit.findings import Audit, Example, Finding, SourceStats, Words

__all__ = ["NOT_NEEDED", "Audit", "Example", "Finding", "SourceStats", "Words", "audit"]
