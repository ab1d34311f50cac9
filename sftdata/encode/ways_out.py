"""What would train the rows that the chat template refuses: templates and settings, tried on these very rows.

A built-in template is tried only if every marker that it writes is an added token of the tokenizer: with another
family's template, a model would train on markers that are text to it. What is named keeps the rows of a sample that are
trained now, and trains more of the refused ones than anything else that was tried.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date as Date
from itertools import starmap
from typing import Any

from sftdata.encode.record_encoder import EncodeSettings, RecordEncoder
from sftdata.encode.stats import KEPT, EncodingStats
from sftdata.encode.template.jinja import RenderError
from sftdata.encode.template.load import load_template, template_names, template_source
from sftdata.encode.template.probes import ANSWER, LATER, USER
from sftdata.encode.template.reasoning import has_reasoning
from sftdata.encode.template.thinking import arguments_read
from sftdata.encode.tokenizer.load import TokenizerFiles
from sftdata.errors import SftDataError
from sftdata.records.record import Drop, Record
from sftdata.records.tools_as_text import has_calls, has_tools

Tried = tuple[Record, int]  # and the place of its source in EncodeSettings.sources
REASONS = ("template_error", "no_end_of_turn", "lost_field", "unproven_mask")
_MARKER = re.compile(
    r"<\|[^|<>\s]{1,40}\|>|<\uff5c[^\uff5c<>\s]{1,40}\uff5c>|\[/?[A-Z_]{3,}\]|\[gMASK\]|<sop>"
    r"|<(?:start|end)_of_turn>|</?think>|</?tool_call>"
)
MAX_SWITCHES = 8  # arguments that are tried, of templates that read very many
_CHAT = [
    {"role": "user", "content": USER},
    {"role": "assistant", "content": ANSWER},
    {"role": "user", "content": LATER},
]


def find_ways_out(stats: EncodingStats, settings: EncodeSettings) -> dict[str, str]:
    """By reason, the setting that trains most of the sampled records that were refused for it, and how many."""
    tried = {reason: refused for reason in REASONS if (refused := _tried(stats, reason))}
    if not tried:
        return {}
    encoder = RecordEncoder(settings)
    kept = [record for record in _tried(stats, KEPT) if encoder.can_prove(*record)]
    ways = {reason: _best_way(refused, kept, settings) for reason, refused in tried.items()}
    return {reason: way for reason, way in ways.items() if way is not None}


def _tried(stats: EncodingStats, reason: str) -> list[Tried]:
    """The sampled records of a reason, and the places of their sources in the settings."""
    return [(Record.from_json(text), source) for _, text, source in stats.examples.get(reason, ())]


def fitting_templates(files: TokenizerFiles, date: str) -> list[str]:
    """The built-in templates that can train something with a tokenizer that has all of their markers."""
    settings = EncodeSettings(files=files, date=date)
    return [name for name in template_names() if _fits(replace(settings, template=name)) is not None]


def _best_way(refused: Sequence[Tried], kept: Sequence[Tried], settings: EncodeSettings) -> str | None:
    """The best setting for these records, in words, or None if none trains any of them."""
    unfit: set[str] = set()
    ranked = _provers_of(refused, kept, settings, _candidates(settings), unfit)
    if all(number < len(refused) for number, _, _ in ranked):
        together = (entry for entry in _together(settings, refused) if entry[1].template not in unfit)
        ranked += _provers_of(refused, kept, settings, together, unfit)
    for _, name, changed in sorted(ranked, key=lambda entry: -entry[0]):
        encoder = RecordEncoder(changed)
        results = encoder.encode(*zip(*refused, *kept))
        whole = [not isinstance(result, Drop) and at not in encoder.left_out for at, result in enumerate(results)]
        trained = sum(whole[: len(refused)])
        if trained and all(whole[len(refused) :]):
            return f"{name} trains {trained} of {len(refused)} of them that were tried"
    return None


def _provers_of(
    refused: Sequence[Tried],
    kept: Sequence[Tried],
    settings: EncodeSettings,
    candidates: Iterable[tuple[str, EncodeSettings]],
    unfit: set[str],
) -> list[tuple[int, str, EncodeSettings]]:
    """How many of the refused records can be proven with which of these settings, if all kept ones still can be.

    Adds the templates that do not fit the tokenizer to `unfit`.
    """
    # A template that writes no reasoning would train its marks as the pieces of a text.
    thinks = RecordEncoder(settings).shows_reasoning and any(has_reasoning(record) for record, _ in (*refused, *kept))
    writes_calls = any(has_calls(record) for record, _ in kept)
    found = []
    for name, changed in candidates:
        if changed.tool_calls != settings.tool_calls and writes_calls:
            continue  # calls that the template writes in the model's own form would become text
        encoder = RecordEncoder(changed) if changed.template == settings.template else _fits(changed)
        if encoder is None:
            unfit.add(changed.template)
            continue
        if thinks and not encoder.shows_reasoning:
            continue
        if changed.reasoning != settings.reasoning and encoder.shows_reasoning:
            continue  # it would train that there is none, or write it twice
        if not _is_possible(encoder):
            continue
        number = sum(starmap(encoder.can_prove, refused))
        if number and all(starmap(encoder.can_prove, kept)):
            found.append((number, name, changed))
    return found


def _together(settings: EncodeSettings, refused: Sequence[Tried]) -> Iterator[tuple[str, EncodeSettings]]:
    """Several settings at once, tried where none of them trains all: as `_candidates`.

    They are what makes text of tool calls and of reasoning, together or with another template.
    """
    calls = settings.tool_calls == "keep" and any(has_tools(record) for record, _ in refused)
    thoughts = settings.reasoning == "keep" and any(has_reasoning(record) for record, _ in refused)
    own: dict[str, Any] = {"tool_calls": "inline"} if calls else {}
    both: dict[str, Any] = {**own, "reasoning": "inline"} if thoughts else {}
    if own and both:
        yield _as_written(both), replace(settings, guarded_tokenizer=None, **both)
    for name, changed in _candidates(settings) if own or both else ():
        for more in filter(None, (own, both)):
            if name.startswith(("template=", "thinking=")):
                yield f"{_as_written(more)} {name}", replace(changed, guarded_tokenizer=None, **more)
    if own and both:
        dropped = {**own, "reasoning": "drop"}
        yield _as_written(dropped), replace(settings, guarded_tokenizer=None, **dropped)


def _as_written(settings: Mapping[str, Any]) -> str:
    """Settings as on the command line."""
    return " ".join(f"{name}={value}" for name, value in settings.items())


def _candidates(settings: EncodeSettings) -> Iterator[tuple[str, EncodeSettings]]:
    """Settings to try, by what to write on the command line. Of equally good ones, the first is named."""
    if settings.tool_call_ids == "keep":
        yield "tool_call_ids=make", replace(settings, tool_call_ids="make")
    yield from _switches(settings)
    near, far = _templates(settings)
    for name in near:
        yield f"template={name}", replace(settings, template=name, guarded_tokenizer=None)
    if settings.reasoning == "keep":
        yield "reasoning=inline", replace(settings, reasoning="inline")
    if far and settings.tool_calls == "keep":
        yield "tool_calls=inline", replace(settings, tool_calls="inline", guarded_tokenizer=None)
    for name in far:
        yield f"template={name}", replace(settings, template=name, guarded_tokenizer=None)
    if settings.train_on == "all":
        yield "train_on=last", replace(settings, train_on="last")
    if not far and settings.tool_calls == "keep":
        yield "tool_calls=inline", replace(settings, tool_calls="inline", guarded_tokenizer=None)
    if settings.lost_context == "drop":
        yield "lost_context=warn", replace(settings, lost_context="warn")
    if settings.reasoning == "keep":
        yield "reasoning=drop", replace(settings, reasoning="drop")


def _templates(settings: EncodeSettings) -> tuple[list[str], list[str]]:
    """The templates to try: those that write plain chats as the chosen one does, and the others.

    The tokenizer's own come first, then those that write the same, then those with the same turns behind another
    beginning, such as a system message by default. Of several, one that the name of the tokenizer has in it.
    """
    own = _plain_texts(settings)
    ranks: dict[str, tuple[int, int]] = {}
    for name in dict.fromkeys([*settings.files.chat_templates, *template_names()]):
        if name == settings.template or (name == "default" and settings.template == "auto"):
            continue
        texts = None if own is None or not _has_markers(name, settings.files) else _plain_texts(settings, name)
        same = 0 if texts == own else 1 if texts is not None and own is not None and texts[1] == own[1] else 2
        ranks[name] = (-1 if name in settings.files.chat_templates else same, -_named(name, settings.files.source))
    ordered = sorted(ranks, key=ranks.__getitem__)  # in their own order where equal
    return [name for name in ordered if ranks[name][0] < 2], [name for name in ordered if ranks[name][0] == 2]


def _plain_texts(settings: EncodeSettings, name: str = "") -> tuple[str, str] | None:
    """A plain chat as a template writes it, and what it writes behind the first question; None if it refuses it."""
    template = load_template(
        name or settings.template,
        own=settings.files.chat_templates,
        special_tokens=settings.files.special_tokens,
        today=Date.fromisoformat(settings.date),
    )
    try:
        text = template.render(_CHAT, add_generation_prompt=True, kwargs=settings.chat_template_kwargs)
    except RenderError:
        return None
    return text, text.partition(USER)[2]


def _named(name: str, source: str) -> int:
    """How much of a tokenizer's name is the name of a template: `llama3.2` in Llama-3.2-1B, not `qwen3` in Qwen3.5."""
    parts = re.split(r"(?<=[a-z])(?=\d)|-", name)
    pattern = "[-_ ]?".join(map(re.escape, parts)) + r"(?!\.?\d)"
    return len(name) if re.search(pattern, source.lower()) else 0


def _switches(settings: EncodeSettings) -> Iterator[tuple[str, EncodeSettings]]:
    """Switches that the template reads, thinking first: what it reads as true or false, and nobody has set."""
    probes = RecordEncoder(settings).probes
    switch = probes.thinking.switch
    for mode in ("auto", "on", "off") if switch is not None else ():
        if mode != settings.thinking:
            yield f"thinking={mode}", replace(settings, thinking=mode)
    known = {*settings.chat_template_kwargs, *((switch.name,) if switch else ())}
    names = [name for name in arguments_read(probes.template) if name not in known]
    for name in names[:MAX_SWITCHES]:
        for value in (True, False):
            kwargs = {**settings.chat_template_kwargs, name: value}
            yield f"chat_template_kwargs.{name}={str(value).lower()}", replace(settings, chat_template_kwargs=kwargs)


def _is_possible(encoder: RecordEncoder) -> bool:
    """Whether a run with these settings would begin."""
    try:
        encoder.check()
    except SftDataError:
        return False
    return True


def _fits(settings: EncodeSettings) -> RecordEncoder | None:
    """An encoder with a template, or None if the tokenizer does not have all its markers, or it could train nothing.

    The markers are those in its source, of which there must be some, and those in renderings.
    """
    own = settings.template in settings.files.chat_templates
    if not _has_markers(settings.template, settings.files):
        return None
    try:
        encoder = RecordEncoder(settings)
        encoder.check()
    except SftDataError:
        return None
    known = {token.content for token in settings.files.added_tokens()}
    return encoder if own or _written_markers(encoder) <= known else None


def _has_markers(name: str, files: TokenizerFiles) -> bool:
    """Whether a template is the tokenizer's own, or has markers in its source, all of which are tokens."""
    if name in files.chat_templates:
        return True
    known = {token.content for token in files.added_tokens()}
    markers = set(_MARKER.findall(re.sub(r"\{#.*?#\}", "", template_source(name), flags=re.DOTALL)))
    return bool(markers) and markers <= known


def _written_markers(encoder: RecordEncoder) -> set[str]:
    """The markers in renderings of short chats."""
    markers: set[str] = set()
    for chat in (_CHAT, [{"role": "system", "content": "s"}, *_CHAT]):
        try:
            text = encoder.template.render(chat, add_generation_prompt=True)
        except RenderError:
            continue
        markers |= set(_MARKER.findall(text))
    return markers


def as_lines(ways: Mapping[str, str]) -> list[str]:
    """Each way out as a sentence."""
    return [f"rows dropped as {reason}: {way}" for reason, way in ways.items()]
