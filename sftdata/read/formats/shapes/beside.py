"""What a row gives beside its turns: earlier turns, a system prompt, and arguments of the chat template."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sftdata.read.formats.tool_calls import has_tools, parse_tools
from sftdata.read.formats.turns import Notes, TurnFormat, parse_turns
from sftdata.read.formats.values import (
    ConversionError,
    describe_value,
    is_given,
    parse_if_text,
    scalar_text,
    without_nulls,
)
from sftdata.records.record import Message
from sftdata.records.template_arguments import OF_CONVERSATION, decided_by

_KWARGS = "chat_template_kwargs"
_CONTENT = ("content", "value", "parts", "text")  # where a system prompt that is an object has its text


def history_turns(value: Any, how: TurnFormat, notes: Notes) -> tuple[Message, ...]:
    """Earlier turns: a list of [question, answer] pairs, of turns, or of exchanges. Raises ConversionError."""
    if not value:
        return ()
    pairs = parse_if_text(value, "history")
    if isinstance(pairs, list) and all(isinstance(pair, dict) for pair in pairs):
        return parse_turns(pairs, "history", how, notes)
    if not isinstance(pairs, list):
        raise ConversionError(
            "wrong_type", f"history is {describe_value(pairs)}, not a list of [question, answer] pairs"
        )
    messages = []
    for number, pair in enumerate(pairs, 1):
        if not isinstance(pair, list) or len(pair) != 2 or not all(isinstance(text, str) for text in pair):
            raise ConversionError("wrong_type", f"history {number} is no [question, answer] pair of texts")
        messages += [Message(role="user", content=pair[0]), Message(role="assistant", content=pair[1])]
    return tuple(messages)


def system_text(value: Any, label: str = "system") -> str:
    """A system prompt: a text, a content of parts as requests to Anthropic and Bedrock have it, or an object around one
    of these, as {"parts": [{"text": ...}]} of Gemini; empty if it says nothing. Raises ConversionError.
    """
    if isinstance(value, Mapping):
        given = [name for name in _CONTENT if is_given(value.get(name))]
        others = [name for name, item in value.items() if name not in (*given, "role", "type") and is_given(item)]
        value = value[given[0]] if len(given) == 1 and not others else value
    if isinstance(value, list) and all(isinstance(part, Mapping) for part in value):
        turns: Sequence[Message] = parse_turns([{"role": "system", "content": value}], label)
        value = "".join(turn.content or "" for turn in turns)
    text = "" if value is None else scalar_text(value)
    if not isinstance(text, str):
        raise ConversionError("wrong_type", f"{label} is {describe_value(text)}, not text")
    return text if text.strip() else ""


def template_kwargs(value: Any) -> tuple[dict[str, Any], tuple[Mapping[str, Any], ...]]:
    """The arguments of the template, and the tools among them, which are the row's.

    Raises ConversionError: conflicting_fields for what the template is given anyway, by the row, the tokenizer or the
    language of templates.
    """
    kwargs = without_nulls(parse_if_text(value, _KWARGS) or {})
    if not isinstance(kwargs, dict):
        raise ConversionError("wrong_type", f"{_KWARGS} is {describe_value(kwargs)}, not an object")
    tools = kwargs.pop("tools", None)
    given = [name for name in OF_CONVERSATION if is_given(kwargs.get(name))]
    if given:
        raise ConversionError(
            "conflicting_fields",
            f"its {_KWARGS} has {given[0]}, but what the template gets as that is decided by the turns of the row",
        )
    for name in kwargs:
        by = decided_by(name)
        if by is not None:
            raise ConversionError(
                "conflicting_fields", f"its {_KWARGS} has {name}, which {by} decides; a row cannot replace it"
            )
    kwargs = {name: item for name, item in kwargs.items() if name not in OF_CONVERSATION}
    return kwargs, parse_tools(tools) if has_tools(tools) else ()
