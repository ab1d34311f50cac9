"""What of a conversation a template refuses, in words.

A template that refuses a conversation raises an error with a sentence of its own, or a Python error that says nothing
to the owner of the data. So the conversation is rendered again without its tools, its system message and so on. If it
is accepted without a part, that part is named.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from sftdata.encode.template.jinja import RenderError, Turn
from sftdata.encode.template.probes import TOOL, TemplateProbes

Chat = list[Turn]


def refused_part(messages: Sequence[Turn], tools: Any, error: str, probes: TemplateProbes) -> str:
    """What the template does not take, as in "takes no system message"."""
    shape = tuple((turn["role"], bool(turn.get("content")), bool(turn.get("tool_calls"))) for turn in messages)
    key = (shape, bool(tools), error)
    if key not in probes.refused_parts:
        probes.refused_parts[key] = _find_part(list(messages), tools, probes)
    return probes.refused_parts[key]


def _find_part(messages: Chat, tools: Any, probes: TemplateProbes) -> str:
    roles = {turn["role"] for turn in messages}
    if tools and _takes(messages, None, probes):
        return "takes no tools"
    if not tools and _takes(messages, [TOOL], probes):
        return "takes only conversations with tools"
    changes: list[tuple[str, bool, Callable[[Chat], Chat]]] = [
        ("takes no system message", "system" in roles, _without("system")),
        ("takes no developer message", "developer" in roles, _without("developer")),
        ("takes no tool calls or results in this form", "tool" in roles or _has_calls(messages), _without_calls),
        ("takes no two turns of one role in a row", True, _merged),
        ("takes no assistant's turn before the user's", messages[0]["role"] == "assistant", lambda chat: chat[1:]),
        ("does not take a text of it", True, _with_other_texts),
    ]
    for part, is_there, change in changes:
        if is_there and any(_takes(change(messages), given, probes) for given in ((tools, None) if tools else (None,))):
            return part
    return "refuses the conversation"


def _takes(messages: Chat, tools: Any, probes: TemplateProbes) -> bool:
    if not messages:
        return False
    try:
        probes.template.render(messages, tools=tools, kwargs=probes.kwargs)
    except RenderError:
        return False
    return True


def _has_calls(messages: Chat) -> bool:
    return any(turn.get("tool_calls") for turn in messages)


def _without(role: str) -> Callable[[Chat], Chat]:
    return lambda messages: [turn for turn in messages if turn["role"] != role]


def _without_calls(messages: Chat) -> Chat:
    """The conversation without tool results, and with texts in place of calls."""
    turns = [
        {"role": turn["role"], "content": turn.get("content") or "x"} for turn in messages if turn["role"] != "tool"
    ]
    return _merged(turns)


def _merged(messages: Chat) -> Chat:
    """The conversation with one turn for consecutive turns of one role."""
    pairs = zip([None, *messages], messages)
    return [turn for before, turn in pairs if before is None or before["role"] != turn["role"]]


def _with_other_texts(messages: Chat) -> Chat:
    return [{**turn, "content": "x"} for turn in messages]
