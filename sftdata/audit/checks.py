"""The checks of a single record: quality filters, personal data, trailing control strings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from sftdata.audit.excerpts import HIDDEN, excerpt, printable
from sftdata.audit.findings import QUALITY_FILTERS, TRAILING_CONTROL
from sftdata.curate.privacy.redact import PLACEHOLDERS, Finding, describe, redact, redact_record
from sftdata.curate.privacy.settings import KINDS, PrivacyConfig
from sftdata.curate.quality.filters import filter_record
from sftdata.curate.quality.settings import FilterConfig
from sftdata.read.formats.structure import check_structure
from sftdata.records.end_tokens import EndTokens
from sftdata.records.record import Record

Evidence = tuple[str, str]  # kind of finding, text to show


class RecordChecks:
    """All checks of a record. Each filter runs separately, because a record may fail several."""

    def __init__(self, filters: FilterConfig, privacy: PrivacyConfig, end_tokens: EndTokens) -> None:
        """`filters` only provides the language settings; `privacy` everything except mode and kinds."""
        self.privacy = privacy.model_copy(update={"mode": "report", "kinds": KINDS})
        self._filters = [FilterConfig(preset="off", **settings) for settings in QUALITY_FILTERS.values()]
        self._end_tokens = end_tokens
        self.only_control = 0  # rows with an answer that is nothing but end tokens
        self._default_filters = {kind: _default_filter(settings) for kind, settings in QUALITY_FILTERS.items()}
        if filters.languages:
            names = ("languages", "language_score", "language_min_letters")
            self._filters.append(FilterConfig(preset="off", **{name: getattr(filters, name) for name in names}))

    def redact(self, record: Record) -> tuple[Record, tuple[Finding, ...]]:
        """The record with placeholders for personal data and secrets, and the findings."""
        return redact_record(record, self.privacy)

    def quality_findings(self, record: Record) -> Iterator[Evidence]:
        """Each filter that drops the record, with its evidence."""
        for settings in self._filters:
            if drop := filter_record(record, settings):
                yield drop.reason, printable(redact(drop.detail or "", self.privacy)[0])

    def is_dropped_by_default(self, kind: str, record: Record) -> bool:
        """Whether the default preset also drops the record for this kind of quality finding."""
        return kind in self._default_filters and filter_record(record, self._default_filters[kind]) is not None

    def trailing_control(self, record: Record) -> Iterator[Evidence]:
        """The end tokens at the end of the first answer that has any and something else."""
        clean, stripped = self._end_tokens.strip(record)
        if not stripped:
            return
        pairs = enumerate(zip(record.messages, clean.messages, strict=True), 1)
        changed = [(number, after.content) for number, (before, after) in pairs if before.content != after.content]
        if (problem := check_structure(clean)) is not None:
            self.only_control += problem.reason == "empty_answer"
        for (number, answer), tokens in zip(changed, stripped, strict=True):
            if answer:
                yield TRAILING_CONTROL, f"message {number}: ends in {excerpt(' '.join(tokens), self.privacy)!r}"
                return

    def private_findings(self, redacted: Record, found: tuple[Finding, ...]) -> Iterator[Evidence]:
        """The kinds of personal data found: how many and where, with the context of the first one."""
        for kind in KINDS:
            if of_kind := [finding for finding in found if finding.kind == kind]:
                yield kind, describe(of_kind) + _context(redacted, PLACEHOLDERS[kind])

    def reading_evidence(self, detail: str | None, value: object) -> str:
        """The detail of a row that reading drops; hidden if the row has anything private, as it may quote the row."""
        try:
            is_private = bool(self.redact(Record(tools=({"row": value},)))[1])
        except RecursionError:  # nested too deeply to search
            is_private = True
        if is_private:
            return HIDDEN
        return printable(redact(detail or "", self.privacy)[0])


def _default_filter(settings: Mapping[str, Any]) -> FilterConfig:
    """One filter, with the settings of the default preset."""
    default = FilterConfig()
    return FilterConfig(preset="off", **{name: getattr(default, name) for name in settings})


def _context(redacted: Record, placeholder: str, num_chars: int = 30) -> str:
    """`: '…write to [EMAIL] today…'` from the first message with the placeholder, or an empty string."""
    texts = [message.content or "" for message in redacted.messages] if redacted.text is None else [redacted.text]
    for text in texts:
        at = text.find(placeholder)
        if at >= 0:
            end = at + len(placeholder) + num_chars
            words = " ".join(text[max(0, at - num_chars) : end].split())
            return f": {printable(('…' if at > num_chars else '') + words + ('…' if end < len(text) else ''))!r}"
    return ""
