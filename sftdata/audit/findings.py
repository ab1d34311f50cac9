"""The result of an audit: findings by kind, each with counts, examples and the setting that handles it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from sftdata.curate.privacy.settings import KINDS
from sftdata.curate.quality.settings import GOPHER
from sftdata.reasons import REASONS

SCHEMA_VERSION = 1  # of `Audit.to_dict`

# Reason of each quality filter -> the settings that turn on only this filter, as strict as the preset `strict`. Control
# tokens at the end of an answer are a separate kind of finding.
QUALITY_FILTERS: Mapping[str, Mapping[str, Any]] = {
    "answer_too_short": {"min_answer_chars": 1},
    "answer_too_long": {"max_answer_words": 100_000},
    "template_residue": {"residue": "inside"},
    "unfilled_placeholder": {"placeholders": "all"},
    "mojibake": {"mojibake": True},
    "open_code_fence": {"code_fence": True},
    "cut_off": {"cut_off": True, "cut_off_min_chars": 40},
    "echoed_prompt": {"echo": True},
    "boilerplate": {"boilerplate": True},
    "foreign_identity": {"identity": True},
    "refusal": {"refusals": True},
    "repetitive": {"repetition": GOPHER},
}
TRAILING_CONTROL = "trailing_control"
_STAGES = (
    "read",
    "format",
    "validate",
    "filter",
    "dedup",
    "decontaminate",
    "internal",
)  # stages whose reasons an audit can find
_CLEAN = {TRAILING_CONTROL: ("clean", "an answer ends in a control string of another model")}
_PRIVATE = {
    "private_key": "the record contains a private key",
    "api_key": "the record contains an API key or a password for a service",
    "email": "the record contains an email address",
    "iban": "the record contains a bank account number (IBAN)",
    "credit_card": "the record contains a credit card number",
    "ip_address": "the record contains a public IP address",
    "phone": "the record contains a phone number",
}
MEANINGS: Mapping[str, tuple[str, str]] = {  # kind -> (stage, meaning), in the order of the report
    **{reason: REASONS[reason] for reason in REASONS if REASONS[reason][0] in _STAGES},
    **_CLEAN,
    **{kind: ("privacy", _PRIVATE[kind]) for kind in KINDS},
}


@dataclass(frozen=True, slots=True)
class Example:
    """A row with a finding: `file:line`, and short evidence on one line, without secrets."""

    where: str
    text: str


@dataclass(frozen=True, slots=True)
class Finding:
    """One kind of problem."""

    kind: str
    stage: str
    rows: int
    share: float  # of all rows
    meaning: str
    default_rows: int | None  # for quality filters: the rows that `filters: default` drops for it; else None
    setting: str | None  # the line of the config that handles it, tried; None: such rows are always dropped
    examples: tuple[Example, ...]  # of the first rows


@dataclass(frozen=True, slots=True)
class WordStats:
    """Words per text: median, 95th percentile and maximum."""

    median: int
    p95: int
    max: int


@dataclass(frozen=True, slots=True)
class SourceStats:
    """Statistics of a source."""

    path: str
    rows: int
    sound: int  # rows that pass reading and the structure checks
    formats: Mapping[str, int]  # format -> rows; also "unknown" and "unreadable"
    unused: Mapping[str, int]  # column, or key of turns, that nothing uses -> sound rows that give it a value
    calls: Mapping[str, int]  # what becomes of tool calls in texts, as "parsed: <tool_call>" -> sound rows
    prompt_words: WordStats | None  # per conversation, all user turns together; None if there are none
    answer_words: WordStats | None  # per assistant turn, or per plain text


@dataclass(frozen=True, slots=True)
class Audit:
    """All findings. A row counts once for each kind of problem that it has."""

    rows: int
    rows_with_findings: int
    evaluation_items: int  # that the rows were compared with
    sources: tuple[SourceStats, ...]
    findings: tuple[Finding, ...]
    notes: tuple[str, ...] = ()  # what of the sources and the evaluation files is not read, or cannot be searched
    settings: str = ""  # a settings file with what handles all findings; it lacks tokenizer and out
    # What handles all findings, as keywords of `sftdata.prepare` beside the same data.
    recommended: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """The audit as JSON types. The keys are stable for one `schema_version`."""
        return {
            "schema_version": SCHEMA_VERSION,
            **{name: one for name, one in asdict(self).items() if name not in ("settings", "recommended")},
        }

    def __getitem__(self, kind: str) -> Finding:
        """The finding of a kind, such as `duplicate`; of no rows if there are none. Raises KeyError for other names."""
        found = next((one for one in self.findings if one.kind == kind), None)
        stage, meaning = MEANINGS[kind]
        return found or Finding(kind, stage, 0, 0.0, meaning, None, None, ())

    def __repr__(self) -> str:
        from sftdata.audit.summary import summarize

        return str(summarize(self))

    def _repr_html_(self) -> str:
        from sftdata.audit.summary import summarize
        from sftdata.view.html import summary_html

        return summary_html(summarize(self))
