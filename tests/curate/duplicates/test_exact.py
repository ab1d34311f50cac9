from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sftdata.curate.duplicates.exact import (
    canonical,
    content_key,
    key_integers,
    repeat_ids,
)
from sftdata.records.record import Message, Record, ToolCall

CHAT = (Message(role="user", content="Café\nHi"), Message(role="assistant", content="Hello"))


def user(content: str, **fields: Any) -> Record:
    return Record(messages=(Message(role="user", content=content, **fields), CHAT[1]))


@pytest.mark.parametrize(
    "content",
    ["Café\nHi", "Cafe\u0301\nHi", "Café\r\nHi", "Café\rHi", "  Café\nHi\n\n", "\u00a0Café\nHi\u2003"],
    ids=["same", "decomposed", "crlf", "cr", "white space around", "wide spaces around"],
)
def test_texts_that_look_the_same_have_the_same_key(content: str) -> None:
    assert content_key(user(content)) == content_key(Record(messages=CHAT))


def call(arguments: str | Mapping[str, Any], id: str | None = None) -> Record:
    turn = Message(role="assistant", content=None, tool_calls=(ToolCall(name="f", arguments=arguments, id=id),))
    return Record(messages=(CHAT[0], turn))


DIFFERENT = [
    Record(messages=CHAT),
    user("Café Hi"),
    user("café\nHi"),
    user("Café\n\nHi"),
    user("Café\nHi", name="Ann"),
    Record(messages=(*CHAT, *CHAT)),
    Record(messages=(Message(role="system", content="Café\nHi"), CHAT[1])),
    Record(messages=(CHAT[0], Message(role="assistant", content="Hello", train=False))),
    Record(messages=(CHAT[0], Message(role="assistant", content="Hello", reasoning="Hm"))),
    Record(messages=CHAT, tools=({"name": "f"},)),
    Record(messages=CHAT, template_kwargs={"enable_thinking": False}),
    Record(text="Café\nHi"),
    Record(text="Hello"),
    call('{"a": 1}'),
    call('{"a": 2}'),
    call('{"a": 123456789012345678901}'),
    call('{"a": 123456789012345678902}'),
    call("not JSON"),
    call('{"a": 1}', id="call_1"),
]


def test_different_content_has_different_keys() -> None:
    keys = [content_key(record) for record in DIFFERENT]
    assert len(set(keys)) == len(DIFFERENT)
    assert {len(key) for key in keys} == {16}


def test_tool_arguments_are_compared_by_value_not_by_spelling() -> None:
    keys = {content_key(call(form)) for form in ('{"a": 1, "b": [2]}', '{"b":[2],"a":1}', {"b": (2,), "a": 1})}
    assert len(keys) == 1


texts = st.text(st.sampled_from("ab \x1e\x1f\x01\x02\0019user12"), max_size=12)


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["user", "assistant"]), texts), min_size=1, max_size=4), st.data())
def test_no_text_can_look_like_another_conversation(turns: list[tuple[str, str]], data: st.DataObject) -> None:
    other = data.draw(st.lists(st.tuples(st.sampled_from(["user", "assistant"]), texts), min_size=1, max_size=4))
    joined = "".join(f"{role}\x1f{text}\x1e" for role, text in turns[1:])
    forged = [(turns[0][0], f"{turns[0][1]}\x1e{joined}"[:-1])]
    for rival in (other, forged):
        same = [(role, text.strip()) for role, text in rival] == [(role, text.strip()) for role, text in turns]
        for name in (None, "n"):  # a name makes them more than roles and contents: another form of key
            first, second = (
                content_key(Record(messages=tuple(Message(role=role, content=text, name=name) for role, text in chat)))
                for chat in (turns, rival)
            )
            assert (first == second) == same


@settings(deadline=None)
@given(st.text())
def test_the_canonical_form_is_its_own_canonical_form(text: str) -> None:
    assert canonical(canonical(text)) == canonical(text)


def test_the_id_of_a_repeat_is_a_hash_of_key_and_number() -> None:
    keys = [bytes(range(16)), b"\xff" * 16]
    found = repeat_ids(np.frombuffer(b"".join(keys), np.uint64).reshape(2, 2), np.array([1, 300]))
    expected = [
        hashlib.blake2b(keys[0] + b"\1" + bytes(7), digest_size=16),
        hashlib.blake2b(keys[1] + b"\x2c\1" + bytes(6), digest_size=16),
    ]
    assert [row.tobytes() for row in found] == [one.digest() for one in expected]


def test_the_integers_of_a_slice_of_keys_are_those_of_its_own_rows() -> None:
    for first, keys in ((b"a" * 16, [None, b"b" * 16]), (None, [b"c" * 16, b"b" * 16])):
        found = key_integers(pa.array([first, *keys], pa.binary(16)).slice(1))
        assert [row.tobytes() for row in found] == [key or bytes(16) for key in keys]
