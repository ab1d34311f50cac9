"""Turns with the channels of Harmony: what is thought belongs to the answer behind it, and calls are calls."""

from __future__ import annotations

from typing import Any

import pytest

from sftdata.read.formats.convert import Converted, RowFormat, convert
from sftdata.read.formats.structure import check_structure
from sftdata.records.record import Drop, Message, Record, ToolCall

ASK = {"role": "user", "content": "1 + 2?"}
ANALYSIS = {"role": "assistant", "channel": "analysis", "content": "It is 3."}
FINAL = {"role": "assistant", "channel": "final", "content": "Three."}
CALL = {"role": "assistant", "channel": "commentary", "recipient": "functions.add", "content": '{"a": 1}'}
RESULT = {"role": "tool", "channel": "commentary", "name": "functions.add", "recipient": "assistant", "content": "3"}


def read(*turns: dict[str, Any], **settings: Any) -> Converted:
    return convert({"messages": [ASK, *turns]}, RowFormat(**settings))


def answers(*turns: dict[str, Any], **settings: Any) -> list[Message]:
    found = read(*turns, **settings).found
    assert isinstance(found, Record), found
    return list(found.messages[1:])


def drop(*turns: dict[str, Any], **settings: Any) -> Drop:
    found = read(*turns, **settings).found
    problem = found if isinstance(found, Drop) else check_structure(found)
    assert problem is not None, found
    return problem


def test_an_analysis_is_the_reasoning_of_the_answer_behind_it():
    assert answers(ANALYSIS, FINAL) == [Message(role="assistant", content="Three.", reasoning="It is 3.")]
    assert read(ANALYSIS, FINAL).unused == ()


def test_merging_does_not_make_it_the_beginning_of_the_answer():
    merged = answers(ANALYSIS, FINAL, merge_same_role="merge")
    assert merged == [Message(role="assistant", content="Three.", reasoning="It is 3.")]


def test_calls_and_their_results_are_read_from_their_channel():
    call = ToolCall(name="add", arguments='{"a": 1}')
    assert answers(ANALYSIS, CALL, RESULT, FINAL) == [
        Message(role="assistant", content=None, reasoning="It is 3.", tool_calls=(call,)),
        Message(role="tool", content="3", name="add"),
        Message(role="assistant", content="Three."),
    ]
    assert read(ANALYSIS, CALL, RESULT, FINAL).unused == ()


def test_a_text_in_the_commentary_before_a_call_is_the_text_of_its_turn():
    text = {"role": "assistant", "channel": "commentary", "content": "I add."}
    assert answers(ANALYSIS, text, CALL)[0].content == "I add."
    assert answers(ANALYSIS, text, CALL)[0].reasoning == "It is 3."
    assert len(answers(ANALYSIS, text, CALL)) == 1


@pytest.mark.parametrize("mode", ["drop", "merge", "allow"])
def test_texts_of_two_channels_are_never_one_turn(mode):
    text = {"role": "assistant", "channel": "commentary", "content": "I think aloud."}
    assert drop(text, FINAL, merge_same_role=mode) == Drop(
        "roles_out_of_order",
        "turn 3: its channel is final and that of the assistant's turn before it is commentary, and no template writes "
        "both in one turn",
    )


def test_a_text_that_stays_in_the_commentary_has_its_channel_counted():
    text = {"role": "assistant", "channel": "commentary", "content": "I think aloud."}
    assert read(text).unused == ("messages[].channel",)


def test_an_analysis_without_an_answer_is_an_empty_answer():
    assert drop(ANALYSIS) == Drop("empty_answer", "turn 2: the assistant's turn holds reasoning but no answer")


def test_two_analyses_are_two_turns_until_they_are_merged():
    more = {**ANALYSIS, "content": "Surely."}
    assert drop(ANALYSIS, more, FINAL).reason == "roles_out_of_order"
    assert answers(ANALYSIS, more, FINAL, merge_same_role="merge")[0].reasoning == "It is 3.\n\nSurely."


@pytest.mark.parametrize(
    ("analysis", "final", "detail"),
    [
        ({"reasoning_content": "It is 4."}, {}, "turn 2: its channel is analysis, but a field has other reasoning"),
        ({}, {"reasoning": "It is 4."}, "turn 3: its reasoning_content and its reasoning say different things"),
        ({}, {"weight": 0}, "turn 3: its weight (or train) is not that of its analysis"),
    ],
)
def test_contradictions_between_an_analysis_and_its_answer_are_refused(analysis, final, detail):
    found = drop({**ANALYSIS, **analysis}, {**FINAL, **final})
    assert (found.reason, found.detail) == ("conflicting_fields", detail)


def test_other_values_of_a_channel_are_counted_and_change_nothing():
    assert read({"role": "assistant", "channel": "slack", "content": "Three."}).unused == ("messages[].channel",)


def test_keys_of_an_analysis_that_nothing_uses_are_counted():
    assert read({**ANALYSIS, "score": 3}, FINAL).unused == ("messages[].score",)
