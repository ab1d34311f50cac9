"""A row that gives the same thing twice: equal values are fine, different ones are conflicting_fields."""

from __future__ import annotations

from datetime import date as Date
from typing import Any

import pytest

from sftdata.encode.template.jinja import make_environment
from sftdata.read.formats.convert import Converted, RowFormat, convert
from sftdata.read.formats.tool_calls import tool_call
from sftdata.records.record import Drop, Record

TURNS = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]
OTHER = [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Bye"}]
SAME = [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello "}]
F, G = {"name": "f", "arguments": '{"a": 1}'}, {"name": "g", "arguments": "{}"}


def read(row: dict[str, Any], **settings: Any) -> Converted:
    return convert(row, RowFormat(settings.pop("format", "auto"), **settings))


def answer(**fields: Any) -> dict[str, Any]:
    return {"messages": [TURNS[0], {"role": "assistant", "content": None, **fields}]}


@pytest.mark.parametrize(
    ("row", "detail"),
    [
        (
            {"messages": TURNS, "tools": [{"name": "f"}], "functions": [{"name": "g"}]},
            "its tools and its functions differ",
        ),
        (
            {"messages": TURNS, "conversations": OTHER},
            "its columns messages and conversations hold different conversations; name conversations in keep to train "
            "on messages alone",
        ),
        (
            {"messages": TURNS, "system": "a", "system_prompt": "b"},
            "its system and its system_prompt say different things; name system_prompt in keep to use system alone",
        ),
        (answer(tool_calls=[{"function": F}], function_call=G), "turn 2: its tool_calls and its function_call differ"),
        (
            {"messages": [{**TURNS[0], "value": "Hey"}, TURNS[1]]},
            "turn 1: its content and its value say different things",
        ),
        (
            {"messages": [{**TURNS[0], "from": "gpt"}, TURNS[1]]},
            "turn 1: its role is user, but its from says assistant",
        ),
        (
            {"messages": [TURNS[0], {**TURNS[1], "train": True, "weight": 0}]},
            "turn 2: its train and its weight say different things of whether it is trained",
        ),
        (
            {"messages": [TURNS[0], {**TURNS[1], "training": False, "loss": True}]},
            "turn 2: its training and its loss say different things of whether it is trained",
        ),
        (
            {"messages": TURNS, "tools": [{"name": "f"}], "chat_template_kwargs": {"tools": [{"name": "g"}]}},
            "its tools and the tools of its chat_template_kwargs differ",
        ),
        (
            {"messages": TURNS, "chat_template_kwargs": {"documents": [{"text": "One."}]}},
            "its chat_template_kwargs has documents, but what the template gets as that is decided by the turns of the "
            "row",
        ),
        (
            {"messages": TURNS, "chat_template_kwargs": {"x": 1, "bos_token": ""}},
            "its chat_template_kwargs has bos_token, which the tokenizer decides; a row cannot replace it",
        ),
        (
            {"messages": TURNS, "chat_template_kwargs": {"raise_exception": "x"}},
            "its chat_template_kwargs has raise_exception, which the language of templates decides; a row cannot "
            "replace it",
        ),
    ],
)
def test_what_is_given_twice_and_differs_is_refused(row, detail):
    assert read(row).found == Drop("conflicting_fields", detail)


@pytest.mark.parametrize(
    "row",
    [
        {"messages": TURNS, "tools": [{"name": "f"}], "functions": str([{"name": "f"}])},
        {"messages": TURNS, "conversations": SAME},
        {"messages": TURNS, "conversations": []},
        {"messages": TURNS, "system": "a", "system_prompt": "a"},
        answer(tool_calls=[{"id": "1", "function": F}], function_call={"name": "f", "arguments": {"a": 1}}),
        {"messages": [{**TURNS[0], "value": "Hi "}, TURNS[1]]},
        {"messages": [{**TURNS[0], "from": "Human:"}, TURNS[1]]},
    ],
)
def test_what_is_given_twice_and_is_the_same_is_used(row):
    found = read(row)
    assert isinstance(found.found, Record)
    assert found.unused == ()


@pytest.mark.parametrize(
    "row",
    [
        {"system": "", "system_prompt": "Be kind."},
        {"system": None, "system_prompt": "Be kind."},
        {"system": [{"type": "text", "text": "Be kind."}, {"type": "text", "text": ""}]},
    ],
)
def test_an_empty_system_prompt_hides_no_other_and_it_may_have_parts(row):
    found = read({"messages": TURNS, **row})
    assert isinstance(found.found, Record) and found.unused == ()
    assert [message.content for message in found.found.messages] == ["Be kind.", "Hi", "Hello"]


def test_what_the_messages_advise_works():
    row = {"messages": TURNS, "conversations": OTHER, "system": "a", "system_prompt": "b"}
    found = read(row, keep=("conversations", "system_prompt")).found
    assert isinstance(found, Record)
    assert [message.content for message in found.messages] == ["a", "Hi", "Hello"]


def test_a_format_that_is_set_says_which_conversation_is_meant():
    row = {"messages": TURNS, "conversations": OTHER}
    found = read(row, format="sharegpt")
    assert isinstance(found.found, Record) and found.found.messages[1].content == "Bye"
    assert found.unused == ("messages",)


def test_a_second_column_that_holds_no_conversation_is_unused():
    assert read({"messages": TURNS, "conversations": "see the file"}).unused == ("conversations",)


@pytest.mark.parametrize(
    ("row", "texts"),
    [
        ({"Messages": TURNS}, ["Hi", "Hello"]),
        ({"Conversations": SAME}, ["Hi", "Hello "]),
        ({"Instruction": "Add.", "Input": "1, 2", "Output": "3"}, ["Add.\n1, 2", "3"]),
        ({" PROMPT": "Hi", "Completion ": "Hello"}, ["Hi", "Hello"]),
        ({"messages": TURNS, "System Prompt": "Be kind."}, ["Be kind.", "Hi", "Hello"]),
        ({"messages": [{"Role": "User", "Content": "Hi"}, {"Role": "Bot", "Content": "Hello"}]}, ["Hi", "Hello"]),
    ],
)
def test_names_in_another_case_or_with_spaces_are_the_same_names(row, texts):
    found = read(row)
    assert isinstance(found.found, Record), found
    assert [message.content for message in found.found.messages] == texts
    assert found.unused == ()


def test_unused_columns_keep_the_names_that_the_file_gives_them():
    assert read({"Messages": TURNS, "Response": "x", "Note": "y"}).unused == ("Response", "Note")
    assert read({"Messages": TURNS, "Response": "x", "Note": "y"}, keep=("Response", "Messages")).unused == ("Note",)
    assert read({"Mine": 1}).found == Drop("unknown_shape", "the row's keys are Mine")


def test_two_spellings_of_a_name_in_one_row_are_not_guessed_at():
    assert read({"PROMPT": "a", "Prompt": "b", "completion": "c"}).found == Drop(
        "unknown_shape", "the row's keys are PROMPT, Prompt, completion"
    )
    found = read({"prompt": "a", "Prompt": "b", "completion": "c"})
    assert isinstance(found.found, Record) and found.unused == ("Prompt",)


def test_tools_among_the_arguments_of_the_template_are_the_rows():
    record = read(
        {"messages": TURNS, "chat_template_kwargs": {"tools": [{"name": "f"}], "x": 1, "documents": []}}
    ).found
    assert isinstance(record, Record)
    assert record.tools == ({"type": "function", "function": {"name": "f"}},)
    assert record.template_kwargs == {"x": 1}


@pytest.mark.parametrize(
    ("row", "answer"),
    [
        ({"prompt": "Hi", "completion": "", "response": "Hello"}, "Hello"),
        ({"instruction": "Hi", "output": " ", "response": "", "completion": "Hello"}, "Hello"),
        ({"messages": [TURNS[0], {"role": "", "from": "gpt", "content": "", "value": "Hello"}]}, "Hello"),
        ({"messages": [TURNS[0], {"role": "model", "content": "", "parts": [{"text": "Hello"}]}]}, "Hello"),
    ],
)
def test_an_empty_field_hides_no_other_of_the_same_meaning(row, answer):
    found = read(row)
    assert isinstance(found.found, Record)
    assert (found.found.messages[-1].content, found.unused) == (answer, ())


@pytest.mark.parametrize("name", [*make_environment(Date(2026, 1, 1)).globals, "self", "eos_token", "image_token"])
def test_a_row_replaces_nothing_that_the_language_or_the_tokenizer_gives_a_template(name):
    drop = read({"messages": TURNS, "chat_template_kwargs": {name: "x"}}).found
    assert isinstance(drop, Drop) and drop.reason == "conflicting_fields"
    assert drop.detail.startswith(f"its chat_template_kwargs has {name}, which ")


@pytest.mark.parametrize(
    "arguments", [{"n": []}, {"n": {}}, {"n": [{}]}, {"n": ""}, {"n": False}, {"n": 0}, {"n": [None]}]
)
def test_arguments_that_hold_little_are_kept(arguments: dict[str, Any]) -> None:
    assert tool_call({"function": {"name": "f", "arguments": arguments}}).arguments == arguments


@pytest.mark.parametrize("nothing", [None, {}, [], "", " \n"])
def test_arguments_that_are_nothing_are_none(nothing: Any) -> None:
    assert tool_call({"function": {"name": "f", "arguments": nothing}}).arguments == {}
