"""Audits of raw data: all findings of reading and curation, counted, with examples. Nothing is written."""

from __future__ import annotations

from sftdata.audit.audit import UNUSED_SETTINGS, audit
from sftdata.audit.findings import Audit, Example, Finding, SourceStats, WordStats

__all__ = ["UNUSED_SETTINGS", "Audit", "Example", "Finding", "SourceStats", "WordStats", "audit"]
