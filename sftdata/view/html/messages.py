"""Messages that have no tokens, such as those of dropped rows, as HTML; two conversations with their differences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sftdata.errors import pluralize
from sftdata.safe.control_chars import html_safe
from sftdata.view.find.beside import FIRST, Piece, compared, paired
from sftdata.view.html.chat import FOLDED_CHARS, LANES, PREVIEW_CHARS
from sftdata.view.html.style import page
from sftdata.view.html.text import readable

if TYPE_CHECKING:
    from sftdata.view.find.turns import SampleMessage
    from sftdata.view.why import Explanation


def message_chat(role: str | None, content: str) -> str:
    """A message without the stylesheet, folded if it is long."""
    whole = readable(content)
    if len(content) > FOLDED_CHARS:
        hidden = pluralize(len(content) - PREVIEW_CHARS, "more character")
        whole = (
            f'<details><summary><span class="w">{readable(content[:PREVIEW_CHARS])}</span>'
            f'<span class="cut">{hidden}</span></summary>{whole}</details>'
        )
    return _lane(role, whole)


def messages_chat(messages: Sequence[SampleMessage]) -> str:
    """A conversation without the stylesheet."""
    return "".join(message_chat(message.role, message.content) for message in messages)


def pair_chat(names: tuple[str, str], ours: Sequence[SampleMessage], theirs: Sequence[SampleMessage]) -> str:
    """Two conversations side by side, or below each other where that is too narrow, without the stylesheet. What only
    one of them has is marked; long passages in which they agree are shortened.
    """
    sides: tuple[list[str], list[str]] = ([], [])
    for pair in paired(ours, theirs):
        texts = ["" if message is None else message.content for message in pair]
        for side, message, pieces in zip(sides, pair, compared(texts[0], texts[1]), strict=True):
            if message is not None:
                side.append(_lane(message.role, "".join(map(_piece, pieces))))
    boxes = (f"<div><b>{html_safe(name)}</b>{''.join(side)}</div>" for name, side in zip(names, sides, strict=True))
    return f'<div class="pair">{"".join(boxes)}</div>'


def _lane(role: str | None, inside: str) -> str:
    name = f"<em>{html_safe(role)}</em>" if role else ""
    return f'<div class="m {LANES.get(role or "", "x")}">{name}<span class="c">{inside}</span></div>'


def _piece(piece: Piece) -> str:
    if not piece.style:
        return readable(piece.text)
    tag = "del" if piece.style == FIRST else "ins"
    return f"<{tag}>{readable(piece.text)}</{tag}>"


def explanations_html(rows: Sequence[Explanation]) -> str:
    """What happened to rows, each with its text, beside that which it repeats."""
    parts = []
    for row in rows:
        parts += [f"<p{'' if at else ' class=why'}>{html_safe(text)}</p>" for at, text in enumerate(row.about)]
        own, other = row.text, row.other_text
        missing = [(row.row["where"], own), *([(str(row.other), other)] if other is not None else [])]
        parts += [
            f'<p class="dim">The text of {html_safe(name)} is not shown: {html_safe(text.missing)}</p>'
            for name, text in missing
            if text.missing is not None
        ]
        theirs = () if other is None else other.messages
        if own.messages and own.messages == theirs:
            name = f"{row.row['where']} and {row.other_name} (equal)"
            parts.append(f"<b>{html_safe(name)}</b>{messages_chat(own.messages)}")
        elif own.messages and theirs:
            names = (f"{row.row['where']} ({row.row['fate']})", row.other_name)
            parts.append(pair_chat(names, own.messages, theirs))
        else:
            parts.append(messages_chat(own.messages or theirs))
        parts += [f"<p><code>{html_safe(command)}</code></p>" for command in row.commands]
    return page(parts)
