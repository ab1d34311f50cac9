"""A plain conversation is the same record whether it was created from messages or from roles and contents."""

from __future__ import annotations

import copy
import json
import pickle
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sftdata.curate.duplicates.exact import content_key
from sftdata.curate.duplicates.near import answer_chars
from sftdata.curate.words import text_of
from sftdata.encode.control_strings import count_control_strings, count_control_strings_of
from sftdata.encode.stats import EncodingStats
from sftdata.encode.template.messages import strings_of, trained_turns
from sftdata.encode.tokenizer.control import ControlTokens
from sftdata.encode.tokenizer.load import AddedToken
from sftdata.records.end_tokens import EndTokens
from sftdata.records.record import Message, PlainRecord, Record, ToolCall

CONTROL = ControlTokens([AddedToken(1, "<|im_end|>", True), AddedToken(2, "</s>", True)])
TURNS = st.lists(
    st.tuples(
        st.sampled_from(["system", "user", "assistant", "tool"]),
        st.text(max_size=20) | st.sampled_from(["ok </s>", "<|im_end|>", " \r\n", "caf\u0065\u0301"]),
    ),
    min_size=1,
    max_size=5,
)


@given(TURNS)
def test_a_plain_conversation_from_messages_equals_one_from_roles_and_contents(turns: list[tuple[str, str]]) -> None:
    roles, contents = zip(*turns)
    one = Record(tuple(Message(role, content) for role, content in turns))
    other = PlainRecord(roles, list(contents))
    assert one == other and other == one
    assert other.messages == one.messages
    assert one.plain is not None and one.plain.roles == roles and list(one.plain.contents) == list(contents)
    if all(not 0xD800 <= ord(character) < 0xE000 for content in contents for character in content):
        assert one.to_json() == other.to_json()
        assert Record.from_json(one.to_json()) == one
        assert content_key(one) == content_key(other)


@given(TURNS)
def test_functions_with_a_fast_path_for_plain_conversations_give_the_same_result_without_it(
    turns: list[tuple[str, str]],
) -> None:
    plain = PlainRecord(tuple(role for role, _ in turns), [content for _, content in turns])
    # The same with a field that none of these functions use, so that they take the path for all other conversations.
    other = plain.replaced(messages=tuple(message._replace(tool_call_id="x") for message in plain.messages))
    assert other.plain is None
    for on in ("conversation", "prompt", "answer"):
        assert text_of(plain, on) == text_of(other, on)
    for train_on in ("all", "last"):
        assert trained_turns(plain, train_on) == trained_turns(other, train_on)
    stats, other_stats = EncodingStats(), EncodingStats()
    count_control_strings(turns, CONTROL, stats)
    count_control_strings_of(other, CONTROL, other_stats)
    assert stats == other_stats
    assert answer_chars(plain) == answer_chars(other)
    assert Counter(strings_of(other)) - Counter(strings_of(plain)) == Counter({"x": len(turns)})
    stripped, ends = EndTokens().strip(plain)
    other_stripped, other_ends = EndTokens().strip(other)
    assert ends == other_ends
    assert [turn.content for turn in stripped.messages] == [turn.content for turn in other_stripped.messages]


@pytest.mark.parametrize(
    "record",
    [
        Record((Message("user", "a"), Message("assistant", "b", reasoning="c"))),
        Record((Message("user", "a"), Message("assistant", "b", train=False))),
        Record((Message("user", "a"), Message("assistant", None, tool_calls=(ToolCall(name="f", arguments={}),)))),
        Record((Message("user", "a"),), tools=({"name": "f"},)),
        Record((Message("user", "a"),), template_kwargs={"enable_thinking": True}),
        Record(text="a"),
    ],
)
def test_a_record_with_more_than_roles_and_contents_is_not_plain_and_survives_json(record: Record) -> None:
    assert record.plain is None
    assert isinstance(json.loads(record.to_json()), dict)
    assert Record.from_json(record.to_json()) == record
    assert record.replaced() == record
    assert record != Record((Message("user", "a"),))


@given(TURNS)
def test_a_record_can_be_pickled_and_copied(turns: list[tuple[str, str]]) -> None:
    plain = PlainRecord(tuple(role for role, _ in turns), [content for _, content in turns])
    messages = Record(plain.messages)
    assert messages.plain == plain
    for record in (plain, messages):
        assert pickle.loads(pickle.dumps(record)) == copy.deepcopy(record) == record


def test_repr_and_equality_of_a_record() -> None:
    assert repr(Record(text="a")) == "Record(messages=(), tools=(), template_kwargs=None, text='a')"
    assert Record() == Record(()) != Path()
