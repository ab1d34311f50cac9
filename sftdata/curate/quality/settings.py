"""The settings of the quality filters, and the presets `off`, `default` and `strict`, each threshold with its source.

`default` drops what is broken in any data set: empty answers, loops, mojibake, left-overs of templates, open code
blocks, answers cut in the middle of a sentence. `strict` adds what is a matter of taste: refusals, names of other
models, blanks such as [Your Name], and the repetition limits as Gopher published them.

Neither asks for a length: in one mix of public data, more than a third of the answers are a word or two, and right.
Whole data sets end every answer in a control token such as <|endoftext|>, which `clean.strip_trailing_control` takes
off; `default` keeps such answers, `strict` drops those that still end so.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from sftdata.curate.quality.languages import check_language_codes
from sftdata.settings.groups import Settings

Share = Annotated[float, Field(ge=0, le=1)]


class RepetitionConfig(Settings):
    """When an answer repeats itself too much: the measures of Gopher (arXiv 2112.11446, table A1), as shares.

    An answer is dropped where one of its shares is above the limit; 1 turns a limit off. The default limits ask that
    half of an answer be repeats. That is more than any sound answer among 38,000 public ones has (0.43 of it in
    repeated runs of 5 words, 0.33 of its lines), and less than any loop.

    Gopher's own limits are for web pages. Short answers repeat some of their few words, and are sound: worked sums,
    lists, songs. Of those answers, Gopher's limits drop 11 % where they have 50 to 150 words, and 2 % from 200 words
    on. So the preset `strict` holds long answers to them, and shorter ones to the default limits.
    """

    enabled: bool = Field(True, description="drop answers that repeat themselves")
    min_words: int = Field(30, ge=1, description="shorter answers are not judged (Gopher: 50, its shortest page)")
    long_words: int = Field(
        0, ge=0, description="answers of at least so many words have the limits below, shorter ones those of `default`"
    )
    duplicate_lines: Share = Field(0.5, description="share of lines that stand earlier (Gopher: 0.30)")
    duplicate_line_chars: Share = Field(0.5, description="share of characters in such lines (Gopher: 0.20)")
    duplicate_paragraphs: Share = Field(0.5, description="share of paragraphs that stand earlier (Gopher: 0.30)")
    duplicate_paragraph_chars: Share = Field(0.5, description="share of characters in such paragraphs (Gopher: 0.20)")
    top_ngrams: dict[Annotated[int, Field(ge=1, le=20)], Share] = Field(
        {2: 0.5, 3: 0.5, 4: 0.5},
        description="words in a run -> share of characters in the most frequent run (Gopher: 0.20, 0.18, 0.16)",
    )
    duplicate_ngrams: dict[Annotated[int, Field(ge=1, le=20)], Share] = Field(
        {5: 0.5, 6: 0.5, 7: 0.5, 8: 0.5, 9: 0.5, 10: 0.5},
        description="words in a run -> share of characters in runs that stand earlier (Gopher: 0.15 down to 0.10)",
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
    """Which answers are too poor to train on: a preset, or a mapping that starts from one.

    `filters: strict`, or `filters: {preset: strict, refusals: false}`; a mapping without `preset` starts from default.
    """

    preset: Literal["off", "default", "strict"] = Field("default", description="what the other settings start from")
    min_answer_chars: int = Field(
        1, ge=0, description="a shorter answer is dropped; control tokens at its end not counted"
    )
    min_answer_words: int = Field(0, ge=0, description="the same in words; a Chinese or Japanese character is a word")
    max_answer_chars: int | None = Field(
        None, ge=1, description="a longer answer is dropped (pack.seq_len limits tokens)"
    )
    max_answer_words: int | None = Field(None, ge=1, description="the same in words (Gopher: 100,000)")
    residue: Literal["off", "inside", "anywhere"] = Field(
        "inside",
        description="control tokens and headers of chat templates in answers, such as <|im_end|>, [INST] and "
        "### Response:; `inside` forgives control tokens that end an answer, for clean.strip_trailing_control takes "
        "those off and keeps the answer",
    )
    placeholders: Literal["off", "braces", "all"] = Field(
        "braces", description="blanks nobody filled in: {{name}} (braces), and [Your Name] too (all)"
    )
    mojibake: bool = Field(True, description="text decoded with the wrong encoding, or with U+FFFD in place of letters")
    code_fence: bool = Field(True, description="a code block that is opened and never closed")
    cut_off: bool = Field(True, description="answers that stop in the middle of a sentence")
    cut_off_min_chars: int = Field(100, ge=0, description="shorter answers are not taken for cut off")
    echo: bool = Field(True, description="answers that merely repeat the prompt (as Self-Instruct, arXiv 2212.10560)")
    echo_share: Share = Field(0.9, description="share of the prompt that a repeating answer holds at least")
    boilerplate: bool = Field(True, description='"as an AI language model" and its like, left over from scraped chats')
    identity: bool = Field(
        False, description="answers that say they are another maker's model (as Tulu, arXiv 2306.04751)"
    )
    refusals: bool = Field(False, description="answers that decline the request; not judged where tools are declared")
    refusal_max_words: int = Field(
        80, ge=1, description="a longer answer is no refusal (as WizardLM, arXiv 2304.12244, section 2.2)"
    )
    repetition: RepetitionConfig = RepetitionConfig()
    languages: tuple[str, ...] = Field(
        (),
        description="languages that answers may be in, as codes such as en or zh; empty: any (needs sftdata[language])",
    )
    language_score: Share = Field(
        0.65, description="how sure the language must be for a drop (0.65 as FineWeb, arXiv 2406.17557)"
    )
    language_min_letters: int = Field(40, ge=1, description="shorter answers are not judged; code blocks not counted")

    @model_validator(mode="before")
    @classmethod
    def _from_preset(cls, value: object) -> object:
        """A bare preset, or a mapping laid over its preset. YAML reads a bare `off` as false."""
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
    def _one_language(cls, value: object) -> object:
        """A bare code stands for a list of one. YAML reads Norwegian's bare `no` as false."""
        codes = value if isinstance(value, (list, tuple)) else (value,)
        return tuple("no" if code is False else code for code in codes)

    @field_validator("languages")
    @classmethod
    def _known_languages(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return check_language_codes(value)

    @property
    def is_off(self) -> bool:
        """Whether nothing is filtered at all."""
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
