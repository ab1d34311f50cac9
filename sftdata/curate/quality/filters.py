"""Quality filters: is a record good enough to train on? Each check looks at one answer and returns a Drop, or None."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from sftdata.curate.privacy.redact import find_private
from sftdata.curate.quality.languages import language_of
from sftdata.curate.quality.phrases import boilerplate, foreign_identity, refusal, unfinished_end
from sftdata.curate.quality.repetition import repetition
from sftdata.curate.quality.residue import (
    looks_like_code,
    mojibake,
    open_code_fence,
    prompt_residue,
    template_residue,
    unfilled_placeholder,
)
from sftdata.curate.quality.settings import FilterConfig
from sftdata.errors import plural
from sftdata.records.end_tokens import EndTokens
from sftdata.records.record import Drop, Record

_ENDS = EndTokens()
_CJK = re.compile(r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\U00020000-\U0003ffff]")


def filter_record(record: Record, settings: FilterConfig) -> Drop | None:
    """The first reason to drop the record, with evidence, or None if it may be trained on.

    Only what would be trained is checked: every answer whose `train` is not false, or the text of a record without
    messages. The evidence names the message, counted from 0, and never shows personal data or secrets.
    Raises ConfigError if `languages` is set and the extra `language` is not installed.
    """
    for place, answer, prompt in _answers(record):
        bare, ends = _ENDS.split(answer.rstrip())
        drop = (
            _check_length(bare, settings)
            or _check_residue(bare, ends, prompt, settings)
            or _check_damage(bare, settings)
            or _check_content(bare, prompt, bool(record.tools), settings)
            or _check_repetition(bare, settings)
            or _check_language(bare, settings)
        )
        if drop is not None:
            return Drop(drop.reason, f"{place}: {drop.detail}")
    return None


def _answers(record: Record) -> Iterator[tuple[str, str, str | None]]:
    """Every answer to check: its place, its text, and the user turn before it, if there is one."""
    if record.text is not None:
        yield "text", record.text, None
    prompt = None
    for number, message in enumerate(record.messages, 1):
        if message.role == "user":
            prompt = message.content
        if message.role == "assistant" and message.content and message.train is not False:
            yield f"message {number}", message.content, prompt


def _check_length(answer: str, settings: FilterConfig) -> Drop | None:
    """Too short or too long, in characters or words."""
    found = _out_of_bounds(len(answer), "character", settings.min_answer_chars, settings.max_answer_chars)
    if found is not None or (settings.min_answer_words == 0 and settings.max_answer_words is None):
        return found
    return _out_of_bounds(count_words(answer), "word", settings.min_answer_words, settings.max_answer_words)


def _out_of_bounds(count: int, unit: str, at_least: int, at_most: int | None) -> Drop | None:
    if count < at_least:
        return Drop("answer_too_short", f"{count} {plural(unit, count)}; at least {at_least} are asked for")
    if at_most is not None and count > at_most:
        return Drop("answer_too_long", f"{count} {plural(unit, count)}; at most {at_most} are allowed")
    return None


def count_words(text: str) -> int:
    """The number of words, separated by white space; every Chinese, Japanese or Korean character is one word."""
    if text.isascii():
        return len(text.split())
    return len(_CJK.sub(" ", text).split()) + len(_CJK.findall(text))


def _check_residue(answer: str, ends: Sequence[str], prompt: str | None, settings: FilterConfig) -> Drop | None:
    """Leftovers of templates, in an answer and in the end tokens that were at its end."""
    if settings.residue != "off":
        found = template_residue(answer)
        if found is None and ends and settings.residue == "anywhere":
            found = ends[0]
        if found:
            return Drop("template_residue", f"holds {_quoted(found, answer)}")
        if prompt is not None and (found := prompt_residue(prompt)):
            return Drop("template_residue", f"the prompt ends in {found}: a template was applied to it before")
    if settings.placeholders != "off":
        found = unfilled_placeholder(answer, brackets=settings.placeholders == "all", prompt=prompt)
        if found:
            return Drop("unfilled_placeholder", f"holds {_quoted(found, answer)}")
    return None


def _check_damage(answer: str, settings: FilterConfig) -> Drop | None:
    """Text that was decoded wrongly or cut off."""
    if settings.mojibake and (garbled := mojibake(answer)):
        wrong, right = garbled
        if right is None:
            return Drop("mojibake", "holds U+FFFD in place of a character")
        return Drop("mojibake", f"holds {_quoted(wrong, answer)} where {_quoted(right, answer)} is meant")
    if settings.code_fence and (line := open_code_fence(answer)):
        return Drop("open_code_fence", f"the code block opened in line {line} is never closed")
    if (
        settings.cut_off
        and len(answer) >= settings.cut_off_min_chars
        and (end := unfinished_end(answer))
        and not looks_like_code(answer)
    ):
        return Drop("cut_off", f"{len(answer)} {plural('character', len(answer))} that end in {end!r}")
    return None


def _check_content(answer: str, prompt: str | None, has_tools: bool, settings: FilterConfig) -> Drop | None:
    """Answers that do not answer, or speak as another model.

    Refusals are allowed if tools are declared: the model should learn to say that no tool does what is asked.
    """
    if settings.echo and prompt is not None and 2 * len(answer) >= settings.echo_share * len(prompt):
        question, echo = _folded(prompt), _folded(answer)
        if echo and len(echo) >= settings.echo_share * len(question) and echo in question:
            return Drop("echoed_prompt", f"repeats {len(echo) / len(question):.0%} of the prompt and says nothing else")
    if settings.boilerplate and (phrase := boilerplate(answer)):
        return Drop("boilerplate", f"says {phrase!r}")
    if settings.identity and (phrase := foreign_identity(answer)):
        return Drop("foreign_identity", f"says {phrase!r}")
    if settings.refusals and not has_tools and (phrase := refusal(answer)):
        num_words = count_words(answer)
        if num_words <= settings.refusal_max_words:
            begin = "words that begin" if num_words != 1 else "word that begins"
            return Drop("refusal", f"{num_words} {begin} {_quoted(phrase, answer)}")
    return None


def _folded(text: str) -> str:
    """A text in lower case with single spaces."""
    return " ".join(text.lower().split())


def _check_repetition(answer: str, settings: FilterConfig) -> Drop | None:
    """Answers that repeat themselves."""
    if settings.repetition.enabled and (found := repetition(answer, settings.repetition)):
        measure, passage = found
        return Drop("repetitive", f"{measure}, most of all {_quoted(passage, answer)}")
    return None


def _check_language(answer: str, settings: FilterConfig) -> Drop | None:
    """Answers in a language that is not among those allowed."""
    if not settings.languages or looks_like_code(answer):
        return None
    found = language_of(answer, settings.language_min_letters)
    if found is None or found[0] in settings.languages or found[1] < settings.language_score:
        return None
    return Drop("wrong_language", f"is in {found[0]} (score {found[1]:.2f}), not in {', '.join(settings.languages)}")


def _quoted(quotation: str, answer: str, max_chars: int = 60) -> str:
    """A short quotation from the answer for the ledger; none if the answer holds personal data or a secret."""
    if find_private(answer):
        return "words not shown here, for the answer holds personal data"
    quotation = " ".join(quotation.split())
    return repr(quotation if len(quotation) <= max_chars else quotation[: max_chars - 1] + "…")
