"""Values that a row gives and nothing uses are named; pictures, sound and video are refused."""

from __future__ import annotations

from typing import Any

import pytest

from sftdata.read.formats.convert import RowFormat, convert
from sftdata.read.formats.plain import plain_row
from sftdata.records.record import Drop, Record

USER, ANSWER = {"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}
CHAT = {"messages": [USER, ANSWER]}
CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": {"a": 1}}}


def unused(row: object, **settings: Any) -> tuple[str, ...]:
    found = convert(row, RowFormat(**settings))
    assert isinstance(found.found, Record), found
    return found.unused


@pytest.mark.parametrize(
    ("row", "names"),
    [
        ({**CHAT, "source": "web", "score": 0, "meta": {"a": [1]}}, ("source", "score", "meta")),
        ({**CHAT, "a": None, "b": "", "c": " ", "d": [], "e": {}, "f": {"x": None}, "g": [None, ""]}, ()),
        ({**CHAT, "prompt": "Hi", "conversations": CHAT["messages"]}, ()),
        ({**CHAT, "prompt": "Something else"}, ("prompt",)),
        ({"messages": [{**USER, "timestamp": 5, "id": None}, ANSWER]}, ("messages[].timestamp",)),
        ({"messages": [{**USER, "from": "Ann"}, ANSWER]}, ("messages[].from",)),
        ({"messages": [{**USER, "weight": 1}, {**ANSWER, "weight": 1, "refusal": "No."}]}, ("messages[].refusal",)),
        ({"messages": [{**USER, "tool_calls": [CALL]}, ANSWER]}, ("messages[].tool_calls",)),
        ({"messages": [USER, {**ANSWER, "tool_calls": [{**CALL, "index": 7}]}]}, ("messages[].tool_calls[].index",)),
        (
            {"conversations": [{"from": "human", "value": [{"text": "Hi", "cache_control": "x"}]}, ANSWER]},
            ("conversations[].content[].cache_control",),
        ),
        ({"instruction": "Hi", "output": "Hello", "response": "Bye"}, ("response",)),
        ({"instruction": "Hi", "output": "Hello", "text": "### Instruction:\nHi"}, ("text",)),
        ({**CHAT, "tool_choice": "auto", "parallel_tool_calls": False}, ("tool_choice", "parallel_tool_calls")),
        ({"messages": [{"role": "system", "content": "Be kind."}, USER, ANSWER], "system": "Be rude."}, ("system",)),
        ({"messages": [{"role": "system", "content": "Be kind."}, USER, ANSWER], "system": "Be kind."}, ()),
    ],
)
def test_what_a_row_gives_and_nothing_uses_is_named(row, names):
    assert unused(row) == names


def test_columns_that_settings_name_are_used():
    row = {"q": "Hi", "a": {"text": "Hello", "score": 3}, "user": {"id": 7, "age": 30}, "tag": "x"}
    columns = {"prompt": "q", "completion": "a.text"}
    assert unused(row, columns=columns) == ("a.score", "user", "tag")
    assert unused(row, columns=columns, keep=("user.id", "tag")) == ("a.score", "user.age")


def test_the_other_items_of_a_list_are_not_used():
    row = {"instruction": "Hi", "answers": [{"text": "Hello"}, {"text": "Bye"}, {"text": "Go"}]}
    assert unused(row, columns={"output": "answers.0.text"}) == ("answers[]",)


@pytest.mark.parametrize(
    "extra",
    [
        {"image": "a.png"},
        {"image": {"bytes": b"\x89PNG", "path": None}},
        {"images": ["a"]},
        {"Image-Path": "a"},
        {"img": "a"},
        {"image_url": "https://example.com/a"},
        {"image_1": "a"},
        {"pixel_values": [[0.5, 0.25]]},
        {"audio": {"array": [0.5], "sampling_rate": 16000, "path": None}},
        {"audios": ["a.wav"]},
        {"speech": "a.wav"},
        {"video": "a.mp4"},
        {"videos": [{"path": "a.mp4"}]},
        {"media": [{"type": "image", "url": "https://example.com/a.jpg"}]},
        {"files": ["notes.txt", "photo.jpeg"]},
        {"anything": {"bytes": b"\x89PNG", "path": "a"}},
        {"anything": "data:image/png;base64,AAAA"},
    ],
)
def test_pictures_sound_and_video_in_a_column_cannot_be_trained_on(extra):
    for row in ({**CHAT, **extra}, {"prompt": "Hi", "completion": "Hello", **extra}):
        found = convert(row, RowFormat()).found
        assert isinstance(found, Drop)
        assert found.reason == "untrainable_content"
        assert repr(next(iter(extra))) in str(found.detail)
    turn = convert({"messages": [{**USER, **extra}, ANSWER]}, RowFormat()).found
    assert isinstance(turn, Drop)
    assert turn.reason == "untrainable_content"


@pytest.mark.parametrize(
    "extra",
    [
        {"image_caption": "A cat."},
        {"files": ["notes.txt"]},
        {"speech": "Ladies and gentlemen, welcome."},
        {"media": "newspaper"},
        {"has_image": True},
        {"image": 0},
        {"images": [3, 4]},
    ],
)
def test_texts_and_numbers_about_media_are_only_unused(extra):
    assert unused({**CHAT, **extra}) == tuple(extra)


def test_a_picture_that_is_kept_for_the_ledger_does_not_stop_the_row():
    assert unused({**CHAT, "image": "cover.png"}, keep=("image",)) == ()


@pytest.mark.parametrize("extra", [{"image": None}, {"images": []}, {"audio": {"bytes": None, "path": None}}])
def test_empty_media_are_not_there(extra):
    assert unused({**CHAT, **extra}) == ()


def test_a_value_that_is_nested_too_deeply_to_look_at_is_refused_by_name():
    deep: Any = "x"
    for _ in range(5000):
        deep = [deep]
    for row in ({**CHAT, "meta": deep}, {"prompt": "Hi", "completion": "Hello", "meta": deep}):
        assert plain_row(row, RowFormat()) is None
        found = convert(row, RowFormat()).found
        assert isinstance(found, Drop)
        assert found.reason == "wrong_type"


SYSTEM_TOOLS = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]


@pytest.mark.parametrize("role", ["system", "developer"])
@pytest.mark.parametrize("key", ["tools", "functions"])
@pytest.mark.parametrize("tools", [SYSTEM_TOOLS, '[{"name": "f", "parameters": {"type": "object"}}]'])
def test_tools_in_the_system_turn_are_the_tools(role, key, tools):
    row = {"messages": [{"role": role, "content": "Be kind.", key: tools}, USER, ANSWER]}
    found = convert(row, RowFormat())
    assert isinstance(found.found, Record)
    assert (found.found.tools, found.unused) == (tuple(SYSTEM_TOOLS), ())
    assert len(found.found.messages) == 3


def test_tools_in_two_places_must_agree():
    turn = {"role": "system", "content": "Be kind.", "tools": SYSTEM_TOOLS}
    same = convert({"messages": [turn, USER, ANSWER], "tools": SYSTEM_TOOLS}, RowFormat()).found
    assert isinstance(same, Record)
    assert same.tools == tuple(SYSTEM_TOOLS)
    other = convert({"messages": [turn, USER, ANSWER], "tools": [{"name": "g"}]}, RowFormat()).found
    assert isinstance(other, Drop)
    assert other.reason == "conflicting_fields"


@pytest.mark.parametrize("content", ["", " \n", None])
def test_an_empty_system_turn_hides_no_other_system_prompt(content):
    row = {"messages": [{"role": "system", "content": content}, USER, ANSWER]}
    for found in (
        convert({**row, "system": "Be kind."}, RowFormat()).found,
        convert(row, RowFormat(system="Be kind.")).found,
    ):
        assert isinstance(found, Record)
        assert [message.content for message in found.messages] == ["Be kind.", "Hi", "Hello"]
    bare = convert(row, RowFormat()).found
    assert isinstance(bare, Record)
    assert [message.content for message in bare.messages] == [*([] if content is None else [content]), "Hi", "Hello"]
