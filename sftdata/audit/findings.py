"""What an audit says: findings by kind, each with counts, examples and the setting that would act on it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from sftdata.curate.privacy.settings import KINDS
from sftdata.curate.quality.settings import GOPHER
from sftdata.reasons import REASONS

SCHEMA_VERSION = 1  # of `Audit.to_dict`

# What each filter of the strict preset is called by: the settings that switch on this one and no other. Control tokens
# at the end of an answer are a finding of their own.
QUALITY: Mapping[str, Mapping[str, Any]] = {
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
_STAGES = ("read", "format", "validate", "filter", "dedup", "decontaminate")  # that an audit looks into
_CLEAN = {TRAILING_CONTROL: ("clean", "an answer ends in a control string of another model")}
_PRIVATE = {
    "private_key": "the record holds a private key",
    "api_key": "the record holds an API key or a password to a service",
    "email": "the record holds an e-mail address",
    "iban": "the record holds a bank account number",
    "credit_card": "the record holds the number of a credit card",
    "ip_address": "the record holds a public internet address",
    "phone": "the record holds a telephone number",
}
MEANINGS: Mapping[str, tuple[str, str]] = {  # kind -> (stage, what it means), in the order in which they are told
    **{reason: REASONS[reason] for reason in REASONS if REASONS[reason][0] in _STAGES},
    **_CLEAN,
    **{kind: ("privacy", _PRIVATE[kind]) for kind in KINDS},
}


@dataclass(frozen=True, slots=True)
class Example:
    """A row with a finding: `file:line`, and the evidence, short, on one line, without secrets."""

    where: str
    text: str


@dataclass(frozen=True, slots=True)
class Finding:
    """One kind of thing that is wrong with rows."""

    kind: str
    stage: str
    rows: int
    share: float  # of all rows read
    meaning: str
    default_rows: int | None  # of a filter: the rows that `filters: default` drops for it; else None
    setting: str | None  # the line of the config that acts on it; None: every run drops such rows
    examples: tuple[Example, ...]  # the first ones


@dataclass(frozen=True, slots=True)
class Words:
    """How many words texts have: at least half of them have at most `median`, 95 % at most `p95`."""

    median: int
    p95: int
    max: int


@dataclass(frozen=True, slots=True)
class SourceStats:
    """What a source holds."""

    path: str
    rows: int
    sound: int  # rows that reading and the structure checks let pass
    formats: Mapping[str, int]  # format -> rows; "unknown" and "unreadable" where there is none
    prompt_words: Words | None  # of all user turns of a conversation together; None where there is none
    answer_words: Words | None  # of each assistant turn, or of a plain text


@dataclass(frozen=True, slots=True)
class Audit:
    """All that was found. A row counts once for each kind, and so for several kinds where it has several."""

    rows: int
    rows_with_findings: int
    evaluation_items: int  # that the rows were held against
    sources: tuple[SourceStats, ...]
    findings: tuple[Finding, ...]

    def to_dict(self) -> dict[str, Any]:
        """All of it as JSON knows it, with keys that stay the same for one `schema_version`."""
        return {"schema_version": SCHEMA_VERSION, **asdict(self)}


def settings_line(settings: Mapping[str, Any]) -> str:
    """Settings as a line of YAML: {"dedup": {"exact": True}} -> `dedup: {exact: true}`."""
    return ", ".join(f"{key}: {_flow(value)}" for key, value in settings.items())


def _flow(value: Any) -> str:
    """A value as YAML writes it within a line."""
    import json

    import yaml

    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_flow(key)}: {_flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(_flow, value)) + "]"
    if isinstance(value, str):
        plain = value.isascii() and value.isprintable() and not set(value) & set(",[]{}:#'\"")
        return value if plain and yaml.safe_load(value) == value else json.dumps(value)
    return json.dumps(value)
