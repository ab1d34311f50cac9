"""Rows that nobody should have, and what becomes of each: the reason why it is dropped, or None if it is packed."""

from __future__ import annotations

import json
from typing import Any

Row = dict[str, Any]
QUESTION = {"role": "user", "content": "Which one?"}
ANSWER = {"role": "assistant", "content": "This one."}


def tool(parameters: Any, name: Any = "f") -> Row:
    return {"type": "function", "function": {"name": name, "parameters": parameters}}


def called(parameters: Any, arguments: Any) -> Row:
    """A conversation in which a tool with this schema is called with these arguments."""
    return with_call(
        {"id": "abc123456", "type": "function", "function": {"name": "f", "arguments": arguments}}, parameters
    )


def with_call(call: Any, parameters: Any = True) -> Row:
    return {"messages": [QUESTION, {"role": "assistant", "tool_calls": [call]}], "tools": [tool(parameters)]}


def of(schema: Any) -> Row:
    """The schema of an object with the one property `a`."""
    return {"type": "object", "properties": {"a": schema}}


def with_tools(tools: Any) -> Row:
    return {"messages": [QUESTION, ANSWER], "tools": tools}


def with_turn(**turn: Any) -> Row:
    return {"messages": [QUESTION, {**ANSWER, **turn}]}


def nested(levels: int, inner: Any = 1) -> Any:
    value = inner
    for _ in range(levels):
        value = [value]
    return value


def deep_arguments(levels: int) -> str:
    """A row as JSON, which is too deep for Python to write."""
    return json.dumps(called(True, {"a": "@"})).replace('"@"', "[" * levels + "]" * levels)


def doubled(levels: int) -> Row:
    """A schema that is small, and that asks the same twice at each of its levels."""
    parts = {f"p{n}": {"anyOf": [{"$ref": f"#/$defs/p{n + 1}"}] * 2} for n in range(levels)}
    return {"$defs": {**parts, f"p{levels}": {"type": "null"}}, **of({"$ref": "#/$defs/p0"})}


def chain(levels: int) -> Row:
    schema: Row = {"type": "string"}
    for _ in range(levels):
        schema = {"anyOf": [{"type": "null"}, schema]}
    return of(schema)


TREE = {"$ref": "#/$defs/node", "$defs": {"node": of({"anyOf": [{"$ref": "#/$defs/node"}, {"type": "integer"}]})}}
OBJECTS = [{"n": n} for n in range(20_000)]
DIGITS = "7" * 10_000

SCHEMAS: dict[str, tuple[Row, str | None]] = {
    "a reference to nothing": (called({"$ref": "#/components/schemas/Pet"}, {"a": 1}), None),
    "a reference to another document": (called({"$ref": "https://example.com/pet.json"}, {"a": 1}), None),
    "a reference to a file": (called({"$ref": "file:///etc/passwd"}, {"a": 1}), None),
    "a reference that is a number": (called({"$ref": 7}, {"a": 1}), None),
    "an id that is no address": (called({"$id": "http://[broken", **of({"$ref": "#/x"})}, {"a": 1}), None),
    "an id that is a number": (called({"$id": 7}, {"a": 1}), None),
    "a reference to itself": (called({"$ref": "#"}, {"a": 1}), None),
    "two references in a circle": (
        called({"$defs": {"b": {"$ref": "#/$defs/c"}, "c": {"$ref": "#/$defs/b"}}, "$ref": "#/$defs/b"}, {"a": 1}),
        None,
    ),
    "a tree": (called(TREE, {"a": {"a": {"a": 1}}}), None),
    "a tree with a wrong leaf": (called(TREE, {"a": {"a": {"a": "x"}}}), "invalid_tool_call"),
    "twice the same, forty levels deep": (called(doubled(40), {"a": "x"}), None),
    "anyOf in anyOf": (called(chain(14), {"a": 5}), "invalid_tool_call"),
    "anyOf in anyOf, too deep": (called(chain(40), {"a": 5}), None),
    "an unknown draft": (called({"$schema": "https://example.com/mine", **of({"type": "integer"})}, {"a": 1}), None),
    "a draft that is a number": (called({"$schema": 7}, {"a": 1}), None),
    "a draft that is a list": (called({"$schema": ["x"]}, {"a": 1}), None),
    "a part with a draft of its own": (
        called(of({"$schema": "http://json-schema.org/draft-07/schema#", "pattern": "^(a+)+$"}), {"a": "a" * 40 + "!"}),
        None,
    ),
    "true as a schema": (called(True, {"a": 1}), None),
    "false as a schema": (called(False, {"a": 1}), None),
    "false as the schema of a property": (called(of(False), {"a": 1}), "invalid_tool_call"),
    "a list as a schema": (called([1, 2], {"a": 1}), None),
    "a text as a schema": (called("object", {"a": 1}), None),
    "a pattern that backtracks": (called(of({"pattern": "^(a+)+$"}), {"a": "a" * 40 + "!"}), "invalid_tool_call"),
    "another that backtracks": (called(of({"pattern": "^(a|aa)*b$"}), {"a": "a" * 60}), "invalid_tool_call"),
    "a pattern that is found": (called(of({"pattern": "^(a+)+$"}), {"a": "a" * 40}), None),
    "a name by a pattern that backtracks": (
        called({"patternProperties": {"^(a+)+$": False}}, {"a" * 40 + "!": 1}),
        None,
    ),
    "a name by a pattern that is found": (
        called({"patternProperties": {"^(a+)+$": False}}, {"aaa": 1}),
        "invalid_tool_call",
    ),
    "more properties than a pattern allows": (
        called({"patternProperties": {"^(a+)+$": True}, "additionalProperties": False}, {"a" * 40 + "!": 1}),
        "invalid_tool_call",
    ),
    "a pattern that looks ahead": (called(of({"pattern": "^(?=b)c"}), {"a": "x"}), None),
    "no pattern": (called(of({"pattern": "("}), {"a": "x"}), None),
    "a pattern that refers back": (called(of({"pattern": r"^(b+)\1$"}), {"a": "x"}), None),
    "a pattern with many states": (called(of({"pattern": "((a{0,99}){0,99}){0,99}!"}), {"a": "a" * 99}), None),
    "a pattern of letters that engines read differently": (called(of({"pattern": r"^\w+$"}), {"a": "é"}), None),
    "a pattern within not": (called(of({"not": {"pattern": "^(?=b)c"}}), {"a": "x"}), None),
    "20,000 objects that are unique": (called(of({"uniqueItems": True}), {"a": OBJECTS}), "overlong"),
    "20,000 objects, of which two are equal": (
        called(of({"uniqueItems": True}), {"a": [*OBJECTS, {"n": 5}]}),
        "invalid_tool_call",
    ),
    "20,000 texts to choose from": (
        called(of({"enum": [f"text {n}" for n in range(20_000)]}), {"a": "text 7"}),
        "overlong",
    ),
    "5,000 objects to choose from": (called(of({"enum": OBJECTS[:5000]}), {"a": {"n": "x"}}), "overlong"),
    "required: true": (called({"required": True}, {"a": 1}), None),
    "a type that is none": (called({"type": "strng"}, {"a": 1}), None),
    "a multiple of next to nothing": (called(of({"multipleOf": 1e-300}), {"a": 10**18}), None),
    "a minimum that is a text": (called(of({"minimum": "5"}), {"a": 1}), None),
    "unevaluatedProperties": (called({"unevaluatedProperties": False}, {"a": 1}), None),
    "a schema nested 90 levels deep": (called(of(nested(90)), {"a": 1}), None),
    "a schema nested 300 levels deep": (called(of(nested(300)), {"a": 1}), "wrong_type"),
    "a name of a property that is empty": (called({"properties": {"": {"type": "integer"}}}, {"": 1}), None),
}
CALLS: dict[str, tuple[Any, str | None]] = {
    "arguments with NaN": (called(True, '{"a": NaN}'), "bad_tool_call"),
    "arguments with an infinite number": (called(True, '{"a": 1e999}'), "bad_tool_call"),
    "arguments with Infinity": (called(True, '{"a": -Infinity}'), "bad_tool_call"),
    "arguments with half a character": (called(True, '{"a": "\\ud800"}'), "bad_tool_call"),
    "arguments that are half a character": (called(True, {"a": "\ud800"}), "bad_characters"),
    "arguments nested 900 levels deep, as text": (called(True, '{"a": ' * 900 + "1" + "}" * 900), "bad_tool_call"),
    "arguments nested 900 levels deep": (deep_arguments(900), "wrong_type"),
    "arguments nested 90 levels deep": (called(True, {"a": nested(90)}), None),
    "arguments with a number of 10,000 digits, as text": (called(True, f'{{"a": {DIGITS}}}'), "bad_tool_call"),
    "null as text": (called(True, "null"), "bad_tool_call"),
    "a list as text": (called(True, "[1]"), "bad_tool_call"),
    "no text": (called(True, ""), None),
    "a number as arguments": (called(True, 5), "bad_tool_call"),
    "an empty list as arguments": (called(True, []), None),
    "a list as arguments": (called(True, [1]), "bad_tool_call"),
    "a key that is empty": (called(True, {"": 1}), None),
    "a key of 1 MB": (called(True, {"k" * 1_000_000: 1}), "overlong"),
    "function: null": (with_call({"type": "function", "function": None}), "bad_tool_call"),
    "function: 5": (with_call({"type": "function", "function": 5}), "bad_tool_call"),
    "a name that is a number": (with_call({"function": {"name": 5, "arguments": {}}}), "bad_tool_call"),
    "a name that is a list": (with_call({"function": {"name": ["f"], "arguments": {}}}), "bad_tool_call"),
    "an id that is an object": (with_call({"id": {}, "function": {"name": "f", "arguments": {}}}), "bad_tool_call"),
    "an id that is a list": (with_call({"id": [1], "function": {"name": "f", "arguments": {}}}), "bad_tool_call"),
    "an id that is true": (with_call({"id": True, "function": {"name": "f", "arguments": {}}}), "bad_tool_call"),
    "a call that is null": (with_call(None), "bad_tool_call"),
    "a call that is a number": (with_call(5), "bad_tool_call"),
    "a call that is a list of lists": (with_call([[]]), "bad_tool_call"),
}
TOOLS: dict[str, tuple[Any, str | None]] = {
    "tools that are numbers": (with_tools([1, 2]), "wrong_type"),
    "tools that are a number": (with_tools(5), "wrong_type"),
    "tools that are a text": (with_tools("abc"), "wrong_type"),
    "tools that are lists in lists": (with_tools([[["f"]]]), "wrong_type"),
    "a tool whose function is a number": (with_tools([{"type": "function", "function": 5}]), "wrong_type"),
    "a tool whose function is a list": (with_tools([{"type": "function", "function": [1]}]), "wrong_type"),
    "a tool whose parameters are a number": (with_tools([tool(5)]), None),
    "tools nested 200 levels deep, as text": (with_tools("[" * 200 + "]" * 200), "wrong_type"),
}
ROWS: dict[str, tuple[Any, str | None]] = {
    "a role that is an object": (with_turn(role={"name": "assistant"}), "wrong_type"),
    "a role that is a list": (with_turn(role=["assistant"]), "wrong_type"),
    "a role that is a number": (with_turn(role=5), "wrong_type"),
    "a content of ten levels of lists": (with_turn(content=nested(10, "x")), "wrong_type"),
    "a content that is an object": (with_turn(content={"a": 1}), "wrong_type"),
    "messages that are lists": ({"messages": [[], []]}, "wrong_type"),
    "messages that are null": ({"messages": [None, None]}, "wrong_type"),
    "messages that are numbers": ({"messages": [5, 5]}, "wrong_type"),
    "messages that are a number": ({"messages": 5}, "wrong_type"),
    "a turn with an empty key": (with_turn(**{"": 1}), None),
    "a turn with a key of 1 MB": (with_turn(**{"k" * 1_000_000: 1}), None),
    "a weight that is an object": (with_turn(weight={"a": 1}), "wrong_type"),
    "a name that is an object": (with_turn(name={"a": 1}), "wrong_type"),
    "reasoning that is an object": (with_turn(reasoning_content={"a": 1}), "wrong_type"),
    "half a character": (with_turn(content="a\ud800b"), "bad_characters"),
    "template arguments that are a number": ({**with_turn(), "chat_template_kwargs": 5}, "wrong_type"),
    "a row nested 5,000 levels deep": ('{"a": ' + "[" * 5000 + "]" * 5000 + "}", "bad_json"),
    "a row nested 400 levels deep": ({**with_turn(), "more": nested(400)}, "wrong_type"),
    "a number of 10,000 digits": (f'{{"a": {DIGITS}}}', "bad_json"),
    "an empty key alone": ({"": 1}, "unknown_shape"),
    "a number": ("5", "not_an_object"),
    "null": ("null", "not_an_object"),
}
ODD = {**SCHEMAS, **CALLS, **TOOLS, **ROWS}


def line_of(row: Any) -> str:
    """The row as a line of a file; a text is one already."""
    return row if isinstance(row, str) else json.dumps(row)
