from __future__ import annotations

from typing import Any

import pytest

from sftdata.read import to_record
from sftdata.read.formats.convert import RowFormat, convert
from sftdata.records.record import Drop, Message, Record, ToolCall


def turn(**fields: Any) -> Message:
    record = to_record({"messages": [fields]}, format="auto", columns={}, system=None)
    assert isinstance(record, Record), record
    return record.messages[0]


def drop(**fields: Any) -> Drop:
    found = to_record({"messages": [fields]}, format="auto", columns={}, system=None)
    assert isinstance(found, Drop), found
    return found


@pytest.mark.parametrize(
    ("alias", "role"),
    [
        *((name, "user") for name in ("user", "human", "User", "HUMAN ", "prompter", "instruction", "Question")),
        *((name, "assistant") for name in ("assistant", "gpt", "chatgpt", "bing", "bard", "model", "Assistant")),
        *((name, "assistant") for name in ("AI", "bot", "ChatBot", "output", "GPT-4", "ai assistant")),
        *((name, "tool") for name in ("tool", "function", "observation", "tool_response", "function_response")),
        *((name, "tool") for name in ("ipython", "environment", "Tool-Response", "function result")),
        ("system", "system"),
        ("developer", "developer"),
    ],
)
def test_roles_have_many_names(alias, role):
    assert turn(role=alias, content="Hi").role == role
    assert turn(**{"from": alias, "value": "Hi"}).role == role


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (["first", "second"], "first\nsecond"),
        (["only"], "only"),
        (["first\n", "", "third"], "first\n\n\nthird"),
    ],
)
def test_plain_strings_in_a_list_are_lines(content, expected):
    assert turn(role="assistant", content=content).content == expected


def test_text_parts_are_joined_with_a_line_break_as_vllm_joins_them():
    assert turn(role="user", content=[{"type": "text", "text": "a "}, {"type": "text", "text": "b"}]).content == "a \nb"
    assert turn(role="user", content=["a", {"text": "b", "image_url": None}]).content == "a\nb"
    empty = {"type": "text", "text": ""}
    assert turn(role="user", content=[empty, {"type": "text", "text": "a"}, empty]).content == "a"
    assert turn(role="user", content=[]).content == ""


@pytest.mark.parametrize("kind", ["image_url", "image", "input_audio", "video", "file", 7])
def test_a_part_that_is_not_text_cannot_be_trained_on(kind):
    found = drop(role="user", content=[{"type": "text", "text": "See"}, {"type": kind}])
    assert found.reason == "untrainable_content"
    assert str(kind) in str(found.detail)
    assert str(found.detail).startswith("turn 1: ")


def test_a_turn_with_images_cannot_be_trained_on():
    assert drop(role="user", content="See", images=["a.png"]).reason == "untrainable_content"
    assert turn(role="user", content="See", images=[], audio=None).content == "See"


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning", "thinking", "thought", "chain_of_thought", "CoT"])
def test_reasoning_has_many_names_and_is_part_of_answers(name):
    assert turn(role="assistant", content="4", **{name: "2+2"}).reasoning == "2+2"
    assert turn(role="assistant", content="4", **{name: ""}).reasoning is None
    assert turn(role="user", content="4", **{name: "2+2"}).reasoning is None
    assert drop(role="assistant", content="4", **{name: {"a": 1}}).reason == "wrong_type"


@pytest.mark.parametrize(
    ("fields", "train"),
    [
        ({}, None),
        ({"weight": 0}, False),
        ({"weight": 1}, True),
        ({"weight": 1.0}, True),
        ({"weight": None, "train": None}, None),
        ({"train": True}, True),
        ({"train": False, "weight": 0}, False),
        ({"training": False}, False),
        ({"training": True, "loss": True, "loss_weight": 1}, True),
        ({"loss": 0.25, "mask": True}, None),
    ],
)
def test_a_turn_can_say_whether_it_is_trained(fields, train):
    assert turn(role="assistant", content="Hello", **fields).train is train


@pytest.mark.parametrize("fields", [{"weight": 0.5}, {"weight": "1"}, {"train": 1}, {"loss_weight": 2}])
def test_other_weights_are_rejected(fields):
    assert drop(role="assistant", content="Hello", **fields).reason == "wrong_type"


def test_an_answer_that_is_not_trained_may_be_null():
    assert turn(role="assistant", content=None, weight=0) == Message(role="assistant", content="", train=False)


ARGUMENTS = '{"b":  1, "a": [2]}'


@pytest.mark.parametrize(
    "call",
    [
        {"id": "c1", "type": "function", "function": {"name": "f", "arguments": ARGUMENTS}},
        {"id": "c1", "name": "f", "arguments": ARGUMENTS},
        '{"id": "c1", "name": "f", "arguments": "{\\"b\\":  1, \\"a\\": [2]}"}',
    ],
)
def test_tool_calls_keep_their_arguments_unchanged(call):
    expected = (ToolCall(name="f", arguments=ARGUMENTS, id="c1"),)
    assert turn(role="assistant", content=None, tool_calls=[call]).tool_calls == expected


def test_arguments_given_as_an_object_keep_their_order_but_no_nulls():
    arguments = {"z": 0, "n": None, "a": {"y": [None], "m": None, "b": 2}}
    call = turn(role="assistant", tool_calls=[{"function": {"name": "f", "arguments": arguments}}]).tool_calls[0]
    assert repr(call.arguments) == repr({"z": 0, "a": {"y": [None], "b": 2}})


def test_arguments_given_as_text_keep_their_nulls():
    call = turn(role="assistant", tool_calls=[{"name": "f", "arguments": '{"a": null}'}]).tool_calls[0]
    assert call.arguments == '{"a": null}'


def test_several_calls_in_one_turn_are_kept_in_order():
    calls = [{"name": name, "arguments": "{}"} for name in "fgf"]
    assert [call.name for call in turn(role="assistant", content="", tool_calls=calls).tool_calls] == ["f", "g", "f"]
    text = '[{"name": "f", "arguments": {}}, {"name": "g", "arguments": {}}]'
    assert [call.name for call in turn(**{"from": "function_call", "value": text}).tool_calls] == ["f", "g"]


def test_the_older_form_of_a_call_and_its_result_is_understood():
    call = turn(role="assistant", content=None, function_call={"name": "f", "arguments": "{}"})
    assert call == Message(role="assistant", content=None, tool_calls=(ToolCall(name="f", arguments="{}"),))
    assert turn(role="function", name="f", content="3") == Message(role="tool", content="3", name="f")


def test_a_result_says_which_call_it_answers():
    assert turn(role="tool", content="3", tool_call_id="c1").tool_call_id == "c1"
    assert turn(role="tool", content="3", tool_call_id=1).tool_call_id == "1"
    assert turn(role="tool", content="3", tool_call_id=1.0).tool_call_id == "1"
    assert drop(role="tool", content="3", tool_call_id=[1]).reason == "wrong_type"


@pytest.mark.parametrize(
    ("result", "text"),
    [
        ({"a": 1, "b": None}, '{"a": 1}'),
        ({"city": "Köln", "days": [{"day": 1}]}, '{"city": "Köln", "days": [{"day": 1}]}'),
        ([{"name": "Ada"}, {"name": "Bo"}], '[{"name": "Ada"}, {"name": "Bo"}]'),
        ([1, 2.5, True], "[1, 2.5, true]"),
        ({"a": {"b": None}, "c": [None, 1], "d": float("nan")}, '{"a": {}, "c": [null, 1]}'),
        ([{"type": "user", "id": 3}], '[{"type": "user", "id": 3}]'),
        ({"text": "x", "score": 2}, '{"text": "x", "score": 2}'),
        ({}, "{}"),
        ([], "[]"),
        ([{"type": "text", "text": "It rains."}], "It rains."),
        ({"type": "text", "text": "It rains."}, "It rains."),
        (["one", "two"], "one\ntwo"),
    ],
)
def test_a_result_that_is_an_object_or_a_list_is_its_json_text(result, text):
    assert turn(role="tool", content=result).content == text
    assert turn(**{"from": "function_response", "value": result}).content == text


def test_a_result_with_a_picture_in_it_cannot_be_trained_on():
    assert drop(role="tool", content={"shot": b"\x89PNG\r\n"}).reason == "untrainable_content"
    assert drop(role="tool", content=[{"type": "image_url", "image_url": "x"}]).reason == "untrainable_content"


@pytest.mark.parametrize(
    "call",
    [
        {"function": {"name": "f", "arguments": "{'a': x}"}},
        {"function": {"name": "f", "arguments": "[1]"}},
        {"function": {"name": "f", "arguments": '{"a": 1, "a": 2}'}},
        {"function": {"name": "f", "arguments": [1]}},
        {"function": {"name": "", "arguments": "{}"}},
        {"function": {"arguments": "{}"}},
        {"id": [7], "name": "f", "arguments": "{}"},
        "f(1)",
        7,
    ],
)
def test_an_invalid_call_is_rejected(call):
    assert drop(role="assistant", content=None, tool_calls=[call]).reason == "bad_tool_call"


@pytest.mark.parametrize("value", ["f(1)", "[]", '{"name": "f", "arguments": {}', "3", ""])
def test_a_function_call_turn_must_contain_a_call(value):
    assert drop(**{"from": "function_call", "value": value}).reason == "bad_tool_call"


def test_calls_and_their_arguments_may_be_written_as_python_does():
    expected = (ToolCall(name="f", arguments={"a": 1, "b": True}),)
    as_python = "{'a': 1, 'b': True, 'c': None}"
    assert turn(role="assistant", tool_calls=[{"name": "f", "arguments": as_python}]).tool_calls == expected
    assert turn(role="assistant", tool_calls=str([{"name": "f", "arguments": expected[0].arguments}])) == Message(
        role="assistant", content="", tool_calls=expected
    )._replace(content=None)


def test_ids_of_calls_that_are_whole_numbers_are_text():
    call = {"name": "f", "arguments": "{}"}
    assert [turn(role="assistant", tool_calls=[{**call, "id": one}]).tool_calls[0].id for one in (7, 7.0, "7")] == [
        "7"
    ] * 3


def test_empty_fields_change_nothing():
    plain = Message(role="assistant", content="Hello")
    assert turn(role="assistant", content="Hello", tool_calls=[], function_call=None, name=None, refusal=None) == plain
    assert turn(role="assistant", content="Hello", tool_calls=None, name="", reasoning_content=None, id=5) == plain


@pytest.mark.parametrize(
    "content", [{"text": "Hi"}, {"parts": ["Hi"], "content_type": "text"}, {"parts": [{"text": "Hi"}]}]
)
def test_a_content_that_is_an_object_has_the_text_of_its_parts(content):
    assert turn(role="user", content=content).content == "Hi"


@pytest.mark.parametrize(
    "call",
    [
        {"function": {"name": "f"}},
        {"function": {"name": "f", "arguments": ""}},
        {"name": "f", "arguments": None},
        {"function": "f", "arguments": {}},
        '{"name": "f"}',
    ],
)
def test_a_call_without_arguments_has_none(call):
    assert turn(role="assistant", tool_calls=[call]).tool_calls == (ToolCall(name="f", arguments={}),)


@pytest.mark.parametrize(
    "call",
    [
        {"name": "f", "parameters": {"a": 1}},
        {"type": "function", "function": {"name": "f", "args": {"a": 1}, "arguments": ""}},
        {"function": {"name": "f"}, "input": {"a": 1}},
        {"function": "f", "arguments": {"a": 1}},
    ],
)
def test_arguments_are_read_under_all_their_names(call):
    record = convert({"messages": [{"role": "assistant", "tool_calls": [call]}]}, RowFormat())
    assert isinstance(record.found, Record), record.found
    assert record.found.messages[0].tool_calls == (ToolCall(name="f", arguments={"a": 1}),)
    assert record.unused == ()


@pytest.mark.parametrize(
    "call",
    [
        {"name": "f", "arguments": {"a": 1}, "parameters": {"a": 2}},
        {"function": {"name": "f", "arguments": {"a": 1}}, "arguments": {"a": 2}},
        {"name": "g", "function": {"name": "f", "arguments": {"a": 1}}},
    ],
)
def test_a_call_that_contradicts_itself_is_refused(call):
    assert drop(role="assistant", tool_calls=[call]).reason == "conflicting_fields"


def test_a_whole_number_of_more_than_64_bits_keeps_its_digits():
    arguments = {"a": [2**64 - 1, 100000000000000000001], "b": "ü"}
    call = turn(role="assistant", tool_calls=[{"name": "f", "arguments": arguments}]).tool_calls[0]
    assert call.arguments == '{"a": [18446744073709551615, 100000000000000000001], "b": "ü"}'
    call = turn(role="assistant", tool_calls=[{"name": "f", "arguments": {"a": 2**64 - 1}}]).tool_calls[0]
    assert call.arguments == {"a": 18446744073709551615}


@pytest.mark.parametrize(
    ("ids", "expected"),
    [
        (["b", "a"], ["a", "b"]),
        (["a", "b"], ["a", "b"]),
        (["b"], ["b"]),
        (["b", None], ["b", None]),
        (["b", "c"], ["b", "c"]),
        (["b", "b"], ["b", "b"]),
    ],
)
def test_results_are_in_the_order_of_their_calls_as_far_as_ids_say_it(ids, expected):
    calls = [{"id": name, "name": "f", "arguments": {}} for name in ("a", "b")]
    results = [{"role": "tool", "content": "x", "tool_call_id": name} for name in ids]
    last = {"role": "assistant", "content": "Done."}
    record = convert({"messages": [{"role": "assistant", "tool_calls": calls}, *results, last]}, RowFormat()).found
    assert isinstance(record, Record)
    assert [message.tool_call_id for message in record.messages[1:-1]] == expected
    assert record.messages[-1].content == "Done."
