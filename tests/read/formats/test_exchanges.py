"""Conversations that are lists of questions with answers, of pairs, or of JSON texts."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sftdata.read.formats.convert import RowFormat, convert
from sftdata.records.record import Drop, Message, Record, ToolCall

WAY = 'write each turn as {"role": "user", "content": "..."}'


def read(value: object, column: str = "messages", **settings) -> list[tuple[str, str | None]] | Drop:
    found = convert({column: value}, RowFormat("auto", **settings)).found
    if isinstance(found, Record):
        return [(message.role, message.content) for message in found.messages]
    assert isinstance(found, Drop)
    return found


TWO = [("user", "One?"), ("assistant", "1"), ("user", "Two?"), ("assistant", "2")]


@pytest.mark.parametrize(
    ("ask", "answer"),
    [
        ("user", "assistant"),
        ("human", "bot"),
        ("Human", "AI"),
        ("question", "answer"),
        ("instruction", "output"),
        ("prompt", "response"),
        ("prompt", "completion"),
        ("input", "output"),
        ("query", "response"),
    ],
)
@pytest.mark.parametrize("column", ["messages", "conversations", "conversation"])
def test_an_object_for_each_exchange_is_two_turns(ask, answer, column):
    value = [{ask: "One?", answer: "1"}, {answer: "2", ask: "Two?"}]
    assert read(value, column) == TWO
    assert read(json.dumps(value), column) == TWO
    assert read(str(value), column) == TWO
    assert read({ask: ["One?", "Two?"], answer: ["1", "2"]}, column) == TWO  # a sequence of structs in datasets


@pytest.mark.parametrize(
    "value",
    [
        [["One?", "1"], ["Two?", "2"]],
        [["user", "One?"], ["assistant", "1"], ["user", "Two?"], ["assistant", "2"]],
        [{"user": "One?"}, {"assistant": "1"}, {"user": "Two?"}, {"assistant": "2"}],
        [{"user": "One?", "assistant": None}, {"user": None, "assistant": "1"}, {"user": "Two?", "assistant": "2"}],
        [
            '{"role": "user", "content": "One?"}',
            '{"from": "gpt", "value": "1"}',
            '{"role": "user", "content": "Two?"}',
            "{'role': 'assistant', 'content': '2'}",
        ],
        ['{"user": "One?", "assistant": "1"}', "{'user': 'Two?', 'assistant': '2'}"],
        {"0": {"role": "user", "content": "One?"}, "1": {"role": "assistant", "content": "1"},
         "2": {"role": "user", "content": "Two?"}, "3": {"role": "assistant", "content": "2"}},
    ],
)  # fmt: skip
def test_pairs_keys_and_json_texts_are_turns(value):
    assert read(value) == TWO


def test_a_system_prompt_an_input_and_reasoning_belong_to_their_exchange():
    value = [
        {"system": "Be brief.", "instruction": "Add.", "input": "1 and 2", "output": "3", "reasoning": "1+2", "id": 7}
    ]
    found = convert({"conversations": value}, RowFormat("auto"))
    assert isinstance(found.found, Record)
    assert found.found.messages == (
        Message(role="system", content="Be brief."),
        Message(role="user", content="Add.\n1 and 2"),
        Message(role="assistant", content="3", reasoning="1+2"),
    )
    assert found.unused == ("conversations[].id",)


def test_calls_of_an_exchange_without_a_text_are_not_lost():
    value = [{"user": "One?", "assistant": None, "tool_calls": [{"name": "f", "arguments": {}}]}]
    found = convert({"messages": value}, RowFormat("auto")).found
    assert isinstance(found, Record)
    assert found.messages[1] == Message("assistant", None, tool_calls=(ToolCall(name="f", arguments={}),))


def test_one_pair_and_a_greeting_are_read():
    assert read([["Hi", "Hello!"]]) == [("user", "Hi"), ("assistant", "Hello!")]
    assert read([[None, "Welcome!"], ["What is 1?", "1"]]) == [
        ("assistant", "Welcome!"),
        ("user", "What is 1?"),
        ("assistant", "1"),
    ]


def test_names_that_a_source_gives_are_keys_of_exchanges_too():
    roles = {"customer": "user", "agent": "assistant"}
    assert read([{"customer": "Hi", "agent": "Hello"}], roles=roles) == [("user", "Hi"), ("assistant", "Hello")]
    assert read([["customer", "Hi"], ["agent", "Hello"]], roles=roles) == [("user", "Hi"), ("assistant", "Hello")]


@pytest.mark.parametrize(
    ("value", "reason", "detail"),
    [
        (["Hi", "Hello"], "wrong_type", f"turn 1: it is text ('Hi'), not an object; {WAY}"),
        ([["customer", "Hi"], ["agent", "Hello"]], "wrong_type", f"turn 1: it is a list, not an object; {WAY}"),
        ([["Dr. Ann Lee", "How?"], ["Bo", "Fine."]], "wrong_type", f"turn 1: it is a list, not an object; {WAY}"),
        ([["a", "b", "c"]], "wrong_type", f"turn 1: it is a list, not an object; {WAY}"),
        (
            [{"customer": "Hi", "agent": "Hello"}],
            "missing_field",
            f"turn 1: its role is absent; its keys are 'customer', 'agent'; {WAY}",
        ),
        (
            [{"user": "bob", "text": "Hi"}],
            "missing_field",
            f"turn 1: its role is absent; its keys are 'user', 'text'; {WAY}",
        ),
        (
            [{"question": "1?", "prompt": "2?", "answer": "3"}],
            "missing_field",
            f"turn 1: its role is absent; its keys are 'question', 'prompt', 'answer'; {WAY}",
        ),
        (
            [{"question": "1?", "answer": "3", "response": "4"}],
            "missing_field",
            f"turn 1: its role is absent; its keys are 'question', 'answer', 'response'; {WAY}",
        ),
    ],
)
def test_what_is_not_certain_is_refused(value, reason, detail):
    assert read(value) == Drop(reason, detail)


def test_a_broken_turn_among_turns_stays_broken():
    found = read([{"role": "user", "content": "Hi"}, {"user": "Hi", "assistant": "Hello"}])
    assert isinstance(found, Drop) and found.reason == "missing_field"


def first(row: dict, **settings) -> list[tuple[str, str | None]] | Drop:
    found = convert(row, RowFormat("auto", **settings)).found
    if isinstance(found, Record):
        return [(message.role, message.content) for message in found.messages]
    return found


def test_a_history_of_exchanges_is_read_with_the_roles_of_the_source():
    row = {"instruction": "Two?", "output": "2"}
    assert first({**row, "history": [{"question": "One?", "answer": "1"}]}) == TWO
    own = [{"role": "customer", "content": "One?"}, {"role": "bot", "content": "1"}]
    assert first({**row, "history": own}, roles={"customer": "user"}) == TWO
    assert first({**row, "history": own}) == Drop("unknown_role", "turn 1: its role is 'customer'")


def test_turns_in_a_prompt_have_the_roles_of_the_source_as_a_list_and_as_text():
    prompt = [{"role": "customer", "content": "One?"}]
    for form in (prompt, json.dumps(prompt), str(prompt)):
        row = {"prompt": form, "completion": "1"}
        assert first(row, roles={"customer": "user"}) == TWO[:2]
        assert first(row) == Drop("unknown_role", "turn 1: its role is 'customer'")


def test_json_in_a_prompt_that_is_no_list_of_turns_stays_text():
    for text in ('[{"from": "Rome", "value": 3}]', '[{"role": "admin"}]', '[["One?", "1"]]', '{"role": "user"}'):
        assert first({"prompt": text, "completion": "1"}) == [("user", text), ("assistant", "1")]


TEXT = st.text(min_size=1).filter(lambda text: not text.isspace())
JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["role", "from", "content", "value", "user", "assistant", "q", "a", "0"]), inner
        )
    ),
    max_leaves=8,
)


@given(st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=4))
def test_every_form_of_a_conversation_is_the_same_conversation(pairs):
    said = [part for ask, answer in pairs for part in (("user", ask), ("assistant", answer))]
    turns = [{"role": role, "content": text} for role, text in said]
    for form in (
        [{"user": ask, "assistant": answer} for ask, answer in pairs],
        [{"answer": answer, "question": ask} for ask, answer in pairs],
        [{role: text} for role, text in said],
        [[role, text] for role, text in said],
        [json.dumps(turn) for turn in turns],
        [{"Role": role.upper(), "Content": text} for role, text in said],
        {str(number): turn for number, turn in enumerate(turns)},
    ):
        assert read(form) == said
        assert read(json.dumps(form)) == said


@given(JSON)
def test_whatever_a_column_of_turns_holds_is_read_or_refused(value):
    for column in ("messages", "conversations", "history", "prompt"):
        found = convert({column: value, "instruction": "x", "output": "y", "completion": "z"}, RowFormat("auto")).found
        assert isinstance(found, (Record, Drop))
