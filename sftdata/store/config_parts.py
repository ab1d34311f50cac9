"""What readers of a dataset use of the settings in its manifest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError


def _is_unicode(text: str) -> str:
    """Reject a lone surrogate, which no column of the ledger can have."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("must be valid Unicode") from None
    return text


Name = Annotated[str, AfterValidator(_is_unicode)]
Positive = Annotated[int, Field(strict=True, ge=1, le=2**63 - 1)]
Natural = Annotated[int, Field(strict=True, ge=0)]


class Part(BaseModel):
    """Some settings: immutable; other keys are nobody's business here."""

    model_config = ConfigDict(extra="ignore", frozen=True, defer_build=True)


class RowsPart(Part):
    """Rows that were given as Python objects: no file has them."""

    count: Natural


class SourcePart(Part):
    """A source: what the ledger and the shards can be compared with."""

    path: Name
    format: str = "auto"
    repeat: Positive = 1
    keep: tuple[Name, ...] = ()
    max_records: Natural | None = None
    weight: float | None = None
    rows: RowsPart | None = None


class PackPart(Part):
    """How samples are packed."""

    seq_len: Positive | None = None
    strategy: str | None = None


class PrivacyPart(Part):
    """What is done about personal data."""

    mode: str | None = None


class DedupPart(Part):
    """Which duplicates are dropped: a kind that is off is null."""

    exact: bool = True
    near: Any = None
    prefix: Any = None
    semantic: Any = None
    caps: tuple[Any, ...] = ()


class DecontaminatePart(Part):
    """What is compared with evaluation files."""

    against: tuple[Any, ...] = ()


class SplitPart(Part):
    """What is held out."""

    validation: float | None = None


def given_lines(parts: ConfigParts) -> list[str]:
    """A line for each source whose rows were given as Python objects."""
    return [
        f"{source.path}: {source.rows.count:,} rows given in Python, which are in no file"
        for source in parts.sources
        if source.rows is not None
    ]


class ConfigParts(Part):
    """The settings in a manifest, as far as they are used. A key that is not there is None, or empty."""

    tokenizer: str | None = None
    template: str | None = None
    seed: Natural | None = None
    overlong: str | None = None
    sources: tuple[SourcePart, ...] = ()
    pack: PackPart = PackPart()
    privacy: PrivacyPart = PrivacyPart()
    dedup: DedupPart | None = None
    decontaminate: DecontaminatePart | None = None
    split: SplitPart | None = None

    @staticmethod
    def of(config: Mapping[str, Any]) -> ConfigParts:
        """These settings. Raises ValueError, with the key and what is wrong with it, if one has the wrong type."""
        try:
            return ConfigParts.model_validate(config)
        except ValidationError as error:
            raise ValueError(first_problem(error)) from error


def first_problem(error: ValidationError) -> str:
    """The first thing that is wrong, in one line: where, and what."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    key = ".".join(str(part)[:50] for part in first["loc"])
    message = first["msg"].removeprefix("Value error, ")
    what = f"{message[:1].lower()}{message[1:]}"
    return f"{key}: {what}" if key else what
