"""Calls and arguments in texts: JSON or Python objects -> tool calls, and the text of an argument -> its value."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from sftdata.read.formats.tool_calls import tool_call
from sftdata.read.formats.values import ConversionError, is_given, parse_python
from sftdata.records.record import ToolCall

_DETAILS = ("id", "type", "index")


def _refuse_constant(text: str) -> None:
    """NaN and infinity are no JSON, and would be stored as null."""
    raise ValueError(text)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object. Raises ValueError if it gives one key two values, of which one would be lost."""
    value = dict(pairs)
    if len(value) < len(pairs) and any(repr(value[key]) != repr(item) for key, item in pairs):
        raise ValueError("a key is given twice")
    return value


JSON = json.JSONDecoder(parse_constant=_refuse_constant, object_pairs_hook=_object)
Properties = Callable[[str], Mapping[str, Any]]  # name of a tool -> the properties of its arguments, if declared


def call_of(value: Any) -> ToolCall | None:
    """A call from JSON, by its name and arguments, or None if it is no call, or more than a call."""
    if not isinstance(value, dict):
        return None
    inner = value.get("function")
    function = inner if isinstance(inner, dict) else value
    name = function.get("name", inner if isinstance(inner, str) else None)
    keys = [key for key in ("arguments", "parameters", "args", "input", "params") if key in function]
    arguments = function[keys[0]] if keys else {}
    if not isinstance(name, str) or len(keys) > 1:
        return None
    known = {"function", "name", *_DETAILS, *keys}
    if any(is_given(other) for part in (value, function) for key, other in part.items() if key not in known):
        return None  # a call has no place for it
    call_id = value.get("id")
    given = {"id": call_id} if isinstance(call_id, str) else {}
    try:
        call = tool_call({**given, "name": name, "arguments": {} if arguments is None else arguments})
    except ConversionError:
        return None
    # Nulls in a text are the writer's own.
    return ToolCall(name=call.name, arguments=arguments, id=call.id) if isinstance(arguments, dict) else call


def json_calls(text: str) -> tuple[tuple[ToolCall, ...], int] | None:
    """The calls at the beginning of a text, as JSON or Python objects in a row, and where they end."""
    at = len(text) - len(text.lstrip())
    calls: list[ToolCall] = []
    end = 0
    while at < len(text) and text[at] in "[{":
        try:
            value, at = JSON.raw_decode(text, at)
        except (ValueError, RecursionError):
            value = parse_python(text[at:])
            at = len(text)
        found = [call_of(item) for item in (value if isinstance(value, list) else [value])]
        if not found or None in found:
            break
        calls += [call for call in found if call is not None]
        end = at
        rest = text[at:].lstrip(" \t\r\n,;")
        at = len(text) - len(rest)
    return (tuple(calls), end) if calls else None


def typed(text: str, schema: Any) -> Any:
    """The text of an argument as the type that the tool's schema declares; as text if it declares none."""
    kinds = schema.get("type") if isinstance(schema, Mapping) else None
    if kinds is None or kinds == "string" or (isinstance(kinds, list) and "string" in kinds):
        return text
    try:
        return JSON.decode(text)
    except (ValueError, RecursionError):
        value = {"True": True, "False": False, "None": None}.get(text.strip(), text)
        return value if value is not text else parse_python(text) or text
