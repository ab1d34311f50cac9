"""The messages of a sample in Harmony, the format of gpt-oss, by its control tokens alone.

    <|start|>assistant<|channel|>commentary to=functions.f <|constrain|>json<|message|>{}<|call|>
    role               channel           recipient                                content

An answer is several messages: reasoning, calls, and what the user reads. A name of a tool is the role of its result.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from sftdata.view.find.turns import Turn
from sftdata.view.html.tokens import Shown

START, CHANNEL, CONSTRAIN, MESSAGE = "<|start|>", "<|channel|>", "<|constrain|>", "<|message|>"
ENDS = ("<|end|>", "<|call|>", "<|return|>")
_ROLES = ("system", "developer", "user", "assistant")
_HEADER = re.compile(
    r"(?P<role>[^\s<]+)(?: to=(?P<to>\S+?))? ?(?:<\|channel\|>(?P<channel>\w+)(?: to=(?P<also>\S+?))?"
    r"(?: ?(?:<\|constrain\|>)?\w+)?)? ?"
)


class Named(NamedTuple):
    """A message: where it is, and what it is called."""

    turn: Turn
    name: str


def harmony_turns(shown: Sequence[Shown]) -> list[Named] | None:
    """The messages, if the control tokens of all of the sample are those of Harmony in their order; else None."""
    found: list[Named] = []
    start, header, content = -1, "", -1  # of the message that is being read: -1 outside of one
    at = 0
    for one in shown:
        text = one.span.text
        if one.is_control and text == START and start < 0:
            start, header, content = at, "", -1
        elif one.is_control and text == MESSAGE and start >= 0 and content < 0:
            content = at + len(text)
        elif one.is_control and text in ENDS and content >= 0:
            named = _named(header, start, content, at)
            if named is None:
                return None
            found.append(named)
            start = content = -1
        elif start < 0 or (one.is_control and (content >= 0 or text not in (CHANNEL, CONSTRAIN))):
            return None
        elif content < 0:
            header += text
        at += len(text)
    if content >= 0 and (last := _named(header, start, content, at)) is not None:  # cut off
        found.append(last)
    return found or None


def _named(header: str, start: int, content: int, end: int) -> Named | None:
    match = _HEADER.fullmatch(header)
    if match is None:
        return None
    role, channel, to = match["role"], match["channel"], match["also"] or match["to"]
    kind = role if role in _ROLES else "tool"
    name = role
    if role == "assistant" and channel == "analysis":
        name = "reasoning"
    elif role == "assistant" and to is not None:
        name = f"call of {to}"
    elif role == "assistant" and channel not in (None, "final"):
        name = f"assistant, {channel}"
    elif kind == "tool":
        name = f"result of {role}"
    return Named(Turn(kind, start, content, end, name == "reasoning"), name)
