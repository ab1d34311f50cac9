"""An audit of raw data: every finding of reading and curation, counted, with examples; nothing is written."""

from __future__ import annotations

from sftdata.audit.findings import Audit, Example, Finding, SourceFacts, Words
from sftdata.audit.run import NOT_NEEDED, audit

__all__ = ["NOT_NEEDED", "Audit", "Example", "Finding", "SourceFacts", "Words", "audit"]
