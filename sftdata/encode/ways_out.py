"""What would train the rows that the chat template refuses: templates and settings, tried on these very rows.

A built-in template is tried only if every marker that it writes is an added token of the tokenizer: with another
family's template, a model would train on markers that are text to it. What is named keeps the rows of a sample that are
trained now, and trains more of the refused ones than anything else that was tried.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from sftdata.encode.record_encoder import EncodeSettings, RecordEncoder
from sftdata.encode.stats import KEPT, EncodingStats
from sftdata.encode.template.jinja import RenderError
from sftdata.encode.template.load import template_names, template_source
from sftdata.encode.template.reasoning import has_reasoning
from sftdata.encode.tokenizer.load import TokenizerFiles
from sftdata.errors import SftDataError
from sftdata.records.record import Drop, Record

REASONS = ("template_error", "no_end_of_turn", "lost_field", "unproven_mask")
_MARKER = re.compile(
    r"<\|[^|<>\s]{1,40}\|>|<\uff5c[^\uff5c<>\s]{1,40}\uff5c>|\[/?[A-Z_]{3,}\]|\[gMASK\]|<sop>"
    r"|<(?:start|end)_of_turn>|</?think>|</?tool_call>"
)
_CHAT = [{"role": "user", "content": "u"}, {"role": "assistant", "content": "a"}, {"role": "user", "content": "u"}]


def find_ways_out(stats: EncodingStats, settings: EncodeSettings) -> dict[str, str]:
    """By reason, the setting that trains most of the sampled records that were refused for it, and how many."""
    kept = [Record.from_json(text) for _, text in stats.examples.get(KEPT, ())]
    found = {}
    for reason in REASONS:
        refused = [Record.from_json(text) for _, text in stats.examples.get(reason, ())]
        way = _best_way(refused, kept, settings) if refused else None
        if way is not None:
            found[reason] = way
    return found


def fitting_templates(files: TokenizerFiles, date: str) -> list[str]:
    """The built-in templates that can train something with a tokenizer that has all of their markers."""
    settings = EncodeSettings(files=files, date=date)
    return [name for name in template_names() if _fits(replace(settings, template=name)) is not None]


def _best_way(refused: Sequence[Record], kept: Sequence[Record], settings: EncodeSettings) -> str | None:
    """The best setting for these records, in words, or None if none trains any of them."""
    ranked = []
    # A template that writes no reasoning would train its marks as the pieces of a text.
    thinks = RecordEncoder(settings).shows_reasoning and any(map(has_reasoning, [*refused, *kept]))
    for order, (name, changed) in enumerate(_candidates(settings)):
        encoder = RecordEncoder(changed) if changed.template == settings.template else _fits(changed)
        if encoder is None or (thinks and not encoder.shows_reasoning):
            continue
        if changed.reasoning != settings.reasoning and encoder.shows_reasoning:
            continue  # it would train that there is none, or write it twice
        number = sum(map(encoder.can_prove, refused))
        if number and all(map(encoder.can_prove, kept)):
            ranked.append((-number, order, name, changed))
    for _, _, name, changed in sorted(ranked, key=lambda entry: entry[:2]):
        results = RecordEncoder(changed).encode([*refused, *kept])
        trained = sum(not isinstance(result, Drop) for result in results[: len(refused)])
        if trained and not any(isinstance(result, Drop) for result in results[len(refused) :]):
            return f"{name} trains {trained} of {len(refused)} of them that were tried"
    return None


def _candidates(settings: EncodeSettings) -> Iterator[tuple[str, EncodeSettings]]:
    """Settings to try, by what to write on the command line. Of equally good ones, the first is named."""
    for name in dict.fromkeys([*settings.files.chat_templates, *template_names()]):
        if name != settings.template and not (name == "default" and settings.template == "auto"):
            yield f"template={name}", replace(settings, template=name, guarded_tokenizer=None)
    if settings.train_on == "all":
        yield "train_on=last", replace(settings, train_on="last")
    if settings.lost_context == "drop":
        yield "lost_context=warn", replace(settings, lost_context="warn")
    if settings.reasoning == "template":
        for how in ("text", "omit"):
            yield f"reasoning={how}", replace(settings, reasoning=how)


def _fits(settings: EncodeSettings) -> RecordEncoder | None:
    """An encoder with a template, or None if the tokenizer does not have all its markers, or it could train nothing.

    The markers are those in its source, of which there must be some, and those in renderings.
    """
    files = settings.files
    known = {token.content for token in files.added_tokens()}
    own = settings.template in files.chat_templates
    source = files.chat_templates[settings.template] if own else template_source(settings.template)
    markers = set(_MARKER.findall(re.sub(r"\{#.*?#\}", "", source, flags=re.DOTALL)))
    if not own and (not markers or not markers <= known):
        return None
    try:
        encoder = RecordEncoder(settings)
        encoder.check()
    except SftDataError:
        return None
    return encoder if own or _written_markers(encoder) <= known else None


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
