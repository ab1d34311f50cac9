"""Tool calls and results that are parts of a content become calls and results of their own."""

from __future__ import annotations

from typing import Any

import pytest

from sftdata.read.formats.convert import Converted, RowFormat, convert
from sftdata.read.formats.structure import check_structure
from sftdata.records.record import Drop, Message, Record, ToolCall

CALL = {"type": "tool_use", "id": "c1", "name": "f", "input": {"a": " x\n"}}
RESULT = {"type": "tool_result", "tool_use_id": "c1", "content": "3"}


def converted(*turns: tuple[str, Any]) -> Converted:
    return convert({"messages": [{"role": role, "content": content} for role, content in turns]}, RowFormat())


def messages(*turns: tuple[str, Any]) -> tuple[Message, ...]:
    found = converted(*turns)
    assert isinstance(found.found, Record), found
    assert check_structure(found.found) is None
    assert found.unused == ()
    return found.found.messages


def text(value: str) -> dict[str, str]:
    return {"type": "text", "text": value}


@pytest.mark.parametrize(
    ("call", "result", "id", "name"),
    [
        (CALL, RESULT, "c1", None),
        (CALL, {**RESULT, "content": [text("3")]}, "c1", None),
        (
            {**CALL, "text": None},
            {**RESULT, "text": None, "name": None, "input": None},
            "c1",
            None,
        ),  # as Arrow has them
        (
            {"type": "tool-call", "toolCallId": "c1", "toolName": "f", "args": {"a": " x\n"}},
            {"type": "tool-result", "toolCallId": "c1", "toolName": "f", "result": 3},
            "c1",
            "f",
        ),
        (
            {"functionCall": {"name": "f", "args": {"a": " x\n"}}},
            {"functionResponse": {"name": "f", "response": 3}},
            None,
            "f",
        ),
    ],
)
def test_calls_and_results_in_parts_are_calls_and_results(call: Any, result: Any, id: str | None, name: str | None):
    found = messages(
        ("user", "Hi"), ("assistant", [text("I look."), call]), ("user", [result]), ("assistant", [text("Three.")])
    )
    assert found == (
        Message("user", "Hi"),
        Message("assistant", "I look.", tool_calls=(ToolCall(name="f", arguments={"a": " x\n"}, id=id),)),
        Message("tool", "3", tool_call_id=id, name=name),
        Message("assistant", "Three."),
    )


def test_thinking_is_reasoning_and_calls_may_be_alone():
    found = messages(
        ("user", "Hi"), ("assistant", [{"type": "thinking", "thinking": "Hm."}, CALL, {**CALL, "id": "c2"}])
    )
    calls = tuple(ToolCall(name="f", arguments={"a": " x\n"}, id=id) for id in ("c1", "c2"))
    assert found[1].tool_calls == calls
    assert found[1].reasoning == "Hm."


def test_a_question_behind_results_is_a_turn_of_its_own():
    other = {**RESULT, "tool_use_id": "c2", "content": {"temperature": 3}}
    found = messages(
        ("user", "Hi"),
        ("assistant", [CALL, {**CALL, "id": "c2"}]),
        ("user", [RESULT, other, text("And now?")]),
        ("assistant", "Three."),
    )
    assert found[2:] == (
        Message("tool", "3", tool_call_id="c1"),
        Message("tool", '{"temperature": 3}', tool_call_id="c2"),
        Message("user", "And now?"),
        Message("assistant", "Three."),
    )


def test_what_a_part_has_besides_is_noted():
    found = converted(
        ("user", "Hi"),
        ("assistant", [{**CALL, "cache_control": {"type": "ephemeral"}}]),
        ("user", [{**RESULT, "is_error": True}]),
        ("assistant", "Three."),
    )
    assert found.unused == ("messages[].tool_calls[].cache_control", "messages[].is_error")


@pytest.mark.parametrize(
    ("turns", "reason"),
    [
        ([("assistant", [CALL, text("That was it.")])], "untrainable_content"),
        ([("assistant", [CALL]), ("user", [text("So:"), RESULT])], "roles_out_of_order"),
        ([("assistant", [CALL, RESULT])], "roles_out_of_order"),
        ([("assistant", [{**CALL, "name": None}])], "bad_tool_call"),
        (
            [("assistant", [CALL]), ("user", [{**RESULT, "content": [{"type": "image", "source": {"data": "iVBO"}}]}])],
            "untrainable_content",
        ),
        ([("assistant", [{"type": "server_tool_use", "name": "f", "input": {}}])], "untrainable_content"),
    ],
)
def test_parts_that_turns_cannot_have_are_refused_by_name(turns: Any, reason: str):
    found = converted(("user", "Hi"), *turns).found
    assert isinstance(found, Drop)
    assert found.reason == reason


def test_no_calls_in_two_places():
    turn = {"role": "assistant", "content": [CALL], "tool_calls": [{"name": "f", "arguments": {}}]}
    found = convert({"messages": [{"role": "user", "content": "Hi"}, turn]}, RowFormat()).found
    assert isinstance(found, Drop)
    assert found.reason == "conflicting_fields"


def test_calls_and_results_of_bedrock_are_read():
    use = {"toolUse": {"toolUseId": "t1", "name": "f", "input": {"a": 1}}}
    result = {"toolResult": {"toolUseId": "t1", "content": [{"json": {"b": 2}}]}}
    turns = [
        {"role": "user", "content": [{"text": "Hi"}]},
        {"role": "assistant", "content": [{"text": "I look."}, use]},
        {"role": "user", "content": [result]},
        {"role": "assistant", "content": [{"text": "Two."}]},
    ]
    record = convert({"messages": turns}, RowFormat()).found
    assert isinstance(record, Record), record
    assert record.messages[1:3] == (
        Message("assistant", "I look.", tool_calls=(ToolCall(name="f", arguments={"a": 1}, id="t1"),)),
        Message("tool", '{"b": 2}', tool_call_id="t1"),
    )
