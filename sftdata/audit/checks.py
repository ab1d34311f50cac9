"""What is looked for in one record by itself: every quality finding, personal data, control strings at an end."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from sftdata.audit.excerpts import HIDDEN, excerpt, shown
from sftdata.audit.findings import QUALITY, TRAILING_CONTROL
from sftdata.curate.privacy.redact import PLACEHOLDERS, Finding, describe, redact, redact_record
from sftdata.curate.privacy.settings import KINDS, PrivacyConfig
from sftdata.curate.quality.filters import filter_record
from sftdata.curate.quality.residue import without_trailing_control
from sftdata.curate.quality.settings import FilterConfig
from sftdata.records.record import Record

Evidence = tuple[str, str]  # the kind of a finding, and what to show for it


class RecordChecks:
    """All looks at one record. Every filter is asked on its own, for a record may fail several."""

    def __init__(self, filters: FilterConfig, privacy: PrivacyConfig) -> None:
        """Of `filters`, only the languages are asked for; of `privacy`, all but the mode and the kinds."""
        self.privacy = privacy.model_copy(update={"mode": "report", "kinds": KINDS})
        self._filters = [FilterConfig(preset="off", **settings) for settings in QUALITY.values()]
        self._default = {kind: _as_by_default(settings) for kind, settings in QUALITY.items()}
        if filters.languages:
            names = ("languages", "language_score", "language_min_letters")
            self._filters.append(FilterConfig(preset="off", **{name: getattr(filters, name) for name in names}))

    def private(self, record: Record) -> tuple[Record, tuple[Finding, ...]]:
        """The record with placeholders for personal data and secrets, and what was found."""
        return redact_record(record, self.privacy)

    def quality(self, record: Record) -> Iterator[Evidence]:
        """Every filter that would drop the record, and its evidence."""
        for settings in self._filters:
            if drop := filter_record(record, settings):
                yield drop.reason, shown(redact(drop.detail or "", self.privacy)[0])

    def is_for_default(self, kind: str, record: Record) -> bool:
        """Whether the default preset drops the record for a kind of quality finding that it has."""
        return kind in self._default and filter_record(record, self._default[kind]) is not None

    def ends(self, record: Record) -> Iterator[Evidence]:
        """The control string that ends an answer, where there is one."""
        for index, message in enumerate(record.messages):
            if message.role == "assistant" and message.content:
                text = message.content.rstrip()
                bare = without_trailing_control(text)
                if bare and len(bare) < len(text):
                    end = " ".join(text[len(bare) :].split())
                    yield TRAILING_CONTROL, f"message {index}: ends in {excerpt(end, self.privacy)!r}"
                    return

    def kinds_of(self, redacted: Record, found: tuple[Finding, ...]) -> Iterator[Evidence]:
        """The kinds of personal data that were found: how many are where, and the words around the first of each."""
        for kind in KINDS:
            if of_kind := [finding for finding in found if finding.kind == kind]:
                yield kind, describe(of_kind) + _around(redacted, PLACEHOLDERS[kind])

    def of_reading(self, detail: str | None, value: object) -> str:
        """What reading said about a raw row; it may quote the row, so it is hidden where anything there is private."""
        try:
            is_private = bool(self.private(Record(tools=({"row": value},)))[1])
        except RecursionError:  # nested too deeply to be looked through
            is_private = True
        if is_private:
            return HIDDEN
        return shown(redact(detail or "", self.privacy)[0])


def _as_by_default(settings: Mapping[str, Any]) -> FilterConfig:
    """One filter as the default preset has it."""
    default = FilterConfig()
    return FilterConfig(preset="off", **{name: getattr(default, name) for name in settings})


def _around(redacted: Record, placeholder: str, num_chars: int = 30) -> str:
    """`: '…write to [EMAIL] today…'` from the first message that holds the placeholder; nothing where none does."""
    texts = [message.content or "" for message in redacted.messages] if redacted.text is None else [redacted.text]
    for text in texts:
        at = text.find(placeholder)
        if at >= 0:
            end = at + len(placeholder) + num_chars
            words = " ".join(text[max(0, at - num_chars) : end].split())
            return f": {shown(('…' if at > num_chars else '') + words + ('…' if end < len(text) else ''))!r}"
    return ""
