"""Two texts with their differences marked: side by side where there is room, else one above the other.

Differences are marked by brackets, `[-only in the first-]` and `{+only in the second+}`, which are seen without colours
too; where styles are shown, the brackets are coloured. Long passages in which both agree are shortened.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from typing import NamedTuple

from sftdata.safe.control_chars import terminal_safe
from sftdata.view.find.turns import SampleMessage
from sftdata.view.layout import DIM, Line, width_of

MIN_COLUMN = 48  # in narrower ones, texts are one above the other
GAP = "   "
FIRST, SECOND = "red", "green"  # of what only one of the texts has
_BRACKETS = {FIRST: ("[-", "-]"), SECOND: ("{+", "+}")}
_MAX_TOKENS = 4000  # of a text that is compared word by word; a longer one is compared line by line
_AGREED = 80  # words in a row in which both agree, and which are shown as they are
_AROUND = 30  # of a longer passage, at each of its ends
# A word, a line break, spaces, or one character of those that are written without spaces.
_WIDE = (
    "\u1100-\u11ff\u2e80-\u9fff\ua960-\ua97f\uac00-\ud7ff\uf900-\ufaff\ufe30-\ufe4f\uff00-\uff60\U00020000-\U0003fffd"
)
_TOKENS = re.compile(rf"\n|[^\S\n]+|[{_WIDE}]|[^\W{_WIDE}]+|[^\w\s]")


class Piece(NamedTuple):
    """Some of a text, and the style of what the other text has not; empty where both agree."""

    text: str
    style: str


def compared(first: str, second: str) -> tuple[list[Piece], list[Piece]]:
    """The two texts in pieces, those in which they differ marked."""
    ours, theirs = _TOKENS.findall(first), _TOKENS.findall(second)
    if max(len(ours), len(theirs)) > _MAX_TOKENS:
        ours, theirs = first.splitlines(keepends=True), second.splitlines(keepends=True)
    left: list[Piece] = []
    right: list[Piece] = []
    for is_equal, a, b, c, d in _blocks(ours, theirs):
        if is_equal:
            is_first, is_last = a == 0, b == len(ours)
            text = _shortened(ours[a:b], is_first, is_last)
            left.append(Piece(text, ""))
            right.append(Piece(text, ""))
        else:
            left += [Piece("".join(ours[a:b]), FIRST)] if b > a else []
            right += [Piece("".join(theirs[c:d]), SECOND)] if d > c else []
    return left, right


def _blocks(ours: Sequence[str], theirs: Sequence[str]) -> list[tuple[bool, int, int, int, int]]:
    """Where both agree and where they differ, in turn. A space between two differences is a part of them."""
    blocks: list[tuple[bool, int, int, int, int]] = []
    found = SequenceMatcher(None, ours, theirs, autojunk=False).get_opcodes()
    for number, (kind, a, b, c, d) in enumerate(found):
        text = "".join(ours[a:b])
        is_inside = 0 < number < len(found) - 1
        is_equal = kind == "equal" and not (is_inside and text.isspace() and "\n" not in text)
        if blocks and not is_equal and not blocks[-1][0]:
            blocks[-1] = (False, blocks[-1][1], b, blocks[-1][3], d)
        else:
            blocks.append((is_equal, a, b, c, d))
    return blocks


def _shortened(tokens: Sequence[str], is_first: bool, is_last: bool) -> str:
    """What both texts have, without the middle of a long passage: what is beside a difference, and the ends of a text
    that has none.
    """
    is_all = is_first and is_last
    before, after = (0 if is_first and not is_all else _AROUND), (0 if is_last and not is_all else _AROUND)
    before = _AGREED if is_all else before
    left_out = [token for token in tokens[before : len(tokens) - after] if not token.isspace()]
    if len(left_out) <= _AGREED:
        return "".join(tokens)
    what = "more words" if is_all else "words in which they agree"
    middle = f" [... {len(left_out):,} {what} ...] "
    return "".join(tokens[:before]).rstrip() + middle + "".join(tokens[len(tokens) - after :]).lstrip()


def beside(
    names: tuple[str, str], texts: tuple[Sequence[SampleMessage], Sequence[SampleMessage]], width: int | None
) -> list[Line]:
    """Two conversations under their names, message beside message, on lines of at most this width wherever the words
    allow it; where they are too narrow for that, or with None, one is above the other.
    """
    pairs = [
        (_headed(one, left), _headed(other, right))
        for one, other in paired(*texts)
        for left, right in [compared("" if one is None else one.content, "" if other is None else other.content)]
    ]
    column = 0 if width is None else (width - len(GAP)) // 2
    if column >= MIN_COLUMN:
        sides: list[list[Line]] = [[[(name, "bold")]] for name in names]
        for pair in pairs:
            folded_pair = [folded(pieces, column) if pieces else [] for pieces in pair]
            height = max(map(len, folded_pair))
            for side, lines in zip(sides, folded_pair):
                side += [*lines, *([] for _ in range(height - len(lines)))]
        if all(_width(line) <= column for side in sides for line in side):
            return [_pair(one, other, column) for one, other in zip(*sides, strict=True)]
    stacked: list[Line] = []
    for at, name in enumerate(names):
        stacked += [[(name, "bold")]]
        for pair in pairs:
            stacked += folded(pair[at], width, "  ") if pair[at] else []
        stacked.append([])
    return stacked[:-1]


def paired(
    ours: Sequence[SampleMessage], theirs: Sequence[SampleMessage]
) -> Iterator[tuple[SampleMessage | None, SampleMessage | None]]:
    """Messages of the same role beside each other, in order; None where one has none."""
    roles = [[str(message.role) for message in messages] for messages in (ours, theirs)]
    for kind, a, b, c, d in SequenceMatcher(None, roles[0], roles[1], autojunk=False).get_opcodes():
        if kind == "equal":
            yield from zip(ours[a:b], theirs[c:d], strict=True)
        else:
            yield from ((message, None) for message in ours[a:b])
            yield from ((None, message) for message in theirs[c:d])


def _headed(message: SampleMessage | None, pieces: Sequence[Piece]) -> list[Piece]:
    """The pieces of a message below its role."""
    if message is None:
        return []
    return [*([Piece(f"{message.role}:\n", "")] if message.role else []), *_marked(pieces)]


def alone(name: str, messages: Sequence[SampleMessage], width: int | None) -> list[Line]:
    """One conversation under its name; the middle of long messages is left out."""
    lines: list[Line] = [[(name, "bold")]] if name else []
    for message in messages:
        text = _shortened(_TOKENS.findall(message.content), True, True)
        lines += folded(_headed(message, [Piece(text, "")]), width, "  ")
    return lines


def _marked(pieces: Sequence[Piece]) -> list[Piece]:
    """Pieces with brackets around those that differ; white space at their ends stays outside."""
    marked: list[Piece] = []
    for piece in pieces:
        opening, closing = _BRACKETS.get(piece.style, ("", ""))
        shown = piece.text if piece.text.strip() or not piece.style else repr(piece.text)[1:-1].replace(" ", "\u00b7")
        behind = "\n" if piece.style and not piece.text.strip() and "\n" in piece.text else ""
        marked.append(Piece(f"{opening}{shown}{closing}", piece.style))
        marked += [Piece(behind, "")] if behind else []
    return marked


def folded(pieces: Sequence[Piece], width: int | None, indent: str = "") -> list[Line]:
    """A text as lines of at most this width, folded between words; a line that begins a message is dim."""
    lines: list[Line] = []
    for line in _lines(pieces):
        lines += [[(indent, ""), *part] for part in _fold(line, None if width is None else width - len(indent))]
    return lines


def _lines(pieces: Sequence[Piece]) -> Iterator[list[Piece]]:
    """The pieces of each line of a text."""
    line: list[Piece] = []
    for piece in pieces:
        first, *others = piece.text.split("\n")
        line.append(Piece(first, piece.style))
        for text in others:
            yield line
            line = [Piece(text, piece.style)]
    yield line


def _fold(line: Sequence[Piece], width: int | None) -> Iterator[Line]:
    """A line in parts of at most this width. A word that is wider is a part of its own."""
    whole = "".join(piece.text for piece in line)
    if re.fullmatch(r"(?:system|developer|user|assistant|tool):", whole):
        line = [Piece(whole, DIM)]
    part: Line = []
    used = 0
    for word in _words(line):
        size = sum(width_of(text) for text, _ in word)
        is_space = all(text.isspace() for text, _ in word)
        if width is not None and used + size > width and part:
            yield part
            part, used = [], 0
            if is_space:
                continue
        part += word
        used += size
    yield part


def _words(line: Sequence[Piece]) -> Iterator[Line]:
    """What may not be broken: runs without white space, in pieces; characters that need no spaces one by one."""
    word: Line = []
    for piece in line:
        for text in re.findall(rf"[{_WIDE}]|[^\s{_WIDE}]+|\s+", piece.text):
            alone = text.isspace() or re.fullmatch(f"[{_WIDE}]", text) is not None
            if alone and word:
                yield word
                word = []
            shown = (terminal_safe(text), piece.style)
            if alone:
                yield [shown]
            else:
                word.append(shown)
    if word:
        yield word


def _width(line: Line) -> int:
    return sum(width_of(text) for text, _ in line)


def _pair(left: Line, right: Line, column: int) -> Line:
    """Two lines side by side."""
    return [*left, (" " * (column - _width(left)) + GAP, ""), *right] if right else left
