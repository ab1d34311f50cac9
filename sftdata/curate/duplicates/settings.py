"""The settings of `dedup`: which repeated conversations are dropped, and which of them is kept."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator, model_validator

from sftdata.curate.words import On
from sftdata.settings.groups import Settings

Keep = Literal["first", "longest_answer"]

_ON = "the text that is compared"
_KEEP = "which one stays"


class _Comparison(Settings):
    """Settings with a key `on`."""

    @model_validator(mode="before")
    @classmethod
    def _on_is_a_name(cls, value: object) -> object:
        """YAML reads the bare key `on` as true."""
        return {"on" if key is True else key: item for key, item in value.items()} if isinstance(value, dict) else value


class NearConfig(_Comparison):
    """When two conversations are near-duplicates, and which of them is kept."""

    threshold: float = Field(
        0.8,
        gt=0,
        le=1,
        description="share of their word shingles that two conversations have in common (Jaccard similarity; "
        "0.8 as in Lee et al., arXiv 2107.06499)",
    )
    on: On = Field("conversation", description=_ON)
    shingle_words: int = Field(3, ge=1, le=100, description="words in a shingle")
    keep: Keep = Field("first", description=_KEEP)


class SemanticConfig(_Comparison):
    """When two conversations say the same in other words, and which of them is kept."""

    model: str = Field(description="the folder of a sentence-transformers model (needs sftdata[semantic])")
    threshold: float = Field(
        0.95,
        gt=0,
        le=1,
        description="cosine of the two texts' embeddings, to four decimals; what it means differs from model to model",
    )
    on: On = Field("prompt", description=f"{_ON}: prompt, answer or conversation; as much of it as the model reads")
    keep: Keep = Field("first", description=f"{_KEEP}: first or longest_answer")


class PrefixConfig(Settings):
    """When two prompts begin alike."""

    chars: int = Field(200, ge=1, description="characters that two prompts share at their start (some sentences)")


class CapConfig(Settings):
    """At most so many rows for each value of a column."""

    column: str = Field(description="a column of the data, such as user_id")
    max_records: int = Field(200, ge=1, description="rows of one value that stay (200 as InstructGPT)")


class DedupConfig(Settings):
    """Which repeated conversations are dropped."""

    exact: bool = Field(True, description="drop a conversation whose canonical text stands earlier in the data")
    near: NearConfig | None = Field(None, description="drop near-duplicates of a kept conversation; off, or settings")
    prefix: PrefixConfig | None = Field(
        None, description="drop prompts that begin like a kept one (InstructGPT, arXiv 2203.02155); off, or settings"
    )
    semantic: SemanticConfig | None = Field(
        None, description="drop what says the same as a kept conversation in other words; off, or settings"
    )
    caps: tuple[CapConfig, ...] = Field((), description="columns of whose values only so many rows are kept")

    @field_validator("near", "prefix", "semantic", mode="before")
    @classmethod
    def _on_or_off(cls, value: object) -> object:
        """A bare `on` stands for the default settings. YAML reads a bare `on` as true, and `off` as false."""
        if value is None or value is False or value == "off":
            return None
        return {} if value is True or value == "on" else value
