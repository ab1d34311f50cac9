from __future__ import annotations

import pytest

from sftdata.read import check_structure
from sftdata.records.record import Drop, Message, Record, ToolCall

CALL = ToolCall(name="f", arguments="{}")


def chat(*turns: str | Message) -> Record:
    """Turns as "u", "a", "s", "d", "c" (a tool call), "t" (a tool result), with their text after a colon."""
    roles = {"u": "user", "a": "assistant", "s": "system", "d": "developer", "t": "tool"}
    messages = []
    for turn in turns:
        if isinstance(turn, Message):
            messages.append(turn)
        elif turn == "c":
            messages.append(Message(role="assistant", content=None, tool_calls=(CALL,)))
        else:
            letter, colon, text = turn.partition(":")
            messages.append(Message(role=roles[letter], content=text if colon else "Hi"))
    return Record(messages=tuple(messages))


@pytest.mark.parametrize(
    "turns",
    [
        "u a",
        "s u a",
        "d u a",
        "u a u a u",
        "a u a",
        "s a u a",
        "u c t a",
        "u c t a u c t a",
        "u c t c t a",
        "u c",
        "u c u a",
        "u c t u a",
        "s: u a",
        "u c t: a",
        "u s a",
        "s d u a",
        "s s u a",
        "u a s u a",
        "u c s t a",
    ],
)
def test_valid_orders_of_turns_pass(turns):
    assert check_structure(chat(*turns.split())) is None


@pytest.mark.parametrize(
    ("turns", "reason", "turn"),
    [
        ("u u a", "roles_out_of_order", "turn 2"),
        ("u a a", "roles_out_of_order", "turn 3"),
        ("u a c t a", "roles_out_of_order", "turn 3"),
        ("u c c", "roles_out_of_order", "turn 3"),
        ("a", "no_user_turn", ""),
        ("s a", "no_user_turn", ""),
        ("s", "no_user_turn", ""),
        ("", "no_user_turn", ""),
        ("u", "no_answer", ""),
        ("s u", "no_answer", ""),
        ("a u", "no_answer", ""),
        ("u: a", "empty_prompt", "turn 1"),
        ("u a u:\n\t a", "empty_prompt", "turn 3"),
        ("u a:", "empty_answer", "turn 2"),
        ("u a u a:\u3000", "empty_answer", "turn 4"),
        ("u t a", "tool_result_without_call", "turn 2"),
        ("u a t a", "tool_result_without_call", "turn 3"),
        ("t u a", "tool_result_without_call", "turn 1"),
        ("u c t t a", "tool_result_without_call", "turn 4"),
        ("u c u t", "tool_result_without_call", "turn 4"),
        ("u:a\0b a", "bad_characters", "turn 1"),
        ("u a:\ud83d", "bad_characters", "turn 2"),
    ],
)
def test_invalid_orders_of_turns_have_a_reason(turns, reason, turn):
    drop = check_structure(chat(*[part for part in turns.split(" ") if part]))
    assert drop is not None
    assert drop.reason == reason
    assert str(drop.detail).startswith(turn)


@pytest.mark.parametrize("turns", ["u u a", "u a a", "u c c t a"])
def test_turns_of_the_same_role_pass_where_they_are_allowed(turns):
    assert check_structure(chat(*turns.split()), allow_same_role=True) is None


def test_results_answer_calls_by_their_ids_in_any_order():
    calls = Message(
        role="assistant",
        content=None,
        tool_calls=tuple(ToolCall(name="f", arguments={}, id=name) for name in ("c1", "c2")),
    )
    results = {name: Message(role="tool", content="3", tool_call_id=name) for name in ("c1", "c2", "c3")}
    assert check_structure(chat("u", calls, results["c2"], results["c1"], "a")) is None
    assert check_structure(chat("u", calls, "t", "t", "a")) is None
    for wrong in ("c3", "c1"):
        drop = check_structure(chat("u", calls, results["c1"], results[wrong], "a"))
        assert drop == Drop("tool_result_without_call", "turn 4: the tool's turn answers no call before it")


def test_a_result_with_an_id_answers_a_call_without_one():
    assert check_structure(chat("u", "c", Message(role="tool", content="3", tool_call_id="c9"), "a")) is None


def test_calls_in_the_text_count_as_calls():
    call = Message(role="assistant", content='<tool_call>\n{"name": "f", "arguments": {}}\n</tool_call>')
    assert check_structure(chat("u", call, "t", "t", "a")) is None


def test_an_answer_that_is_not_trained_may_be_empty():
    silent = Message(role="assistant", content="", train=False)
    assert check_structure(chat("u", silent, "u", "a")) is None
    drop = check_structure(chat("u", Message(role="assistant", content="", train=True)))
    assert drop == Drop("empty_answer", "turn 2: the assistant's turn is empty")


def test_reasoning_alone_is_not_an_answer():
    drop = check_structure(chat("u", Message(role="assistant", content="", reasoning="Hm.")))
    assert drop == Drop("empty_answer", "turn 2: the assistant's turn holds reasoning but no answer")


@pytest.mark.parametrize("field", ["reasoning", "name"])
def test_bad_characters_are_found_in_every_text_of_a_turn(field):
    drop = check_structure(chat("u", Message(role="assistant", content="Hi", **{field: "x\ud800"})))
    assert drop == Drop("bad_characters", "turn 2: the assistant's turn holds a lone surrogate at 2")


@pytest.mark.parametrize(
    ("value", "reason"), [("\ud800", "bad_characters"), (2**64, "wrong_type"), (2**63, None), ("\u00e9", None)]
)
def test_tools_and_arguments_must_be_serializable(value, reason):
    tools = Record(messages=chat("u", "a").messages, tools=({"name": "f", "x": value},))
    call = Message(role="assistant", content=None, tool_calls=(ToolCall(name="f", arguments={"x": value}),))
    kwargs = Record(messages=chat("u", "a").messages, template_kwargs={"x": value})
    for record in (tools, chat("u", call), kwargs):
        drop = check_structure(record)
        assert (drop.reason if drop else None) == reason


def test_schemas_nested_too_deeply_to_serialize_are_rejected():
    deep: dict[str, object] = {}
    for _ in range(400):
        deep = {"properties": deep}
    drop = check_structure(Record(messages=chat("u", "a").messages, tools=(deep,)))
    assert drop is not None
    assert drop.reason == "wrong_type"


@pytest.mark.parametrize(
    ("text", "reason"), [("Once.", None), ("", "empty_answer"), (" \n", "empty_answer"), ("a\0", "bad_characters")]
)
def test_plain_text_is_checked_too(text, reason):
    drop = check_structure(Record(text=text))
    assert (drop.reason if drop else None) == reason


@pytest.mark.parametrize("text", ['{"x": NaN}', '{"x": 1e999}', '{"x": "\\ud800"}', '\ufeff{"x": 1}', '{"x": 1, }'])
def test_arguments_as_text_must_be_json_to_every_program(text):
    call = Message("assistant", None, tool_calls=(ToolCall(name="f", arguments=text),))
    drop = check_structure(chat("u", call))
    assert drop is not None and drop.reason == "bad_tool_call"
    assert str(drop.detail).startswith("turn 2: the arguments of 'f' are not JSON (")


@pytest.mark.parametrize("text", ["{}", '{"x": 1180591620717411303424}', '{"x": null, "y": "\\ud83d\\ude00"}'])
def test_arguments_as_text_that_are_json_pass(text):
    call = Message("assistant", None, tool_calls=(ToolCall(name="f", arguments=text),))
    assert check_structure(chat("u", call)) is None
