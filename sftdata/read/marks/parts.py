"""Tool calls and results as parts of a content, as Anthropic, Google, Bedrock and the AI SDK have them -> turns.

assistant  [{"type": "text", "text": "I look."}, {"type": "tool_use", "id": "c1", "name": "f", "input": {}}]
user       [{"type": "tool_result", "tool_use_id": "c1", "content": "3"}]
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sftdata.read.formats.values import ConversionError, as_list_of_objects, is_given

_KINDS = {"tool_use": "call", "tool-call": "call", "tool_result": "result", "tool-result": "result"}
_KEYS = {"functionCall": "call", "function_call": "call", "functionResponse": "result", "function_response": "result"}
_KEYS |= {"toolUse": "call", "toolResult": "result"}
# What a part says of a call or a result -> its names.
_ID = ("tool_use_id", "tool_call_id", "toolCallId", "toolUseId", "call_id", "id")
_NAME = ("name", "toolName")
_ARGUMENTS = ("input", "args", "arguments")
_RESULT = ("content", "output", "result", "response")


def split_parts(turn: Any, role_key: str, content_key: str) -> Sequence[Any]:
    """A turn as turns: its calls in `tool_calls`, and each of its results as a tool's turn. A turn without such parts
    is returned as it is.

    Raises ConversionError for parts in an order that turns cannot have: text behind a call, or before a result.
    """
    if not isinstance(turn, dict):
        return (turn,)
    key = next((name for name in (content_key, "value", "parts") if turn.get(name) is not None), content_key)
    content = turn.get(key)
    if not isinstance(content, (list, Mapping)):
        return (turn,)
    parts = as_list_of_objects(content, "type", "text")
    kinds = [_kind(part) for part in parts] if isinstance(parts, list) else []
    if not any(kinds):
        return (turn,)
    if "call" in kinds:
        return (_with_calls(turn, key, parts, kinds),)
    first = kinds.index("result")
    if any(_says_something(part) for part in parts[:first]) or None in kinds[first : _last(kinds, "result")]:
        raise ConversionError("roles_out_of_order", "its content has text before a tool result, which comes first")
    turns = [_result(part, role_key, content_key) for part, kind in zip(parts, kinds) if kind == "result"]
    rest = [part for part, kind in zip(parts, kinds) if kind is None]
    return [*turns, {**turn, key: rest}] if any(map(_says_something, rest)) else turns


def _last(kinds: Sequence[str | None], kind: str) -> int:
    return max(place for place, found in enumerate(kinds) if found == kind)


def _kind(part: Any) -> str | None:
    """Whether a part is a call or a result."""
    if not isinstance(part, Mapping):
        return None
    found = _KINDS.get(part["type"]) if isinstance(part.get("type"), str) else None
    return found or next((kind for key, kind in _KEYS.items() if is_given(part.get(key))), None)


def _says_something(part: Any) -> bool:
    """Whether a part is more than blank text."""
    return is_given(part) and not (
        isinstance(part, Mapping) and part.get("type") == "text" and not is_given(part["text"])
    )


def _fields(part: Mapping[str, Any]) -> dict[str, Any]:
    """What a part says, without its type and what Arrow puts in place of other parts' keys."""
    for key in _KEYS:
        if is_given(part.get(key)) and isinstance(part[key], Mapping):
            beside = {name: value for name, value in part.items() if name not in (key, "type")}
            return {**beside, **part[key]}
    return {name: value for name, value in part.items() if name != "type"}


def _with_calls(turn: dict[str, Any], key: str, parts: Sequence[Any], kinds: Sequence[str | None]) -> dict[str, Any]:
    if "result" in kinds:
        raise ConversionError("roles_out_of_order", "its content has both a tool call and a tool result")
    first = kinds.index("call")
    if any(kind is None and _says_something(part) for part, kind in zip(parts[first:], kinds[first:])):
        raise ConversionError("untrainable_content", "its content has a part behind a tool call, and calls come last")
    if is_given(turn.get("tool_calls")):
        raise ConversionError("conflicting_fields", "it has tool calls both in its content and in tool_calls")
    calls = []
    for part in parts[first:]:
        fields = _fields(part) if _kind(part) else {}
        if fields:
            call = {
                "id": _take(fields, _ID),
                "name": _take(fields, _NAME),
                "arguments": _take(fields, _ARGUMENTS) or {},
            }
            calls.append({**{name: value for name, value in fields.items() if is_given(value)}, **call})
    text = [part for part in parts[:first] if _says_something(part)]
    return {**turn, key: text or None, "tool_calls": calls}


def _result(part: Mapping[str, Any], role_key: str, content_key: str) -> dict[str, Any]:
    fields = _fields(part)
    value = _take(fields, _RESULT)
    value = as_list_of_objects(value, "type", "text", "json")
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], Mapping):
        given = [name for name, item in value[0].items() if item is not None]
        value = value[0]["json"] if given == ["json"] else value  # as Bedrock has a result that is data
    turn = {role_key: "tool", content_key: "" if value is None else value}
    turn |= {"tool_call_id": _take(fields, _ID), "name": _take(fields, _NAME)}
    return {**{name: value for name, value in fields.items() if is_given(value)}, **turn}


def _take(fields: dict[str, Any], names: Sequence[str]) -> Any:
    """The value under the first of these names that says something, or that is not null. The name is removed."""
    named = [name for name in names if fields.get(name) is not None]
    found = next((name for name in named if is_given(fields[name])), named[0] if named else None)
    return None if found is None else fields.pop(found)
