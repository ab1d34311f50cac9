"""Tool calls and tool schemas as data gives them -> as OpenAI's format has them."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from sftdata.read.formats.values import (
    ConversionError,
    as_list_of_objects,
    describe_value,
    is_given,
    parse_if_text,
    parse_python,
    without_nulls,
)
from sftdata.read.readers.parse_json import parse_text
from sftdata.records.record import ToolCall

Note = Callable[[str], None]  # is called with the name of a value that is not used
_CALL_KEYS = frozenset(("id", "type", "function", "name", "tool_call_id"))
_ARGUMENTS = ("arguments", "parameters", "args", "input", "params")
_INTEGERS = range(-(2**63), 2**64)  # that are kept in JSON as numbers


def calls_in(value: Any, note: Note | None = None) -> tuple[ToolCall, ...]:
    """One call or a list of calls, which may be given as text. Raises ConversionError: bad_tool_call."""
    if isinstance(value, str):
        value = _parsed_call(value, "the tool call")
    value = as_list_of_objects(value, "name", "function")
    calls = value if isinstance(value, list) else [value]
    if not calls:
        raise ConversionError("bad_tool_call", "the list of tool calls is empty")
    return tuple(tool_call(call, note) for call in calls)


def tool_call(call: Any, note: Note | None = None) -> ToolCall:
    """A call in OpenAI's format, {"id", "function": {"name", "arguments"}}, or flat, {"name", "arguments"}.

    The arguments may have another usual name; a call without any has none. Nulls in arguments that are an object are
    absent, in every file format, since Arrow adds them.
    """
    if isinstance(call, str):
        call = _parsed_call(call, "the tool call")
    if not isinstance(call, dict):
        raise ConversionError("bad_tool_call", f"the tool call is {describe_value(call)}, not an object")
    function = call.get("function")
    parts = (function, call) if isinstance(function, dict) else (call,)
    name = parts[0].get("name", function)
    if not isinstance(name, str) or not name:
        raise ConversionError("bad_tool_call", "the tool call has no name")
    if call.get("name") not in (None, "", name):
        raise ConversionError("conflicting_fields", f"a tool call has two names, {name[:40]!r} and another one")
    arguments, keys = _arguments_in(parts, name)
    if note is not None:
        if isinstance(function, dict):
            _note_unused(function, {"name", *keys}, "function.", note)
        _note_unused(call, _CALL_KEYS.union(keys), "", note)
    arguments = without_nulls(arguments) if isinstance(arguments, dict) else _parsed_arguments(name, arguments)
    call_id = id_text(call.get("id"))
    if call_id is not None and not isinstance(call_id, str):
        raise ConversionError(
            "bad_tool_call", f"the id of the call of {name[:40]!r} is {describe_value(call_id)}, not text"
        )
    return ToolCall(name=name, arguments=arguments, id=call_id or None)


def _arguments_in(parts: Sequence[Mapping[str, Any]], name: str) -> tuple[Any, list[str]]:
    """The arguments of a call, and their keys. Raises ConversionError: conflicting_fields if two keys differ."""
    found = [(part[key], key) for part in parts for key in _ARGUMENTS if not _is_nothing(part.get(key))]
    for value, key in found[1:]:
        if value != found[0][0]:
            detail = f"the {found[0][1]} and the {key} of the call of {name[:40]!r} differ"
            raise ConversionError("conflicting_fields", detail)
    return (found[0][0] if found else {}), [key for _, key in found]


def _is_nothing(arguments: Any) -> bool:
    """Whether a call has no arguments: some programs write an empty list, or blank text, for none."""
    return arguments in (None, {}, []) or (isinstance(arguments, str) and not arguments.strip())


def exact_numbers(call: ToolCall) -> ToolCall:
    """The call with its arguments as JSON text if they hold a whole number of more than 64 bits, whose digits would not
    stay in an object.
    """
    if isinstance(call.arguments, str) or not _holds_long_integer(call.arguments):
        return call
    return replace(call, arguments=json.dumps(call.arguments, ensure_ascii=False))


def _holds_long_integer(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(map(_holds_long_integer, value.values()))
    if isinstance(value, (list, tuple)):
        return any(map(_holds_long_integer, value))
    return type(value) is int and value not in _INTEGERS


def _parsed_arguments(name: str, arguments: Any) -> str | Mapping[str, Any]:
    """Arguments that are not an object: a text that holds one stays as it is if it is JSON. Raises ConversionError."""
    found: Any = arguments
    parsed: Any = arguments
    if isinstance(arguments, str):
        try:
            parsed = parse_text(arguments)
        except ValueError as error:
            parsed = found = parse_python(arguments)
            if parsed is None:
                raise ConversionError("bad_tool_call", f"its arguments is not JSON ({error})") from None
    if not isinstance(parsed, dict):
        raise ConversionError(
            "bad_tool_call", f"the arguments of {name[:40]!r} are {describe_value(parsed)}, not an object"
        )
    return dict(without_nulls(found)) if isinstance(found, dict) else str(found)


def id_text(value: Any) -> Any:
    """The id of a call as text, also where it is a whole number, which pandas may write as 7.0; else unchanged."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def same_calls(first: Sequence[ToolCall], second: Sequence[ToolCall]) -> bool:
    """Whether two lists of calls are the same, but for their ids and how their arguments are written."""
    return [(call.name, _arguments(call)) for call in first] == [(call.name, _arguments(call)) for call in second]


def _arguments(call: ToolCall) -> object:
    return without_nulls(parse_text(call.arguments) if isinstance(call.arguments, str) else call.arguments)


def _note_unused(value: Mapping[str, Any], known: Collection[str], prefix: str, note: Note) -> None:
    for key, item in value.items():
        if key not in known and is_given(item):
            note(f"{prefix}{key}")


def _parsed_call(text: str, label: str) -> object:
    try:
        return parse_text(text)
    except ValueError as error:
        found: object = parse_python(text)
        if found is None:
            raise ConversionError("bad_tool_call", f"{label} is not JSON ({error})") from None
        return found


def has_tools(value: Any) -> bool:
    """Whether a field of tools has any, and is not just what Arrow puts in place of none."""
    return bool(value) and bool(without_nulls(value))


def parse_tools(value: Any) -> tuple[Mapping[str, Any], ...]:
    """Tool schemas in OpenAI's format, from a list of them, one of them, or an object of name -> schema, or such a
    value as text. Bare functions are wrapped in {"type": "function", "function": ...}; keys, values and their order do
    not change, but nulls in objects are absent, in every file format, since Arrow adds them. Raises ConversionError.
    """
    value = as_list_of_objects(parse_if_text(value, "tools"), "name", "function", "type")
    if isinstance(value, dict):
        value = _by_name(value)
    tools = []
    for tool in value if isinstance(value, list) else [value]:
        tool = parse_if_text(tool, "tools")
        if not isinstance(tool, dict):
            raise ConversionError("wrong_type", f"tools holds {describe_value(tool)}, not a tool's schema")
        if isinstance(tool.get("function"), str):
            tool = {**tool, "function": parse_python(tool["function"]) or parse_if_text(tool["function"], "tools")}
        tool = without_nulls(tool)
        if not isinstance(tool.get("function", {}), dict):
            what = describe_value(tool["function"])
            raise ConversionError("wrong_type", f"the function of a tool is {what}, not an object")
        if "name" in tool and "function" not in tool:
            function = {key: item for key, item in tool.items() if (key, item) != ("type", "function")}
            tool = {"type": "function", "function": function}
        tools.append(tool)
    return tuple(tools)


def _by_name(value: dict[str, Any]) -> list[Any]:
    """The tools of an object: one tool, or {name: schema, ...}."""
    if isinstance(value.get("name"), str) or "function" in value or "type" in value:
        return [value]
    if not all(isinstance(item, dict) for item in value.values()):
        return [value]
    tools: list[Any] = []
    for name, schema in value.items():
        if isinstance(schema.get("function"), dict) or schema.get("name") == name:
            tools.append(schema)
        elif "properties" in schema and schema.get("type") == "object":
            tools.append({"name": name, "parameters": schema})
        else:
            tools.append({"name": name, **schema})
    return tools
