"""Harmony, in which gpt-oss answers: a message a channel -> turns with their reasoning, text, calls and results.

<|channel|>analysis<|message|>Look it up.<|end|>
<|start|>assistant<|channel|>commentary to=functions.f <|constrain|>json<|message|>{"a": 1}<|call|>
<|start|>functions.f to=assistant<|channel|>commentary<|message|>3<|end|>
<|start|>assistant<|channel|>final<|message|>Three.<|return|>
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from sftdata.read.readers.parse_json import parse_text
from sftdata.records.record import Message, ToolCall

_NAME = r"functions\.([\w.-]+)"
_MESSAGE = re.compile(
    r"\s*(?:<\|start\|>)?(?:"
    rf"(?:assistant)?(?:\s*to={_NAME})?\s*<\|channel\|>(analysis|commentary|final)(?:\s+to={_NAME})?"
    r"(?:\s*(?:<\|constrain\|>\s*)?json)?"
    rf"|{_NAME} to=assistant<\|channel\|>commentary"
    r")\s*<\|message\|>(.*?)(?:<\|end\|>|<\|call\|>|<\|return\|>|$)",
    re.DOTALL,
)
_MARK = re.compile(r"<\|(?:start|channel|message|constrain|end|call|return)\|>")


def harmony_turns(text: str) -> list[Message] | None:
    """The turns that an answer in Harmony consists of; None for any other text.

    In a turn, reasoning comes first, then one text, then calls, as templates write them.
    """
    turns: list[Message] = []
    for part in _parts(text):
        if part is None:
            return None
        if part.role == "tool":
            if not any(turn.tool_calls for turn in turns):
                return None
            turns.append(part)
        elif turns and _may_follow(turns[-1], part):
            last = turns[-1]
            turns[-1] = last._replace(
                content=last.content or part.content,
                reasoning=last.reasoning or part.reasoning,
                tool_calls=(*last.tool_calls, *part.tool_calls),
            )
        elif not turns or turns[-1].role == "tool":
            turns.append(part)
        else:
            return None
    if any(turn.role == "assistant" and not turn.content and not turn.tool_calls for turn in turns):
        return None
    return turns or None


def _may_follow(turn: Message, part: Message) -> bool:
    """Whether a part can be added to a turn without changing its place."""
    if turn.role != "assistant":
        return False
    if part.reasoning is not None:
        return False  # it is written before everything else, and once
    return bool(part.tool_calls) or (turn.content is None and not turn.tool_calls)


def _parts(text: str) -> Iterator[Message | None]:
    """Each message of a text as a turn that has nothing else; None for what is none."""
    at = 0
    while at < len(text.rstrip()):
        match = _MESSAGE.match(text, at)
        yield None if match is None else _part(match)
        if match is None:
            return
        at = match.end()


def _part(match: re.Match[str]) -> Message | None:
    before, channel, behind, tool, body = match.groups()
    if _MARK.search(body) is not None:
        return None
    if tool is not None:
        return Message("tool", body, name=tool)
    name = before or behind
    if name is not None:
        try:
            is_object = isinstance(parse_text(body), dict)
        except ValueError:
            return None
        call = ToolCall(name=name, arguments=body.strip())
        return Message("assistant", None, tool_calls=(call,)) if is_object and channel != "final" else None
    if not body.strip():
        return None
    return Message("assistant", None, reasoning=body) if channel == "analysis" else Message("assistant", body)
