"""Samples as chats: a lane for each role, trained text marked, template text grey, long turns folded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from sftdata.errors import pluralize
from sftdata.records.labels import IGNORE
from sftdata.safe.control_chars import html_safe
from sftdata.view.find.turns import turns_of
from sftdata.view.html.harmony import Named, harmony_turns
from sftdata.view.html.style import page
from sftdata.view.html.tokens import Shown, shown_tokens, tokens_html

if TYPE_CHECKING:
    from sftdata.view.sample import Row, Sample

MAX_TOKENS = 16_384  # a notebook cell with more than this becomes slow to scroll
MAX_BYTES, BYTES_FOR = 60_000, 2_048  # of a page, and the tokens that it may have; longer ones have more in proportion
FOLDED_CHARS, PREVIEW_CHARS = 1_500, 500  # longer contents are folded, and this much of them is shown
LANES = {"system": "s", "developer": "s", "user": "u", "assistant": "a", "tool": "o"}
# What one token of the vocabulary opens in an answer, and another closes; None: the end of the turn.
_REASONING = {"<think>": "</think>", "[THINK]": "[/THINK]", "<seed:think>": "</seed:think>"}
_CALLS: dict[str, str | None] = {
    "<tool_call>": "</tool_call>",
    "<minimax:tool_call>": "</minimax:tool_call>",
    "<|tool_call_start|>": "<|tool_call_end|>",
    "<|tool_calls_section_begin|>": "<|tool_calls_section_end|>",
    "<｜tool▁calls▁begin｜>": "<｜tool▁calls▁end｜>",
    "[TOOL_CALLS]": None,
    "<|python_tag|>": None,
}
READ_TOKENS = 4_096  # of a sample that is shown in a small room
CUTS = (None, 2000, 500, 100)  # characters of a content, from a whole one on, until the page is small enough
_RESULTS = {"<tool_response>": "</tool_response>"}
SWITCH = '<input type="checkbox" class="k" aria-label="tokens and white space">'


class _Limits(NamedTuple):
    """How much of a sample is shown."""

    tokens: bool
    max_tokens: int = MAX_TOKENS
    is_counted: bool = False  # whether each turn says its position, as something before it may be folded
    names: bool = True  # of tokens that share a character, their bytes
    max_chars: int | None = None  # of a content; the middle of a longer one is left out


class _Read:
    """A sample with its tokens and turns, which are found once however often it is written. `whole` is the sample if
    only its beginning is read.
    """

    def __init__(self, sample: Sample, whole: Sample | None = None) -> None:
        self.sample, self.whole = sample, whole or sample

    @cached_property
    def shown(self) -> list[Shown]:
        return shown_tokens(self.sample)

    @cached_property
    def turns(self) -> list[Named] | None:
        """Each turn with what it is called."""
        turns = turns_of(self.sample)
        if turns is None:
            return harmony_turns(self.shown)
        return [Named(turn, "reasoning" if turn.is_reasoning else turn.role) for turn in turns]

    @cached_property
    def added(self) -> frozenset[str]:
        """The system prompts that the template has for conversations without one."""
        dataset = self.sample.dataset
        encoding = None if dataset is None else dataset.manifest.encoding
        return frozenset() if encoding is None else frozenset(encoding.added_system)


def sample_chat(sample: Sample, tokens: bool) -> str:
    """One sample without the stylesheet and without anything around it. With `tokens`, a switch shows each of them."""
    return f'<div class="chat">{SWITCH if tokens else ""}{_box(_Read(sample), _Limits(tokens))}</div>'


def fitted_chat(sample: Sample, max_bytes: int) -> str:
    """One sample without the stylesheet and the switch: with its tokens if there is room for them, else as text, else
    without the middle of long contents, else only its first tokens.
    """
    begins = sample
    if sample.num_tokens > READ_TOKENS:
        ids, labels = (each[:READ_TOKENS] for each in (sample.input_ids, sample.labels))
        begins = replace(sample, input_ids=ids, labels=labels)
    read, box = _Read(begins, sample), ""
    of_tokens = [_Limits(True), _Limits(True, names=False)] if sample.num_tokens <= max_bytes // 8 else []
    of_text = [_Limits(False, max_chars=size) for size in CUTS]
    for limits in (*of_tokens, *of_text, *(of_text[-1]._replace(max_tokens=number) for number in (1000, 200, 50))):
        box = _box(read, limits)
        if len(box.encode("utf-8", "replace")) <= max_bytes:
            break
    return box


def sample_html(sample: Sample, *, max_tokens: int = MAX_TOKENS, max_bytes: int | None = None) -> str:
    """One sample, with its tokens if there is room for them in `max_bytes`, else without."""
    return _fitted([sample], sample.title, max_tokens, max_bytes, lambda one: "")


def row_html(row: Row, *, max_tokens: int = MAX_TOKENS, max_bytes: int | None = None) -> str:
    """A sequence, one box for each sample, up to `max_tokens` tokens. A note says how much is left out."""
    return _fitted(row.samples, row.title, max_tokens, max_bytes, lambda one: f"sample {one.index} · ")


def rows_html(rows: Sequence[Row], num_shown: int) -> str:
    """The first of some sequences, and how many are left out."""
    more = len(rows) - num_shown
    note = page([f'<p class="dim">Not shown: {pluralize(more, "more sequence")}.</p>']) if more > 0 else ""
    return "".join(row_html(row) for row in rows[:num_shown]) + note


def samples_html(samples: Sequence[Sample], title: str, num_shown: int) -> str:
    """Samples as a list that folds, the first of it open, and how many are left out."""
    parts = [f"<p>{html_safe(title)}</p>", _legend([], False)]
    for number, sample in enumerate(samples[:num_shown]):
        place, record = sample.place, f"record {sample.record_id}"
        about = f"{place} · {sample.counts} · {record}" if place else f"{record} · {sample.counts}"
        head = f'<summary class="head">{html_safe(about)}</summary>'
        is_open = "" if number else " open"
        parts.append(f'<details class="list"{is_open}>{head}{_fitting_box(sample)}</details>')
    more = len(samples) - num_shown
    parts += [f'<p class="dim">Not shown: {pluralize(more, "more sample")}.</p>'] if more > 0 else []
    return page(parts)


def _fitting_box(sample: Sample) -> str:
    """A sample as text, without the middle of long contents if it would be a large page."""
    room = max(MAX_BYTES, MAX_BYTES * min(sample.num_tokens, MAX_TOKENS) // BYTES_FOR) // 4
    read, box = _Read(sample), ""
    for max_chars in CUTS:
        box = _box(read, _Limits(False, max_chars=max_chars), is_headed=False)
        if len(box.encode()) <= room:
            break
    return box


def _fitted(
    samples: Sequence[Sample],
    title: str,
    max_tokens: int,
    max_bytes: int | None,
    prefix: Callable[[Sample], str],
) -> str:
    """The page with as much as fits: every token, else only text, else without the middle of long texts."""
    num_tokens = min(max_tokens, sum(sample.num_tokens for sample in samples))
    room = max_bytes or max(MAX_BYTES, MAX_BYTES * num_tokens // BYTES_FOR)
    read = [_Read(sample) for sample in samples]
    made, note = "", ""
    boxes: list[str] = []
    levels = ((True, True, None), (True, False, None), *((False, False, size) for size in CUTS))
    for tokens, names, max_chars in levels:
        boxes = _boxes(read, _Limits(tokens, max_tokens, names=names, max_chars=max_chars), prefix)
        note = "" if tokens else '<p class="dim">Too large for each token here: <code>.show(tokens=True)</code></p>'
        made = page([f"<p>{html_safe(title)}</p>", _legend(boxes, tokens), note, *([SWITCH] if tokens else []), *boxes])
        if len(made.encode()) <= room:
            return made
    # Many small samples: those that fit, with a hundred bytes for the note on the others.
    left = room - len(made.encode()) + sum(len(box.encode()) + 1 for box in boxes) - 100
    for number, box in enumerate(boxes):
        left -= len(box.encode()) + 1
        if left < 0:
            more = f'<p class="dim">Not shown: {pluralize(len(samples) - number, "more sample")}.</p>'
            return page([f"<p>{html_safe(title)}</p>", _legend(boxes, False), note, *boxes[:number], more])
    return made


def _boxes(read: Sequence[_Read], limits: _Limits, prefix: Callable[[Sample], str]) -> list[str]:
    boxes: list[str] = []
    left = limits.max_tokens
    for number, one in enumerate(read):
        if left <= 0:
            hidden = read[number:]
            more = pluralize(sum(each.sample.num_tokens for each in hidden), "token")
            boxes.append(f'<p class="dim">Not shown: {pluralize(len(hidden), "more sample")} with {more}.</p>')
            break
        boxes.append(_box(one, limits._replace(max_tokens=left), prefix(one.sample)))
        left -= one.sample.num_tokens
    return boxes


def _legend(boxes: Sequence[str], tokens: bool) -> str:
    """What the marks mean. Partly trained characters are explained only if there are any."""
    partly = "<mark class=p>trained in part</mark> " if any("<mark class=p>" in box for box in boxes) else ""
    hover = "hover over a token for its position, id and label" if tokens else ""
    return (
        f'<p class="legend"><mark>trained</mark> {partly}<span>not trained</span> '
        f'<span class="g">template text</span> <kbd>control token</kbd> <span class="dim">{hover}</span></p>'
    )


def _box(read: _Read, limits: _Limits, prefix: str = "", *, is_headed: bool = True) -> str:
    """The box of a sample: where it comes from, its counts, and its turns."""
    sample, turns, whole = read.sample, read.turns, read.whole
    head = ""
    if is_headed:
        place = f"{prefix}{sample.place} · " if sample.place else prefix
        head = f'<div class="head">{html_safe(f"{place}{whole.counts} · record {sample.record_id}")}</div>'
    shown = [one for one in read.shown if one.span.start < limits.max_tokens]
    more = whole.num_tokens - (shown[-1].span.end if shown else 0)
    note = f'<p class="head">Not shown: {pluralize(more, "more token")} of this sample.</p>' if more else ""
    if turns is None:
        body = f'<div class="m x"{_counted(0, limits)}>{_content(sample, shown, limits)}</div>'
    else:
        body = "".join(_turns(read, turns, shown, limits))
    return f'<div class="sample">{head}<div class="text">{body}</div>{note}</div>'


def _turns(read: _Read, named: Sequence[Named], shown: Sequence[Shown], limits: _Limits) -> list[str]:
    """The turns. A token belongs to the part of a turn in which it begins."""
    sample, turns = read.sample, [each.turn for each in named]
    groups: list[tuple[list[Shown], list[Shown], list[Shown]]] = [([], [], []) for _ in turns]
    is_folded = any(turn.content_end - turn.content_start > FOLDED_CHARS for turn in turns)
    limits = limits._replace(is_counted=is_folded)
    before: list[Shown] = []
    at, number = 0, -1
    for one in shown:
        while number + 1 < len(turns) and at >= turns[number + 1].start:
            number += 1
        if number < 0:
            before.append(one)
        else:
            turn = turns[number]
            groups[number][(at >= turn.content_start) + (at >= turn.content_end)].append(one)
        at += len(one.span.text)
    made = [_grey(sample, before, limits)] if before else []
    return [*made, *(_turn(read, *pair, limits) for pair in zip(named, groups, strict=True) if any(pair[1]))]


def _turn(read: _Read, named: Named, parts: Sequence[Sequence[Shown]], limits: _Limits) -> str:
    sample, turn = read.sample, named.turn
    head, content, tail = parts
    first = next(one for part in parts for one in part).span.start
    count, trained = _counts(sample, (*head, *content, *tail))
    about = pluralize(count, "token") + (f", {trained:,} trained" if trained else "")
    written = _content(sample, content, limits, turn.role)
    if turn.role == "system" and read.added and "".join(one.span.text for one in content).strip() in read.added:
        about, written = f"the template's own, {about}", f'<span class="g">{written}</span>'
    return (
        f'<div class="m {LANES.get(turn.role, "x")}"{_counted(first, limits)}>'
        f"<em>{html_safe(named.name)} </em><small>{about} </small>"
        f"{_grey(sample, head, limits, is_counted=False)}"
        f'<span class="c">{written}{_grey(sample, tail, limits)}</span></div>'
    )


def _counted(first: int, limits: _Limits) -> str:
    """Where the stylesheet counts positions from: it does not count what is folded."""
    return f' style="counter-reset:t {first - 1}"' if limits.tokens and limits.is_counted else ""


def _grey(sample: Sample, tokens: Sequence[Shown], limits: _Limits, *, is_counted: bool = True) -> str:
    """What the template writes. Not counted anew where a turn begins, whose counter goes on behind it."""
    if not tokens:
        return ""
    start = _counted(tokens[0].span.start, limits) if is_counted else ""
    return f'<span class="g"{start}>{tokens_html(sample, tokens, limits.tokens, limits.names)}</span>'


def _content(sample: Sample, tokens: Sequence[Shown], limits: _Limits, role: str = "") -> str:
    """The content of a turn, folded if it is long."""
    num_chars = sum(len(one.span.text) for one in tokens)
    if limits.max_chars is not None and num_chars > limits.max_chars:
        first, last = _ends(tokens, limits.max_chars // 2)
        left_out = num_chars - sum(len(one.span.text) for one in (*first, *last))
        cut = f'<span class="cut">{pluralize(left_out, "character")} not shown<i>: see sample.text</i></span>'
        shown_ends = [tokens_html(sample, part, limits.tokens, limits.names) for part in (first, last)]
        return cut.join(shown_ends)
    whole = "".join(
        tokens_html(sample, part, limits.tokens, limits.names)
        if kind is None
        else f'<span class="n"><em>{kind}</em>{tokens_html(sample, part, limits.tokens, limits.names)}</span>'
        for kind, part in _parts(sample, tokens, role)
    )
    if num_chars <= FOLDED_CHARS:
        return whole
    first, last = _ends(tokens, PREVIEW_CHARS // 2)
    hidden = tokens[len(first) : len(tokens) - len(last)]
    chars = sum(len(one.span.text) for one in hidden)
    count, num_trained = _counts(sample, hidden)
    trained = f", {num_trained:,} of {pluralize(count, 'token')} trained" if num_trained else ""
    more = f"{pluralize(chars, 'more character')}{trained}"
    marked = f"<mark>{more}</mark>" if num_trained else more
    return (
        f'<details><summary><span class="w">{tokens_html(sample, first, False)}</span>'
        f'<span class="cut">{marked}</span><span class="w">{tokens_html(sample, last, False)}</span></summary>'
        f"{whole}</details>"
    )


def _counts(sample: Sample, tokens: Sequence[Shown]) -> tuple[int, int]:
    """The number of tokens, and of trained ones."""
    labels = [label for one in tokens for label in sample.labels[one.span.start : one.span.end]]
    return len(labels), sum(label != IGNORE for label in labels)


def _ends(tokens: Sequence[Shown], num_chars: int) -> tuple[Sequence[Shown], Sequence[Shown]]:
    """The first and last tokens of a content with about this number of characters each."""
    first = _up_to(tokens, num_chars)
    last = _up_to(tokens[first:][::-1], num_chars)
    return tokens[:first], tokens[len(tokens) - last :] if last else ()


def _up_to(tokens: Sequence[Shown], num_chars: int) -> int:
    """How many tokens have no more characters than this together."""
    for number, one in enumerate(tokens):
        num_chars -= len(one.span.text)
        if num_chars < 0:
            return number
    return len(tokens)


def _parts(sample: Sample, tokens: Sequence[Shown], role: str) -> list[tuple[str | None, Sequence[Shown]]]:
    """A content in its parts: reasoning, calls and results, which single tokens of the vocabulary open and close. The
    same characters in several tokens are text, and so is what is opened and not closed.
    """
    marks: dict[str, tuple[str, str | None]] = {}
    if role == "assistant":
        marks = {opening: ("call", close) for opening, close in _CALLS.items()}
        marks |= {opening: ("reasoning", close) for opening, close in _REASONING.items()}
    elif role in ("user", "tool"):
        marks = {opening: ("result", close) for opening, close in _RESULTS.items()}
    parts: list[tuple[str | None, Sequence[Shown]]] = []
    done = at = 0
    while at < len(tokens):
        kind, close = marks.get(tokens[at].span.text, (None, None)) if _is_mark(tokens[at], role) else (None, None)
        is_first = not "".join(one.span.text for one in tokens[:at]).strip() if kind == "reasoning" else True
        end = None if kind is None or not is_first else _closed(tokens, at, close)
        if end is None:
            at += 1
            continue
        parts += [(None, tokens[done:at]), (kind, tokens[at:end])]
        done = at = end
    return [part for part in [*parts, (None, tokens[done:])] if part[1]]


def _is_mark(one: Shown, role: str) -> bool:
    """Whether this is one token, and in a text of others one that no text is encoded to."""
    return one.span.end - one.span.start == 1 and (one.is_control or role == "assistant")


def _closed(tokens: Sequence[Shown], at: int, close: str | None) -> int | None:
    """Where what opens at a token ends; None if it is opened again or not closed."""
    if close is None:
        return len(tokens)
    opening = tokens[at].span.text
    for end in range(at + 1, len(tokens)):
        if tokens[end].span.end - tokens[end].span.start > 1:
            continue
        if tokens[end].span.text == close:
            return end + 1
        if tokens[end].span.text == opening:
            return None
    return None
