"""The tokens of a sample -> its messages, as far as the marks of its template prove them.

    <|im_start|>user\\nHi<|im_end|>\\n<|im_start|>assistant\\nHello<|im_end|>\\n      user "Hi", assistant "Hello"

What a control token is, is known from the ids: the same characters in a text are text. The roles are those that the
template writes: the result of a tool may be a turn of the user, reasoning is a part of the answer. The proof: no
message holds a mark, the messages with their marks give the sample again, and what is trained is in answers. Where no
known marks prove that, only what is trained is certain: the answers, and between them text whose role is None.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from sftdata.records.chat_marks import ANALYSIS, FAMILIES, Marks
from sftdata.records.labels import IGNORE

if TYPE_CHECKING:
    from sftdata.view.sample import Sample

_SHIELD = "\ufffe"  # no character: put into texts that have the characters of a control token
_BEGIN = re.compile(
    r"(?:<s>|<bos>|<BOS_TOKEN>|<\|begin_of_text\|>|<\|startoftext\|>|<｜begin▁of▁sentence｜>|\[gMASK\]<sop>)?\s*"
)


class SampleMessage(NamedTuple):
    """One message of a sample. `role` is None for text whose role cannot be proven, with the template's marks in it."""

    role: str | None
    content: str
    is_trained: bool  # whether tokens of it are


class _Piece(NamedTuple):
    """Text of a sample between two places where it begins or ends to be trained, or around a control token."""

    text: str
    is_control: bool
    is_trained: bool


def messages_of(sample: Sample) -> tuple[SampleMessage, ...]:
    """The messages of a sample: see above."""
    pieces = list(_pieces(sample))
    controls = sorted(
        {piece.text for piece in pieces if piece.is_control and piece.text.strip()}, key=len, reverse=True
    )
    pattern = re.compile("|".join(map(re.escape, controls))) if controls else None
    text, trained = "", list[tuple[int, int]]()
    for piece in pieces:
        shown = piece.text if piece.is_control or pattern is None else pattern.sub(_shielded, piece.text)
        if piece.is_trained and shown:
            trained.append((len(text), len(text) + len(shown)))
        text += shown
    ends = [sample.decoder.decode([id_]) for id_ in sample.end_ids]
    for marks in FAMILIES:
        found = _read(text, marks, trained, controls, ends)
        if found is not None:
            return tuple(message._replace(content=message.content.replace(_SHIELD, "")) for message in found)
    return tuple(_by_training(pieces, set(ends)))


def _pieces(sample: Sample) -> Iterator[_Piece]:
    kind, run = (False, False), ""
    for span in sample.spans():
        is_control = span.end - span.start == 1 and sample.input_ids[span.start] in sample.control_ids
        is_trained = any(label != IGNORE for label in sample.labels[span.start : span.end])
        if is_control or kind != (is_control, is_trained):
            if run:
                yield _Piece(run, *kind)
            kind, run = (is_control, is_trained), ""
        run += span.text
    if run:
        yield _Piece(run, *kind)


def _shielded(match: re.Match[str]) -> str:
    return match[0][0] + _SHIELD + match[0][1:]


def _read(
    text: str, marks: Marks, trained: Sequence[tuple[int, int]], controls: Sequence[str], ends: Sequence[str]
) -> list[SampleMessage] | None:
    """The messages of a text in these marks, or None if that cannot be proven."""
    begin = _BEGIN.match(text)
    skip = begin.end() if begin and not text.startswith(tuple(marks.opens.values())) else 0
    places = [(start + skip, role, content + skip) for start, role, content in _openings(text[skip:], marks)]
    if not places or (text[skip : places[0][0]].strip() and not marks.has_preamble):
        return None
    found: list[SampleMessage] = []
    if before := text[skip : places[0][0]].strip():
        found.append(SampleMessage("system", before, False))
    edges: list[tuple[int, int]] = []  # of answers
    for (start, role, content), after in zip(places, [*(start for start, _, _ in places[1:]), len(text)]):
        body = _without_close(text[content:after], marks.closes[role], ends, is_last=after == len(text))
        if body is None:
            return None
        is_trained = any(first < after and last > content for first, last in trained)
        if role in ("assistant", ANALYSIS):
            edges.append((start, after))
        name = {"ipython": "tool", ANALYSIS: "assistant"}.get(role, role)
        found.append(SampleMessage(name, body, is_trained))
    held = (mark.strip() for mark in (*marks.opens.values(), *marks.closes.values()) if mark.strip())
    openers = {mark for mark in map(_first_control, marks.opens.values(), [controls] * len(marks.opens)) if mark}
    if any(mark in message.content for mark in {*held, *openers} for message in found):
        return None
    is_sound = all(any(start <= first and last <= end for start, end in edges) for first, last in trained)
    return found if is_sound else None


def _openings(text: str, marks: Marks) -> Iterator[tuple[int, str, int]]:
    """Where each message opens: the place of its mark, its role, and where its content begins."""
    role_of: Mapping[str, str] = {mark: role for role, mark in marks.opens.items()}
    pattern = "|".join(re.escape(mark) for mark in sorted(role_of, key=len, reverse=True))
    if marks.is_text:  # words are marks only where a message may begin
        pattern = rf"(?:(?<=\s)|(?<=</s>)|^)(?:{pattern})" if marks.is_inside_lines else rf"(?m:^)(?:{pattern})"
    for match in re.finditer(pattern, text):
        yield match.start(), role_of[match.group()], match.end()


def _first_control(mark: str, controls: Sequence[str]) -> str | None:
    """The control token that a mark begins with, which no message may hold; None if it begins with a text."""
    return next((control for control in controls if mark.strip().startswith(control)), None)


def _without_close(content: str, close: str, ends: Sequence[str], *, is_last: bool) -> str | None:
    """A content without what closes it; None if it is not closed. The last may be cut off, or end as answers do."""
    space = close[len(close.rstrip()) :]
    for end in sorted({close, *(end + space for end in ends), *ends}, key=len, reverse=True):
        if end and content.endswith(end):
            return content[: len(content) - len(end)]
    return content if is_last or not close else None


def _by_training(pieces: Sequence[_Piece], ends: set[str]) -> Iterator[SampleMessage]:
    """Trained runs as answers, and the text between them, with its marks."""
    runs: list[tuple[bool, list[_Piece]]] = []
    for piece in pieces:
        if not runs or runs[-1][0] != piece.is_trained:
            runs.append((piece.is_trained, []))
        runs[-1][1].append(piece)
    for is_trained, run in runs:
        shown = run[:-1] if is_trained and run[-1].is_control and run[-1].text in ends else run
        text = "".join(piece.text for piece in shown)
        if is_trained or text.strip():
            yield SampleMessage("assistant" if is_trained else None, text, is_trained)
