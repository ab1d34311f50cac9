"""The tokens of a sample -> its messages, if the marks of its template prove them.

    <|im_start|>user\\nHi<|im_end|>\\n<|im_start|>assistant\\nHello<|im_end|>\\n      user "Hi", assistant "Hello"

What a control token is, is known from the ids: the same characters in a text are text. The roles are those that the
template writes: the result of a tool may be a turn of the user, reasoning is a part of the answer. The proof: no
message holds a mark, the messages with their marks give the sample again, and what is trained is in answers. Where no
known marks prove that, only what is trained is certain: the answers, and between them text whose role is None.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from sftdata.errors import DatasetError
from sftdata.records.chat_marks import ANALYSIS, FAMILIES, Marks
from sftdata.records.labels import IGNORE

if TYPE_CHECKING:
    from sftdata.view.sample import Sample

_SHIELD = "\ufffe"  # no character: put into texts that have the characters of a control token
_BEGIN = re.compile(
    r"(?:<s>|<bos>|<BOS_TOKEN>|<\|begin_of_text\|>|<\|startoftext\|>|<｜begin▁of▁sentence｜>|\[gMASK\] ?<sop>|\]~!b\[)?"
    r"\s*"
)


def _each(form: str, close: str, *, is_model: str = "assistant", name: str = "") -> Marks:
    """Marks that are the same for every role; `is_model` is what the assistant is called."""
    labels = {role: role for role in ("system", "developer", "user", "tool")} | {"assistant": is_model}
    return Marks(name, {role: form.format(label) for role, label in labels.items()}, dict.fromkeys(labels, close))


# Families whose chats are not recognized in texts, as no one publishes any; here their tokens are at hand.
_FAMILIES = (
    Marks("Mistral", {"user": "[INST] ", "assistant": "[/INST] "}, {"user": "", "assistant": "</s>"}),
    *FAMILIES,
    _each("<|turn>{}\n", "<turn|>\n", is_model="model", name="Gemma 4"),
    _each("]~b]{}\n", "[e~[\n", is_model="ai", name="MiniMax"),
    _each("<|{}|>", "<|end|>", name="Phi-4-mini"),
    Marks(
        "Apertus",
        {role: f"<|{role}_start|>" for role in ("system", "developer", "user", "assistant")},
        {role: f"<|{role}_end|>" for role in ("system", "developer", "user", "assistant")},
    ),
    Marks(
        "GLM",
        {**{r: f"<|{r}|>" for r in ("system", "user", "assistant")}, "tool": "<|observation|>"},
        dict.fromkeys(("system", "user", "assistant", "tool"), ""),
    ),
)
# What no message holds as a control token: what opens or closes one in any family.
_TURN_MARKS = frozenset(
    part
    for marks in _FAMILIES
    if not marks.is_text
    for mark in (*marks.opens.values(), *marks.closes.values())
    for part in re.findall(r"<[|｜][^<>]*?[|｜]>|</?[a-z_]+>|<\|turn>|<turn\|>|\[/?INST\]|\]~b\]|\[e~\[", mark)
)


class SampleMessage(NamedTuple):
    """One message of a sample. `role` is None for text whose role cannot be proven, with the template's marks in it."""

    role: str | None
    content: str
    is_trained: bool  # whether tokens of it are


class Turn(NamedTuple):
    """Where a message is in the text of its sample: its mark begins at `start`, the next turn's where this one ends."""

    role: str
    start: int
    content_start: int
    content_end: int
    is_reasoning: bool = False  # a turn of its own that is the reasoning before an answer


class _Found(NamedTuple):
    """A message, and where it is in the text that the reader reads."""

    message: SampleMessage
    turn: Turn


class _Piece(NamedTuple):
    """Text of a sample between two places where it begins or ends to be trained, or around a control token."""

    text: str
    is_control: bool
    is_trained: bool


def messages_of(sample: Sample) -> tuple[SampleMessage, ...]:
    """The messages of a sample: see above."""
    pieces = list(_pieces(sample))
    if sample.is_plain_text:
        return (SampleMessage(None, "".join(piece.text for piece in pieces), True),)
    found, shields = _proven(sample, pieces)
    if found is None:
        ends = {sample.decoder.decode([id_]) for id_ in sample.end_ids}
        return tuple(_by_training(pieces, ends))
    return tuple(
        message._replace(content=message.content.replace(_SHIELD, "") if shields else message.content)
        for message, _ in found
    )


def turns_of(sample: Sample) -> tuple[Turn, ...] | None:
    """Where the messages of a sample are in its text; None for plain text, and where no marks prove them."""
    try:
        if sample.is_plain_text:
            return None
    except DatasetError:  # the ledger is damaged, which alone knows of which kind the source is
        return None
    found, shields = _proven(sample, list(_pieces(sample)))
    if found is None:
        return None

    def at(place: int) -> int:
        return place - bisect_left(shields, place)

    return tuple(
        turn._replace(start=at(turn.start), content_start=at(turn.content_start), content_end=at(turn.content_end))
        for _, turn in found
    )


def _proven(sample: Sample, pieces: Sequence[_Piece]) -> tuple[list[_Found] | None, list[int]]:
    """The messages that the marks of a family prove, and where the text that was read had characters put in."""
    controls = sorted(
        {piece.text for piece in pieces if piece.is_control and piece.text.strip()}, key=len, reverse=True
    )
    pattern = re.compile("|".join(map(re.escape, controls))) if controls else None
    text, trained = "", list[tuple[int, int]]()
    shields: list[int] = []
    for piece in pieces:
        shown = piece.text
        if not piece.is_control and pattern is not None:
            for number, match in enumerate(pattern.finditer(piece.text)):
                shields.append(len(text) + match.start() + 1 + number)
            shown = pattern.sub(_shielded, piece.text)
        if piece.is_trained and shown:
            trained.append((len(text), len(text) + len(shown)))
        text += shown
    ends = [sample.decoder.decode([id_]) for id_ in sample.end_ids]
    reader = _Reader(text, trained, controls, ends)
    return next((found for marks in _FAMILIES if (found := reader.read(marks)) is not None), None), shields


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


class _Reader:
    """Reads the text of a sample in the marks of a family.

    `trained` are the trained parts of the text, `controls` its control tokens, longest first, `ends` those that end a
    turn.
    """

    def __init__(
        self, text: str, trained: Sequence[tuple[int, int]], controls: Sequence[str], ends: Sequence[str]
    ) -> None:
        self._text, self._trained, self._controls, self._ends = text, trained, controls, ends
        self._no_content = [mark for mark in controls if mark in _TURN_MARKS or mark in ends]
        self._of_controls = re.compile(f"({'|'.join(map(re.escape, controls))})") if controls else None

    def read(self, marks: Marks) -> list[_Found] | None:
        """The messages, or None if that cannot be proven."""
        text = self._text
        begin = _BEGIN.match(text)
        skip = begin.end() if begin and not text.startswith(tuple(marks.opens.values())) else 0
        places = list(self._openings(marks, skip))
        if not places or (text[skip : places[0][0]].strip() and not marks.has_preamble):
            return None
        before = text[skip : places[0][0]].strip()
        first = text.find(before, skip)
        turn = Turn("system", skip, first, first + len(before))
        found = [_Found(SampleMessage("system", before, False), turn)] if before else []
        edges: list[tuple[int, int]] = []  # of answers, with the end token, which may be the mark of the next message
        nexts = [*places[1:], (len(text), "", len(text))]
        for (start, role, content), (after, _, behind) in zip(places, nexts, strict=True):
            body = self._without_close(text[content:after], marks.closes[role], is_last=after == len(text))
            if body is None:
                return None
            is_trained = any(first < after and last > content for first, last in self._trained)
            if not body and after == len(text) and any(first <= start < last for first, last in self._trained):
                continue  # no message: the mark ends the answer before it
            if role in ("assistant", ANALYSIS):
                edges.append((start, behind))
            shown = {"ipython": "tool", ANALYSIS: "assistant"}.get(role, role)
            turn = Turn(shown, start, content, content + len(body), role == ANALYSIS)
            found.append(_Found(SampleMessage(shown, body, is_trained), turn))
        held = {mark.strip() for mark in (*marks.opens.values(), *marks.closes.values())} - {""}
        if any(mark in message.content for mark in (*held, *self._no_content) for message, _ in found):
            return None
        is_sound = all(any(start <= first and last <= end for start, end in edges) for first, last in self._trained)
        return found if is_sound else None

    def _openings(self, marks: Marks, skip: int) -> Iterator[tuple[int, str, int]]:
        """Where each message opens: the place of its mark, its role, and where its content begins."""
        roles = sorted(marks.opens, key=lambda role: len(marks.opens[role]), reverse=True)
        pattern = "|".join(f"({self._pattern(marks.opens[role])})" for role in roles)
        if marks.is_text:  # words are marks only where a message may begin
            before = r"(?:(?<=\s)|(?<=</s>)|^)" if marks.is_inside_lines else "(?m:^)"
            pattern = f"{before}(?:{pattern})"
        for match in re.compile(pattern).finditer(self._text, skip):
            yield match.start(), roles[(match.lastindex or 1) - 1], match.end()

    def _pattern(self, mark: str) -> str:
        """A mark as a pattern: some vocabularies put a space behind a control token."""
        if self._of_controls is None:
            return re.escape(mark)
        parts = [part for part in self._of_controls.split(mark) if part]
        spaced = [part in self._controls and part is not parts[-1] for part in parts]
        return "".join(re.escape(part) + (" ?" if space else "") for part, space in zip(parts, spaced, strict=True))

    def _without_close(self, content: str, close: str, *, is_last: bool) -> str | None:
        """A content without what closes it; None if it is not closed. The last may be cut off, or be closed twice, by
        the token that ends a turn and by that which ends the text.
        """
        space = re.escape(close[len(close.rstrip()) :])
        ends = "|".join([self._pattern(close), *(f"{re.escape(end)} ?{space}|{re.escape(end)}" for end in self._ends)])
        match = re.search(rf"(?:{ends}){'+' if is_last else ''}\Z", content)
        if match is not None and match.group():
            return content[: match.start()]
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
