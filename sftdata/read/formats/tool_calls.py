"""Tool calls and tool schemas as data gives them -> as OpenAI's format has them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
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
_CALL_KEYS = frozenset(("id", "type", "function", "name", "arguments", "tool_call_id"))
_FUNCTION_KEYS = frozenset(("name", "arguments"))


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

    Nulls in arguments that are an object are absent, in every file format, since Arrow adds them.
    """
    if isinstance(call, str):
        call = _parsed_call(call, "the tool call")
    if not isinstance(call, dict):
        raise ConversionError("bad_tool_call", f"the tool call is {describe_value(call)}, not an object")
    function = call.get("function")
    if not isinstance(function, dict):
        function = call
    elif note is not None and not function.keys() <= _FUNCTION_KEYS:
        _note_unused(function, _FUNCTION_KEYS, "function.", note)
    if note is not None and not call.keys() <= _CALL_KEYS:
        _note_unused(call, _CALL_KEYS, "", note)
    name, arguments = function.get("name"), function.get("arguments")
    if not isinstance(name, str) or not name:
        raise ConversionError("bad_tool_call", "the tool call has no name")
    if isinstance(arguments, dict):
        arguments = without_nulls(arguments)
    else:
        if arguments is None:
            raise ConversionError("bad_tool_call", f"the call of {name[:40]!r} has no arguments; {{}} stands for none")
        arguments = _parsed_arguments(name, arguments)
    call_id = id_text(call.get("id"))
    if call_id is not None and not isinstance(call_id, str):
        raise ConversionError(
            "bad_tool_call", f"the id of the call of {name[:40]!r} is {describe_value(call_id)}, not text"
        )
    return ToolCall(name=name, arguments=arguments, id=call_id or None)


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


def _note_unused(value: Mapping[str, Any], known: frozenset[str], prefix: str, note: Note) -> None:
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
