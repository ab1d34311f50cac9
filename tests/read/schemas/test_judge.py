from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from sftdata.read.formats.tool_schemas import check_tool_calls
from sftdata.read.schemas.judge import MAX_STEPS, Budget, Judged, judge
from sftdata.records.record import Message, Record, ToolCall


def judged(schema: Any, value: Any) -> Judged:
    return judge(schema, value, Budget())


def of(schema: Any) -> dict[str, Any]:
    return {"properties": {"a": schema}}


@pytest.mark.parametrize(
    ("schema", "value", "error"),
    [
        ({"required": ["a"]}, {}, "'a' is a required property"),
        (of({"type": "integer"}), {"a": "x"}, "a: 'x' is not of type 'integer'"),
        (of({"enum": [1, "b"]}), {"a": 1.0}, None),
        (of({"enum": [1, "b"]}), {"a": True}, "a: True is not one of [1, 'b']"),
        (of({"enum": [{"b": [1]}]}), {"a": {"b": [1.0]}}, None),
        (of({"const": {"b": 1, "c": 2}}), {"a": {"c": 2, "b": 1}}, None),
        (of({"const": 0}), {"a": False}, "a: 0 was expected"),
        (of({"uniqueItems": True}), {"a": [1, True, "1", [1], {"b": 1}]}, None),
        (
            of({"uniqueItems": True}),
            {"a": [{"b": 1, "c": 2}, {"c": 2, "b": 1.0}]},
            "a: [{'b': 1, 'c': 2}, {'c': 2, 'b': 1.0}] has non-unique elements",
        ),
        (of({"multipleOf": 0.01}), {"a": 19.99}, None),
        (of({"multipleOf": 0.01}), {"a": 19.999}, "a: 19.999 is not a multiple of 0.01"),
        (of({"multipleOf": 2}), {"a": 4.0}, None),
        (of({"multipleOf": 2}), {"a": 3}, "a: 3 is not a multiple of 2"),
        ({"additionalProperties": False}, {"b": 1}, "Additional properties are not allowed ('b' was unexpected)"),
        ({"additionalProperties": {"type": "null"}}, {"b": 1, "a": 2}, "b: 1 is not of type 'null'"),
        ({"propertyNames": {"pattern": "^a"}}, {"b": 1}, "'b' does not match '^a'"),
    ],
)
def test_a_value_is_judged_as_json_schema_says(schema: Any, value: Any, error: str | None) -> None:
    assert judged(schema, value) == Judged(error)


@pytest.mark.parametrize(
    ("schema", "value", "why"),
    [
        ({"$ref": "#/nowhere"}, {}, "references"),
        ({"$ref": "https://example.com/x.json"}, {}, "references"),
        ({"$ref": "#"}, {}, "references"),
        ({"$ref": 7}, {}, "invalid schemas"),
        ({"required": True}, {}, "invalid schemas"),
        ({"$schema": 7}, {}, "invalid schemas"),
        (of({"pattern": "(?=a)"}), {"a": "b"}, "patterns"),
        (of({"not": {"pattern": "(?=a)"}}), {"a": "b"}, "patterns"),
        ({"unevaluatedProperties": False}, {"a": 1}, "unevaluatedProperties"),
        ({"allOf": [{"minProperties": 0}] * 3000}, {}, "size"),
        (of({"items": {"anyOf": [{"type": "null"}, {"type": "integer"}]}}), {"a": [1] * 100_000}, "size"),
    ],
)
def test_what_cannot_be_judged_passes_and_says_why(schema: Any, value: Any, why: str) -> None:
    assert judged(schema, value) == Judged(None, why)


def test_what_is_certain_is_an_error_beside_what_is_not() -> None:
    schema = {"properties": {"a": {"pattern": "(?=a)"}, "b": {"type": "null"}}}
    assert judged(schema, {"a": "x", "b": 1}) == Judged("b: 1 is not of type 'null'")
    assert judged({"anyOf": [{"pattern": "(?=a)"}, {"type": "null"}]}, "x") == Judged(None, "patterns")


def test_steps_do_not_grow_with_the_branches_of_branches() -> None:
    parts: dict[str, Any] = {f"p{n}": {"anyOf": [{"$ref": f"#/$defs/p{n + 1}"}] * 2} for n in range(20)}
    budget = Budget()
    found = judge({"$ref": "#/$defs/p0", "$defs": {**parts, "p20": {"type": "null"}}}, "x", budget)
    assert found == Judged(None, "size")
    assert -1000 < budget.steps < 0


@pytest.mark.parametrize("size", [1000, 4000])
def test_unique_items_take_steps_by_their_number(size: int) -> None:
    budget = Budget()
    assert judge(of({"uniqueItems": True}), {"a": [{"n": n} for n in range(size)]}, budget).error is None
    assert MAX_STEPS + 500 - budget.steps < 3 * size


def test_the_calls_of_a_record_share_their_steps() -> None:
    schema = of({"items": {"type": "integer"}})
    call = ToolCall(name="f", arguments={"a": [1] * 30_000})
    record = Record(
        (Message("user", "Go."), Message("assistant", None, tool_calls=(call,) * 40)),
        ({"type": "function", "function": {"name": "f", "parameters": schema}},),
    )
    notes: list[str] = []
    assert check_tool_calls(record, notes.append) is None
    assert set(notes) == {"size"}
    assert 30 < len(notes) < 40


SCHEMAS = st.recursive(
    st.sampled_from(
        [
            *(True, False, {"type": "integer"}, {"type": ["string", "null"]}, {"enum": [1, "a", None]}, {"const": 2}),
            *({"minimum": 1}, {"maxLength": 1}, {"pattern": "^a"}, {"uniqueItems": True}, {"minItems": 1}),
        ]
    ),
    lambda inner: st.fixed_dictionaries(
        {},
        optional={
            "properties": st.dictionaries(st.sampled_from("ab"), inner, max_size=2),
            "patternProperties": st.dictionaries(st.sampled_from(["^a", "b"]), inner, max_size=2),
            "additionalProperties": inner,
            "items": inner,
            "not": inner,
            "contains": inner,
            "if": inner,
            "then": inner,
            "anyOf": st.lists(inner, min_size=1, max_size=2),
            "oneOf": st.lists(inner, min_size=1, max_size=2),
            "allOf": st.lists(inner, min_size=1, max_size=2),
            "required": st.lists(st.sampled_from("ab"), max_size=2, unique=True),
        },
    ),
    max_leaves=8,
)
VALUES = st.recursive(
    st.sampled_from([None, True, False, 0, 1, 1.0, 2, "", "a", "ab"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b", "ab"]), inner, max_size=3),
    max_leaves=6,
)


@given(SCHEMAS.filter(lambda schema: isinstance(schema, dict)), VALUES)
def test_within_the_bounds_the_answer_is_that_of_the_library(schema: Any, value: Any) -> None:
    found = judged(schema, value)
    assert found.unjudged is None
    assert (found.error is None) == Draft202012Validator(schema).is_valid(value)
