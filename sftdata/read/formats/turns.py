"""The turns of a conversation, in the format of OpenAI or ShareGPT or a mixture of both -> Messages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sftdata.read.readers.parse_json import parse_text
from sftdata.records.record import Drop, Message, ToolCall

# Values of a turn's `role` or `from` -> its role. "call" is an assistant turn that is a tool call.
ROLE_OF = {
    "system": "system",
    "developer": "developer",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "bing": "assistant",
    "bard": "assistant",
    "model": "assistant",
    "function_call": "call",
    "tool_call": "call",
    "tool": "tool",
    "function": "tool",
    "observation": "tool",
    "tool_response": "tool",
    "function_response": "tool",
}
REASONING = ("reasoning_content", "reasoning", "thinking")
MEDIA_FIELDS = ("image", "images", "audio", "audios", "video", "videos")
_PLAIN = frozenset(("role", "content", "from", "value"))


class ConversionError(Exception):
    """A row that cannot be converted to a record; `drop` says why. `to_record` catches it."""

    def __init__(self, reason: str, detail: str) -> None:
        self.drop = Drop(reason, detail)
        super().__init__(detail)


def parse_turns(
    value: Any, label: str, role_key: str | None = None, content_key: str | None = None
) -> tuple[Message, ...]:
    """The messages of a list of turns, which may be given as JSON text. Raises ConversionError."""
    if not isinstance(value, list):
        value = parse_if_text(value, label)
        if not isinstance(value, list):
            raise ConversionError("wrong_type", f"{label} is {describe_value(value)}, not a list of turns")
    messages: list[Message] = []
    try:
        for turn in value:
            messages.append(_message(turn, role_key, content_key))  # noqa: PERF401 - its length is the turn's number
    except ConversionError as error:
        raise ConversionError(error.drop.reason, f"turn {len(messages) + 1}: {error.drop.detail}") from None
    return tuple(messages)


def _message(turn: Any, role_key: str | None, content_key: str | None) -> Message:
    if not isinstance(turn, dict):
        raise ConversionError("wrong_type", f"it is {describe_value(turn)}, not an object")
    name = turn.get(role_key or "role")
    if name is None:
        name = turn.get("from")
    role = ROLE_OF.get(name) if isinstance(name, str) else None
    if role is None:
        role = _normalized_role(name, turn)
    content = turn.get(content_key or "content")
    if content is None:
        content = turn.get("value")
    if isinstance(content, str) and role != "call" and turn.keys() <= _PLAIN:
        return Message(role=role, content=content)
    return _full_message(turn, role, content)


def _normalized_role(name: Any, turn: Mapping[str, Any]) -> str:
    """The role of a turn, ignoring case and white space. Raises ConversionError."""
    if name is None:
        raise ConversionError(
            "missing_field", f"its role is absent; its keys are {', '.join(map(repr, list(turn)[:8]))[:200]}"
        )
    if not isinstance(name, str):
        raise ConversionError("wrong_type", f"its role is {describe_value(name)}, not text")
    role = ROLE_OF.get(name.strip().lower())
    if role is None:
        raise ConversionError("unknown_role", f"its role is {name[:40]!r}")
    return role


def _full_message(turn: Mapping[str, Any], role: str, content: Any) -> Message:
    """A turn with more than a role and a text: tool calls, reasoning, a weight, a list of content parts."""
    for name in MEDIA_FIELDS:
        if turn.get(name):
            raise ConversionError("untrainable_content", f"it holds {name}")
    if role == "call":
        if content is None:
            raise ConversionError("missing_field", "its tool call is absent or null")
        return Message(role="assistant", content=None, tool_calls=_calls_in(content), train=_train(turn))
    text = _joined(content) if isinstance(content, list) else content
    if text is not None and not isinstance(text, str):
        raise ConversionError("wrong_type", f"its content is {describe_value(text)}, not text")
    if role != "assistant":
        if text is None:
            raise ConversionError("missing_field", "its content is absent or null")
        return Message(
            role=role,
            content=text,
            tool_call_id=_optional_text(turn, "tool_call_id") if role == "tool" else None,
            name=_optional_text(turn, "name"),
        )
    calls = _tool_calls(turn)
    reasoning = next((found for name in REASONING if (found := _optional_text(turn, name))), None)
    train = _train(turn)
    if text is None and not calls:
        if train is not False and reasoning is None:
            raise ConversionError("missing_field", "its content is absent or null, and it calls no tool")
        text = ""
    return Message(
        role=role,
        content=text,
        reasoning=reasoning,
        tool_calls=calls,
        name=_optional_text(turn, "name"),
        train=train,
    )


def _joined(parts: list[Any]) -> str:
    """The text of a list of content parts, concatenated. Raises ConversionError for parts that are not text."""
    texts = []
    for part in parts:
        if isinstance(part, dict):
            kind = part.get("type", "text")
            if kind not in ("text", "input_text", "output_text"):
                raise ConversionError("untrainable_content", f"its content has a part of type {str(kind)[:40]!r}")
            part = part.get("text")
        if not isinstance(part, str):
            raise ConversionError("wrong_type", f"its content has a part that is {describe_value(part)}, not text")
        texts.append(part)
    return "".join(texts)


def _optional_text(turn: Mapping[str, Any], name: str) -> str | None:
    value = turn.get(name)
    if value is not None and not isinstance(value, str):
        raise ConversionError("wrong_type", f"its {name} is {describe_value(value)}, not text")
    return value or None


def _train(turn: Mapping[str, Any]) -> bool | None:
    """Whether the row says that a turn is trained, by `train` or OpenAI's `weight` of 0 or 1; None if it does not."""
    train, weight = turn.get("train"), turn.get("weight")
    if train is not None:
        if not isinstance(train, bool):
            raise ConversionError("wrong_type", f"its train is {describe_value(train)}, not true or false")
        return train
    if weight is None:
        return None
    if not isinstance(weight, (int, float)) or weight not in (0, 1):
        raise ConversionError("wrong_type", f"its weight is {describe_value(weight)}; a weight is 0 or 1")
    return bool(weight)


def _tool_calls(turn: Mapping[str, Any]) -> tuple[ToolCall, ...]:
    """The calls in a turn's `tool_calls` or in the older `function_call`."""
    calls = turn.get("tool_calls")
    if calls:
        return _calls_in(calls)
    call = turn.get("function_call")
    return _calls_in(call) if call else ()


def _calls_in(value: Any) -> tuple[ToolCall, ...]:
    """One call or a list of calls, which may be given as JSON text. Raises ConversionError: bad_tool_call."""
    if isinstance(value, str):
        value = _parsed_call(value, "the tool call")
    calls = value if isinstance(value, list) else [value]
    if not calls:
        raise ConversionError("bad_tool_call", "the list of tool calls is empty")
    return tuple(_tool_call(call) for call in calls)


def _tool_call(call: Any) -> ToolCall:
    """A call in OpenAI's format, {"id", "function": {"name", "arguments"}}, or flat, {"name", "arguments"}."""
    if isinstance(call, str):
        call = _parsed_call(call, "the tool call")
    if not isinstance(call, dict):
        raise ConversionError("bad_tool_call", f"the tool call is {describe_value(call)}, not an object")
    function = call.get("function")
    if not isinstance(function, dict):
        function = call
    name, arguments = function.get("name"), function.get("arguments")
    if not isinstance(name, str) or not name:
        raise ConversionError("bad_tool_call", "the tool call has no name")
    if not isinstance(arguments, dict):
        if arguments is None:
            raise ConversionError("bad_tool_call", f"the call of {name[:40]!r} has no arguments; {{}} stands for none")
        parsed = _parsed_call(arguments, "its arguments") if isinstance(arguments, str) else arguments
        if not isinstance(parsed, dict):
            raise ConversionError(
                "bad_tool_call", f"the arguments of {name[:40]!r} are {describe_value(parsed)}, not an object"
            )
    call_id = call.get("id")
    if call_id is not None and not isinstance(call_id, str):
        raise ConversionError(
            "bad_tool_call", f"the id of the call of {name[:40]!r} is {describe_value(call_id)}, not text"
        )
    return ToolCall(name=name, arguments=arguments, id=call_id or None)


def _parsed_call(text: str, label: str) -> object:
    try:
        return parse_text(text)
    except ValueError as error:
        raise ConversionError("bad_tool_call", f"{label} is not JSON ({error})") from None


def parse_tools(value: Any) -> tuple[Mapping[str, Any], ...]:
    """Tool schemas in OpenAI's format. Bare functions are wrapped in {"type": "function", "function": ...}; keys,
    values and their order do not change. Raises ConversionError.
    """
    value = parse_if_text(value, "tools")
    tools = []
    for tool in value if isinstance(value, list) else [value]:
        tool = parse_if_text(tool, "tools")
        if not isinstance(tool, dict):
            raise ConversionError("wrong_type", f"tools holds {describe_value(tool)}, not a tool's schema")
        if "name" in tool and "function" not in tool:
            function = {key: item for key, item in tool.items() if (key, item) != ("type", "function")}
            tool = {"type": "function", "function": function}
        tools.append(tool)
    return tuple(tools)


def parse_if_text(value: Any, label: str) -> Any:
    """The value of JSON text, or any other value unchanged; blank text is an empty list. Raises ConversionError."""
    if not isinstance(value, str):
        return value
    if not value.strip():
        return []
    try:
        return parse_text(value)
    except ValueError:
        raise ConversionError("wrong_type", f"{label} is text that is not JSON") from None


def describe_value(value: object) -> str:
    """A value for messages: its type, and the value itself if it is short."""
    if value is None:
        return "null"
    if isinstance(value, (bool, int, float)):
        return repr(value)[:40] if not isinstance(value, bool) else str(value).lower()
    if isinstance(value, str):
        return f"text ({value[:20]!r}{'...' if len(value) > 20 else ''})"
    return {"dict": "an object", "list": "a list"}.get(type(value).__name__, f"a value of type {type(value).__name__}")
