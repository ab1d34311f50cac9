"""The settings of `dedup`: which duplicates are dropped, and which row of several is kept."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator, model_validator

from sftdata.curate.words import ComparedText
from sftdata.settings.groups import Settings

Keep = Literal["first", "longest_answer"]

_ON = "the text to compare"
_KEEP = "which row to keep"


class _Comparison(Settings):
    """Settings that have a key `on`."""

    @model_validator(mode="before")
    @classmethod
    def _on_is_a_name(cls, value: object) -> object:
        """YAML reads the bare key `on` as true."""
        return {"on" if key is True else key: item for key, item in value.items()} if isinstance(value, dict) else value


class NearConfig(_Comparison):
    """When two conversations are near-duplicates, and which one is kept."""

    threshold: float = Field(
        0.8,
        gt=0,
        le=1,
        description="Jaccard similarity of the two texts' word shingles, from which they are near-duplicates "
        "(0.8 as in Lee et al., arXiv 2107.06499)",
    )
    on: ComparedText = Field("conversation", description=_ON)
    shingle_words: int = Field(3, ge=1, le=100, description="words per shingle")
    keep: Keep = Field("first", description=_KEEP)
    max_comparisons: int = Field(
        128,
        ge=1,
        description="rows that share a template with very many others are compared with this many of them, on average, "
        "and then with those that are most alike",
    )


class SemanticConfig(_Comparison):
    """When two conversations are semantic duplicates, and which one is kept."""

    model: str = Field(description="folder of a sentence-transformers model (needs sftdata[semantic])")
    threshold: float = Field(
        0.95,
        gt=0,
        le=1,
        description="cosine of the two texts' embeddings, from which they are duplicates, to four decimals; "
        "the right value depends on the model",
    )
    on: ComparedText = Field(
        "prompt", description=f"{_ON}: prompt, answer or conversation; as much of it as the model reads"
    )
    keep: Keep = Field("first", description=f"{_KEEP}: first or longest_answer")


class PrefixConfig(Settings):
    """When two prompts share a prefix."""

    chars: int = Field(
        200, ge=1, description="length of the prefix that two prompts share, in characters (a few sentences)"
    )


class CapConfig(Settings):
    """A maximum number of rows per value of a column."""

    column: str = Field(description="a column of the data, such as user_id")
    max_records: int = Field(200, ge=1, description="rows to keep per value (200 as InstructGPT)")


class DedupConfig(Settings):
    """Which duplicates are dropped."""

    exact: bool = Field(True, description="drop exact duplicates of an earlier row")
    near: NearConfig | None = Field(None, description="drop near-duplicates of a kept row; off, on, or settings")
    prefix: PrefixConfig | None = Field(
        None,
        description="drop prompts that begin like a kept one (InstructGPT, arXiv 2203.02155); off, on, or settings",
    )
    semantic: SemanticConfig | None = Field(
        None, description="drop rows that mean the same as a kept row, in other words; off, or settings"
    )
    caps: tuple[CapConfig, ...] = Field((), description="columns with a maximum number of rows per value")

    @field_validator("near", "prefix", "semantic", mode="before")
    @classmethod
    def _on_or_off(cls, value: object) -> object:
        """A bare `on` means the default settings. YAML reads a bare `on` as true, and `off` as false."""
        if value is None or value is False or value == "off":
            return None
        return {} if value is True or value == "on" else value
