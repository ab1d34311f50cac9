"""The settings of the quality filters, and the presets `off`, `default` and `strict`, with the sources of thresholds.

`default` drops what is broken in any dataset: empty answers, loops, mojibake, leftovers of templates, open code blocks,
answers cut off in the middle of a sentence. `strict` also drops what is a matter of taste: refusals, names of other
models, blanks such as [Your Name], and it uses the repetition limits that Gopher published.

Neither requires a minimum length: in one mix of public data, more than a third of the answers are one or two words, and
correct. Some datasets end every answer with a control token such as <|endoftext|>, which `clean.strip_trailing_control`
removes; `default` keeps such answers, `strict` drops them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from sftdata.curate.quality.languages import check_language_codes
from sftdata.settings.groups import Settings, as_names

Share = Annotated[float, Field(ge=0, le=1)]


class RepetitionConfig(Settings):
    """When an answer repeats itself too much: the measures of Gopher (arXiv 2112.11446, table A1), as shares.

    An answer is dropped if one of its shares is above the limit; a limit of 1 turns a check off. The default limits
    drop an answer if half of it is repetition. That is more than in any good answer among 38,000 public ones (up to
    0.43 in repeated 5-grams, and 0.33 of the lines), and less than in any loop.

    Gopher's own limits are for web pages. Short answers can be good although they repeat some of their few words:
    arithmetic steps, lists, songs. Of those 38,000 answers, Gopher's limits drop 11 % of the ones with 50 to 150 words,
    and 2 % of those with 200 words or more. So the preset `strict` applies them to long answers only, and the default
    limits to shorter ones.
    """

    enabled: bool = Field(True, description="drop answers that repeat themselves")
    min_words: int = Field(30, ge=1, description="shorter answers are not checked (Gopher: 50, its shortest page)")
    long_words: int = Field(
        0, ge=0, description="from this many words on, the limits below apply; shorter answers have those of `default`"
    )
    duplicate_lines: Share = Field(0.5, description="share of lines that repeat an earlier one (Gopher: 0.30)")
    duplicate_line_chars: Share = Field(0.5, description="share of characters in such lines (Gopher: 0.20)")
    duplicate_paragraphs: Share = Field(
        0.5, description="share of paragraphs that repeat an earlier one (Gopher: 0.30)"
    )
    duplicate_paragraph_chars: Share = Field(0.5, description="share of characters in such paragraphs (Gopher: 0.20)")
    top_ngrams: dict[Annotated[int, Field(ge=1, le=20)], Share] = Field(
        {2: 0.5, 3: 0.5, 4: 0.5},
        description="n -> share of characters in the most frequent word n-gram (Gopher: 0.20, 0.18, 0.16)",
    )
    duplicate_ngrams: dict[Annotated[int, Field(ge=1, le=20)], Share] = Field(
        {5: 0.5, 6: 0.5, 7: 0.5, 8: 0.5, 9: 0.5, 10: 0.5},
        description="n -> share of characters in repeated word n-grams (Gopher: 0.15 down to 0.10)",
    )


GOPHER: dict[str, Any] = {
    "enabled": True,
    "long_words": 200,
    "duplicate_lines": 0.30,
    "duplicate_line_chars": 0.20,
    "duplicate_paragraphs": 0.30,
    "duplicate_paragraph_chars": 0.20,
    "top_ngrams": {2: 0.20, 3: 0.18, 4: 0.16},
    "duplicate_ngrams": {5: 0.15, 6: 0.14, 7: 0.13, 8: 0.12, 9: 0.11, 10: 0.10},
}


class FilterConfig(Settings):
    """Which answers are too poor to train on: a preset, or a mapping that changes one.

    `filters: strict`, or `filters: {preset: strict, refusals: false}`; a mapping without `preset` changes default.
    """

    short_for: ClassVar = "preset"

    preset: Literal["off", "default", "strict"] = Field("default", description="what the other settings start from")
    min_answer_chars: int = Field(1, ge=0, description="minimum length of an answer, without control tokens at its end")
    min_answer_words: int = Field(
        0, ge=0, description="the same in words; a Chinese, Japanese or Korean character is a word"
    )
    max_answer_chars: int | None = Field(
        None, ge=1, description="maximum length of an answer (pack.seq_len limits tokens)"
    )
    max_answer_words: int | None = Field(None, ge=1, description="the same in words (Gopher: 100,000)")
    residue: Literal["off", "inside", "anywhere"] = Field(
        "inside",
        description="control tokens and headers of chat templates in answers, such as <|im_end|>, [INST] and "
        "### Response:; `inside` allows end tokens of any known model at the end of an answer, which "
        "clean.strip_trailing_control can remove",
    )
    placeholders: Literal["off", "braces", "all"] = Field(
        "braces", description="unfilled blanks: {{name}} (braces), or [Your Name] too (all)"
    )
    mojibake: bool = Field(
        True, description="text decoded with the wrong encoding, or with U+FFFD in place of characters"
    )
    code_fence: bool = Field(True, description="a code block that is never closed")
    cut_off: bool = Field(True, description="answers that stop in the middle of a sentence")
    cut_off_min_chars: int = Field(100, ge=0, description="shorter answers are not checked for it")
    echo: bool = Field(True, description="answers that only repeat the prompt (as Self-Instruct, arXiv 2212.10560)")
    echo_share: Share = Field(0.9, description="minimum share of the prompt that such an answer repeats")
    boilerplate: bool = Field(True, description='"as an AI language model" and similar phrases from scraped chats')
    identity: bool = Field(
        False, description="answers that claim to be another maker's model (as Tulu, arXiv 2306.04751)"
    )
    refusals: bool = Field(False, description="answers that decline the request; not checked if tools are declared")
    refusal_max_words: int = Field(
        80, ge=1, description="a longer answer is not a refusal (as WizardLM, arXiv 2304.12244, section 2.2)"
    )
    repetition: RepetitionConfig = RepetitionConfig()
    languages: tuple[str, ...] = Field(
        (),
        description="allowed languages of answers, as codes such as en or zh; empty: any (needs sftdata[language])",
    )
    language_score: Share = Field(
        0.65, description="minimum score of a detected language for a drop (0.65 as FineWeb, arXiv 2406.17557)"
    )
    language_min_letters: int = Field(
        40, ge=1, description="answers with fewer letters outside code blocks are not checked"
    )

    @model_validator(mode="before")
    @classmethod
    def _from_preset(cls, value: object) -> object:
        """A bare preset, or the mapping merged into its preset. YAML reads a bare `off` as false."""
        if value is None or isinstance(value, (str, bool)):
            value = {"preset": value}
        if not isinstance(value, Mapping):
            return value
        preset = value.get("preset")
        preset = "off" if preset is False else "default" if preset is True or preset is None else preset
        if preset not in PRESETS:
            raise ValueError(f"{preset!r} is not a preset of the filters; write off, default or strict")
        given = {**value, "preset": preset}
        repetition = given.get("repetition", {})
        if isinstance(repetition, bool):
            repetition = {"enabled": repetition}
        if isinstance(repetition, Mapping):
            given["repetition"] = {**PRESETS[preset].get("repetition", {}), **repetition}
        return {**PRESETS[preset], **given}

    @field_validator("languages", mode="before")
    @classmethod
    def _codes(cls, value: object) -> object:
        return as_names(value, norwegian="no")

    @field_validator("languages")
    @classmethod
    def _known_languages(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return check_language_codes(value)

    def defaults(self) -> dict[str, Any]:
        """The values that the settings have where the preset alone is given."""
        return {**dict(FilterConfig(preset=self.preset)), "preset": "default"}

    @property
    def is_off(self) -> bool:
        """Whether no filter is on."""
        return self.model_copy(update={"preset": "off"}) == OFF


PRESETS: dict[str, dict[str, Any]] = {
    "off": {
        "min_answer_chars": 0,
        "residue": "off",
        "placeholders": "off",
        "mojibake": False,
        "code_fence": False,
        "cut_off": False,
        "echo": False,
        "boilerplate": False,
        "repetition": {"enabled": False},
    },
    "default": {},
    "strict": {
        "max_answer_words": 100_000,
        "residue": "anywhere",
        "placeholders": "all",
        "cut_off_min_chars": 40,
        "identity": True,
        "refusals": True,
        "repetition": GOPHER,
    },
}
OFF = FilterConfig(preset="off")
