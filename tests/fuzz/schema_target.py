"""The check of tool calls: any schema and any arguments end in a verdict, within bounds of steps and time."""

# ruff: noqa: E501 (tables read better with a row a line)
from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, NamedTuple

from hangs import no_hang
from hypothesis import strategies as st
from hypothesis import target
from json_examples import DEEP, JSON, TEXTS, changed, is_huge
from odd_rows import SCHEMAS

from sftdata.config import SourceConfig
from sftdata.read.formats.tool_schemas import MAX_DETAIL, UNJUDGED, check_tool_calls, unjudged_note
from sftdata.read.schemas.judge import MAX_STEPS, STEPS_PER_CALL, Budget, judge
from sftdata.read.stage import row_of
from sftdata.read.units import RawRow
from sftdata.records.record import Record

MAX_OVERSHOT = 100_000  # steps that one keyword may take at once: wording an error takes some by the value's size
REASONS = {"invalid schemas", "references", "patterns", "unevaluatedProperties", "size"}


class Example(NamedTuple):
    """The parameters of a tool, the arguments of calls, and whether these are text."""

    schema: Any
    calls: list[Any]
    is_text: bool


PARTS = ("^", "$", "a", "b", ".", "\\d", "\\w", "\\S", "[a-z]", "[^a]", "(?:", "(", ")", "|", "*", "+", "?", "*?", "{2}", "{1,99}", "{0,}", "{,3}", "(?=", "(?!", "(?<=a)", "\\1", "\\b", "\\u00e9", "\\p{L}", "\\x41", "\\Q", "[[:alpha:]]", "[]", "é", "(?i)", "\\", "[", "{")  # fmt: skip
PATTERNS = (
    st.sampled_from(["^(a+)+$", "^(a|aa)*b$", "(.*)*x", "((a{0,99}){0,99}){0,99}!", "^\\d{3}-\\d{4}$", "(x+x+)+y"])
    | st.lists(st.sampled_from(PARTS), max_size=8).map("".join)
    | st.lists(st.sampled_from(PARTS), max_size=3).map(lambda parts: "(" * 30 + "".join(parts) + ")*" * 30)
)
REFERENCES = st.sampled_from(
    [
        *("#", "#/$defs/a", "#/$defs/b", "#/properties/a", "#/items", "#/anyOf/0", "#a", "#/", "#/$defs/%61", "#/$defs/~1"),
        *("", "x", "#/nowhere", "https://example.com/x.json", "file:///etc/passwd", "http://[broken", "urn:a:b", "./#"),
        *("https://json-schema.org/draft/2020-12/schema", "http://json-schema.org/draft-07/schema#", "\ud800"),
    ]
)  # fmt: skip
DRAFTS = st.sampled_from(
    [
        *("https://json-schema.org/draft/2020-12/schema", "https://json-schema.org/draft/2019-09/schema", "https://x.y/z"),
        *("http://json-schema.org/draft-07/schema#", "http://json-schema.org/draft-06/schema#", "", "http://[broken"),
        *("http://json-schema.org/draft-04/schema#", "http://json-schema.org/draft-03/schema#"),
    ]
)  # fmt: skip
NAMES = st.sampled_from(["a", "b", "c", "", "a" * 40 + "!", "é", "$ref", "__proto__"])
NUMBERS = st.sampled_from([0, 1, -1, 2, 0.01, 1e-300, 1e300, 1.5, 2**53 + 1, 10**18, -0.0])
TYPES = st.sampled_from(["object", "array", "string", "integer", "number", "boolean", "null", "int", "any", "dict"])
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS
    | st.sampled_from(["a" * 40, "a" * 5000, "2026-02-30", "x@y", "1.2.3.4"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)  # fmt: skip
WIDE = st.builds(
    lambda value, times, is_list: [value] * times if is_list else {f"a{at}": value for at in range(times)},
    VALUES,
    st.sampled_from([30, 200, 3000]),
    st.booleans(),
) | st.builds(lambda times: [{"n": at} for at in range(times)], st.sampled_from([300, 5000, 20_000]))


def _objects(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    many = st.lists(inner, max_size=3) | st.builds(
        lambda one, times: [one] * times, inner, st.sampled_from([2, 60, 600])
    )
    named = st.dictionaries(NAMES, inner, max_size=3)
    right: dict[str, st.SearchStrategy[Any]] = {
        **dict.fromkeys(("properties", "$defs", "definitions", "dependentSchemas"), named),
        "patternProperties": st.dictionaries(PATTERNS, inner, max_size=3),
        **dict.fromkeys(("additionalProperties", "items", "not", "if", "then", "else", "contains"), inner),
        **dict.fromkeys(("propertyNames", "unevaluatedProperties", "unevaluatedItems", "contentSchema"), inner),
        **dict.fromkeys(("anyOf", "oneOf", "allOf", "prefixItems", "disallow", "extends"), many),
        "required": st.lists(NAMES, max_size=3) | st.booleans(),
        "dependentRequired": st.dictionaries(NAMES, st.lists(NAMES, max_size=2), max_size=2),
        "dependencies": st.dictionaries(NAMES, inner | st.lists(NAMES, max_size=2), max_size=2),
        "type": TYPES | st.lists(TYPES, max_size=3),
        "enum": st.lists(VALUES, max_size=4) | WIDE,
        "const": VALUES,
        **dict.fromkeys(("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"), NUMBERS),
        **dict.fromkeys(("minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxContains"), NUMBERS),
        "uniqueItems": st.booleans(),
        "pattern": PATTERNS,
        "format": st.sampled_from(["date", "email", "ipv4", "regex", "uri", "uuid", "x"]),
        **dict.fromkeys(("$ref", "$dynamicRef", "$recursiveRef"), REFERENCES),
        **dict.fromkeys(("$id", "id", "$anchor", "$dynamicAnchor"), REFERENCES),
        "$schema": DRAFTS,
        **dict.fromkeys(("title", "description", "default", "nullable", "$comment", "$vocabulary"), VALUES),
    }
    keyword = st.sampled_from(sorted(right)).flatmap(
        lambda name: st.tuples(st.just(name), right[name] | right[name] | JSON)
    )
    return st.lists(keyword, min_size=1, max_size=4).map(dict)


def _nested(levels: int, name: str, inner: Any) -> Any:
    """A keyword in itself, which is small and may take long."""
    for _ in range(levels):
        inner = {
            name: inner
            if name in ("not", "items", "contains", "if")
            else [inner, {"type": "null"}, inner][: 2 + (levels < 12)]
        }
    return inner


NESTED = st.builds(_nested, st.sampled_from([5, 11, 30, 70]), st.sampled_from(["anyOf", "oneOf", "allOf", "not", "items", "contains", "if"]), VALUES.map(lambda value: {"const": value}))  # fmt: skip
SCHEMA = st.recursive(
    st.sampled_from(
        [True, False, {}, {"type": "integer"}, {"$ref": "#"}, {"$ref": "#/$defs/a"}, {"uniqueItems": True}]
    ),
    _objects,
    max_leaves=10,
)
KNOWN = [(row["tools"][0]["function"]["parameters"], row["messages"][1]["tool_calls"][0]["function"]["arguments"]) for row, _ in SCHEMAS.values()]  # fmt: skip


@st.composite
def _examples(draw: st.DrawFn) -> Example:
    if draw(st.integers(0, 3)) == 0:
        schema, arguments = draw(st.sampled_from(KNOWN))
        schema, arguments = draw(changed(st.just(schema), SCHEMA)), draw(changed(st.just(arguments), VALUES | WIDE))
        return Example(schema, [arguments], draw(st.booleans()))
    schema = draw(
        SCHEMA | NESTED | st.builds(lambda one: {"properties": {"a": one}, "$defs": {"a": one}}, SCHEMA | NESTED)
    )
    schema = draw(changed(st.just(schema), SCHEMA | JSON | DEEP)) if draw(st.booleans()) else schema
    arguments = st.dictionaries(NAMES, VALUES | WIDE, max_size=3) | st.builds(lambda one: {"a": one}, VALUES | WIDE)
    return Example(schema, draw(st.lists(arguments, min_size=1, max_size=3)), draw(st.booleans()))


EXAMPLES = _examples()


def check(example: Example) -> None:
    """The verdict is an error in words, or what could not be judged, and the same again; the row is not lost to it."""
    if is_huge([example.schema, example.calls]):
        return
    with no_hang():
        row = row_of(RawRow(1, _row(example), None), SourceConfig(path="x"))
        assert row.fault is None, row.fault
        if row.record is not None and row.drop is None:
            _check_record(row.record)


def _row(example: Example) -> dict[str, Any]:
    """A conversation with these calls."""
    write: Callable[[Any], Any] = json.dumps if example.is_text else lambda value: value
    calls = [
        {"id": f"abc12345{at}", "type": "function", "function": {"name": "f", "arguments": write(value)}}
        for at, value in enumerate(example.calls)
    ]
    tool = {"type": "function", "function": {"name": "f", "parameters": example.schema}}
    turns: list[Any] = [{"role": "user", "content": "Go."}, {"role": "assistant", "content": None, "tool_calls": calls}]
    return {"messages": turns, "tools": [tool]}


def _check_record(record: Record) -> None:
    record = Record.from_json(record.to_json())
    notes: list[str] = []
    drop = check_tool_calls(record, notes.append)
    assert set(notes) <= REASONS
    assert drop is None or (drop.reason == "invalid_tool_call" and 0 < len(drop.detail or "") <= MAX_DETAIL)
    assert unjudged_note(dict.fromkeys(notes, 1)) or UNJUDGED
    again: list[str] = []
    assert (check_tool_calls(record, again.append), again) == (drop, notes)
    schema = record.tools[0]["function"].get("parameters") if record.tools else None
    calls = [call.arguments for message in record.messages for call in message.tool_calls]
    if not isinstance(schema, dict):
        return
    budget = Budget(len(calls))
    for arguments in calls:
        found = judge(schema, json.loads(arguments) if isinstance(arguments, str) else arguments, budget)
        assert found.error is None or isinstance(found.error, str)
        assert found.unjudged is None or found.unjudged in REASONS
    assert budget.steps > -MAX_OVERSHOT, "takes more steps than there are"
    steps = MAX_STEPS + STEPS_PER_CALL * len(calls) - budget.steps
    target(float(min(steps, MAX_STEPS // 4)), label="steps")  # with all of them, most examples would be slow
