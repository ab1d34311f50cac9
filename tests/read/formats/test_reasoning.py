"""Reasoning under all its names and in all its forms: read where the meaning is plain, refused by name where not."""

from __future__ import annotations

from typing import Any

import pytest

from sftdata.config import SourceConfig
from sftdata.read.formats.convert import Converted, RowFormat, convert
from sftdata.read.formats.reasoning import reasoning_text, without_inline
from sftdata.read.formats.values import ConversionError
from sftdata.read.stage import row_of
from sftdata.read.units import RawRow
from sftdata.records.record import Drop, Message, Record


def read(row: object, **columns: str) -> Converted:
    return convert(row, RowFormat(columns=columns))


def answered(**fields: Any) -> Converted:
    return read({"messages": [{"role": "user", "content": "2+2?"}, {"role": "assistant", "content": "4", **fields}]})


def thought(found: Converted) -> str | None:
    assert isinstance(found.found, Record), found
    return found.found.messages[-1].reasoning


def reason(found: Converted) -> str:
    assert isinstance(found.found, Drop), found
    return found.found.reason


@pytest.mark.parametrize(
    "fields",
    [
        {"thoughts": "Add."},
        {"Chain-of-Thought": "Add."},
        {"rationale": "Add."},
        {"reasoning": "Add.", "reasoning_content": " Add.\n"},
        {"reasoning": "Add.", "reasoning_details": [{"type": "reasoning.text", "text": "Add.", "signature": "x"}]},
        {"reasoning_details": [{"type": "reasoning.text", "text": "Ad"}, {"type": "reasoning.text", "text": "d."}]},
        {"reasoning_details": [{"type": "reasoning.summary", "summary": "Add."}]},
        {"thinking_blocks": [{"type": "thinking", "thinking": "Add.", "signature": "x"}]},
        {"content": [{"type": "thinking", "thinking": "Add."}, {"type": "text", "text": "4"}]},
        {"content": [{"type": "reasoning", "summary": [{"type": "summary_text", "text": "Add."}]}, {"text": "4"}]},
        {"content": [{"text": "Add.", "thought": True}, {"text": "4"}]},
        {"content": "<think>\nAdd.\n</think>\n\n4", "reasoning_content": "Add."},
        {"content": "<think>\n\n</think>\n\n4", "reasoning_content": "Add."},
        {"reasoning": None, "thinking": "Add.", "thought": ""},
    ],
)
def test_reasoning_is_read_and_leaves_nothing_unused(fields):
    found = answered(**fields)
    assert (str(thought(found)).strip(), found.unused) == ("Add.", ())
    assert isinstance(found.found, Record)
    assert found.found.messages[-1].content == "4"


@pytest.mark.parametrize(
    "text",
    [
        "<think>Add.</think>",
        " <think>\nAdd.\n</think>\n\n",
        "<thinking>\nAdd.</thinking>",
        "<Reasoning> Add. </Reasoning>",
        "<think><think>Add.</think></think>",
        ["<think>", "Add.", "</think>"],
        [{"type": "thinking", "thinking": "<thinking>Add.</thinking>"}],
    ],
)
def test_marks_around_reasoning_are_not_part_of_it(text):
    assert thought(answered(reasoning_content=text)) == "Add."
    assert thought(read({"prompt": "2+2?", "completion": "4", "reasoning": text})) == "Add."
    if isinstance(text, str):
        assert thought(answered(content=[{"type": "thinking", "thinking": text}, {"text": "4"}])) == "Add."


@pytest.mark.parametrize(
    "text", [" Add.\n", "<b>Add.</b>", "The tag <think> opens it.", "<think>a</think> <think>b</think>"]
)
def test_reasoning_without_marks_around_it_stays_as_it_is(text):
    assert thought(answered(reasoning_content=text)) == text


def test_marks_around_nothing_are_no_reasoning():
    assert answered(reasoning_content="<think>\n\n</think>") == answered()
    assert thought(answered(reasoning_content="<think></think>", reasoning="Add.")) == "Add."


def test_steps_are_lines():
    assert thought(answered(thoughts=["One.", "Two."])) == "One.\nTwo."


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"reasoning": "Add.", "thinking": "Guess."}, "conflicting_fields"),
        ({"content": "<think>Guess.</think>4", "reasoning": "Add."}, "conflicting_fields"),
        ({"reasoning": {"steps": 3, "text": "Add."}}, "wrong_type"),
        ({"reasoning_details": [{"type": "reasoning.encrypted", "data": "xyz"}]}, "untrainable_content"),
        ({"content": [{"type": "redacted_thinking", "data": "xyz"}]}, "untrainable_content"),
    ],
)
def test_reasoning_that_is_not_plain_is_refused_by_name(fields, expected):
    assert reason(answered(**fields)) == expected


@pytest.mark.parametrize("value", [True, 3, "on", "High", " off "])
def test_a_switch_or_a_level_is_no_reasoning_but_is_said(value):
    found = answered(reasoning=value)
    assert (thought(found), found.unused) == (None, ("messages[].reasoning",))


def test_reasoning_of_a_user_is_said():
    row = {"messages": [{"role": "user", "content": "Hi", "thinking": "Hm."}, {"role": "assistant", "content": "Yo"}]}
    assert read(row).unused == ("messages[].thinking",)


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "2+2?", "completion": "4", "reasoning": "Add."},
        {"prompt": "2+2?", "completion": [{"role": "assistant", "content": "4"}], "thinking": "Add."},
        {"instruction": "2+2?", "output": "4", "Complex_CoT": "Add."},
        {"instruction": "2+2?", "response": "4", "chain_of_thought": "Add."},
        {"instruction": "2+2?", "response": "<think>Add.</think>4", "thinking": "Add."},
    ],
)
def test_reasoning_beside_one_answer_belongs_to_it(row):
    assert read(row) == Converted(Record((Message("user", "2+2?"), Message("assistant", "4", "Add."))))


def test_a_mapped_column_of_reasoning_is_read():
    row = {"Question": "2+2?", "Response": "4", "notes": "Add."}
    found = read(row, prompt="Question", completion="Response", reasoning="notes")
    assert found == Converted(Record((Message("user", "2+2?"), Message("assistant", "4", "Add."))))


def test_a_mapped_key_of_reasoning_in_turns_is_read():
    row = {"messages": [{"role": "user", "content": "2+2?"}, {"role": "assistant", "content": "4", "why": "Add."}]}
    assert thought(read(row, messages="messages", reasoning="why")) == "Add."


QA = [{"role": "user", "content": "2+2?"}, {"role": "assistant", "content": "4"}]
SEVERAL = [*QA, {"role": "user", "content": "Sure?"}, {"role": "assistant", "content": "Yes"}]
ONE_CALL = {"query": "Sum?", "answers": [{"name": "add", "arguments": {"a": 2}}]}


@pytest.mark.parametrize(
    "row",
    [
        {"reasoning": "Add.", "messages": QA},
        {"messages": QA, "Thoughts": ["Add."], "reasoning": None},
        {"conversations": [{"from": "human", "value": "2+2?"}, {"from": "gpt", "value": "4"}], "thinking": "Add."},
        {"messages": [QA[0], {"role": "assistant", "content": "<think>Add.</think>4"}], "thinking": "Add."},
    ],
)
def test_reasoning_beside_turns_belongs_to_their_one_answer(row):
    assert read(row) == Converted(Record((Message("user", "2+2?"), Message("assistant", "4", "Add."))))
    staged = row_of(RawRow(1, row, None), SourceConfig(path="x", keep=["thinking"]))  # the fast path, were it plain
    assert staged.record == Record((Message("user", "2+2?"), Message("assistant", "4", "Add.")))


def test_the_thought_beside_calls_belongs_to_them():
    found = read({**ONE_CALL, "thought": "Add."})
    assert (thought(found), found.unused) == ("Add.", ())


@pytest.mark.parametrize("row", [{"messages": SEVERAL}, {"prompt": "Hi", "completion": SEVERAL[1:]}])
def test_reasoning_beside_several_answers_is_refused_by_name(row):
    found = read({**row, "thinking": "Add."}).found
    assert found == Drop(
        "conflicting_fields",
        "its column 'thinking' holds reasoning, but which of its 2 answers it belongs to is not known; "
        "move it into that turn, or name the column in keep to train without it",
    )
    assert isinstance(convert({**row, "thinking": "Add."}, RowFormat(keep=("thinking",))).found, Record)


def test_reasoning_that_one_of_several_answers_says_too_is_used():
    own = [*SEVERAL[:3], {"role": "assistant", "content": "Yes", "reasoning": "Add."}]
    assert read({"messages": own, "thinking": "Add."}).unused == ()
    every = [QA[0], {**QA[1], "reasoning": "Two."}, *own[2:]]
    assert read({"messages": every, "thinking": "Hm."}).unused == ("thinking",)


@pytest.mark.parametrize("value", ["high", True, {"effort": "high", "max_tokens": 100}])
def test_a_setting_of_reasoning_beside_turns_is_said(value):
    assert read({"messages": SEVERAL, "reasoning": value}).unused == ("reasoning",)


def test_other_reasoning_than_that_of_the_answer_is_refused():
    turns = [QA[0], {**QA[1], "reasoning": "Guess."}]
    assert reason(read({"messages": turns, "thinking": "Add."})) == "conflicting_fields"


def test_two_columns_of_reasoning_that_differ_are_refused():
    row = {"prompt": "2+2?", "completion": "4", "reasoning": "Add.", "thinking": "Guess."}
    assert reason(read(row)) == "conflicting_fields"


@pytest.mark.parametrize(
    "text",
    [
        "[THINK]why[/THINK]",
        "<|begin_of_thought|>\n\nwhy\n\n<|end_of_thought|>",
        "◁think▷why◁/think▷",
        "why\n</think>\n",
        "<think>\nwhy",
    ],
)
def test_marks_of_models_around_a_field_of_reasoning_are_not_part_of_it(text):
    assert reasoning_text(text, "reasoning") == "why"


@pytest.mark.parametrize("text", ["[THINK]why[/THINK]yo", "why\n</think>\n\nyo", "<thinking>why</thinking>yo"])
def test_reasoning_that_a_field_and_the_text_say_is_said_once(text):
    assert without_inline(text, "why") == "yo"


def test_other_reasoning_in_the_marks_of_a_model_is_refused_and_in_a_tag_it_is_text():
    with pytest.raises(ConversionError, match=r"the \[THINK\] block of its text and its reasoning differ"):
        without_inline("[THINK]so[/THINK]yo", "why")
    assert without_inline("<reasoning>so</reasoning>yo", "why") == "<reasoning>so</reasoning>yo"
