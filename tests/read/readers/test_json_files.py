from __future__ import annotations

import json
from pathlib import Path

import pytest

from sftdata.errors import SourceError

CHAT = {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "chats.json"


def values(raw_rows, path: Path) -> list[tuple[int, object]]:
    return [(line, value) for _, line, value, _ in raw_rows(path)]


@pytest.mark.parametrize("indent", [None, 2])
def test_the_rows_of_an_array_are_numbered_from_one(file, raw_rows, indent):
    file.write_text(json.dumps([CHAT, 7, {"a": 1}], indent=indent))
    assert values(raw_rows, file) == [(1, CHAT), (2, 7), (3, {"a": 1})]


@pytest.mark.parametrize("key", ["data", "anything"])
def test_the_one_list_of_objects_in_an_object_holds_the_rows(file, raw_rows, key):
    file.write_text(json.dumps({"version": 2, "tags": ["x"], key: [CHAT, CHAT]}, indent=1))
    assert values(raw_rows, file) == [(1, CHAT), (2, CHAT)]


def test_a_single_conversation_is_one_row_even_if_it_has_tools(file, raw_rows):
    row = {**CHAT, "tools": [{"name": "f"}]}
    file.write_text(json.dumps(row, indent=2))
    assert values(raw_rows, file) == [(1, row)]


def test_turns_under_an_unknown_key_are_not_mistaken_for_rows(file, raw_rows):
    row = {"id": 1, "dialog": CHAT["messages"]}
    file.write_text(json.dumps(row))
    assert values(raw_rows, file) == [(1, row)]


def test_several_lists_of_rows_are_an_error_that_names_them(file, raw_rows):
    file.write_text(json.dumps({"train": [{"a": 1}], "test": [{"a": 2}]}))
    with pytest.raises(SourceError, match=r"several lists of rows \(train, test\)"):
        raw_rows(file)


def test_json_lines_in_a_json_file_are_read_as_lines(file, raw_rows):
    file.write_bytes(b'\n{"a": 1}\n{"a": \n\n{"a": 2}\n')
    assert [(line, reason) for _, line, _, reason in raw_rows(file)] == [(2, None), (3, "bad_json"), (5, None)]


def test_invalid_json_is_an_error_with_line_and_column(file, raw_rows):
    file.write_text('[\n  {"a": 1},\n  {"a" 2}\n]')
    with pytest.raises(SourceError, match=r"chats\.json:3:8: is not JSON") as caught:
        raw_rows(file)
    assert caught.value.where == "chats.json:3:8"


def test_bytes_that_are_not_utf8_are_an_error_with_the_line(file, raw_rows):
    file.write_bytes(b'[\n{"a": "caf\xe9"}]')
    with pytest.raises(SourceError, match=r"chats\.json:2: is not UTF-8"):
        raw_rows(file)


def test_a_byte_order_mark_and_nan_are_accepted(file, raw_rows):
    file.write_bytes(b'\xef\xbb\xbf[{"a": NaN}]')
    assert values(raw_rows, file) == [(1, {"a": None})]


@pytest.mark.parametrize("text", ["[]", '{"prompt": {}, "completion": {}}', '{"columns": ["prompt"], "data": []}'])
def test_an_empty_array_or_table_has_no_rows(file, raw_rows, text):
    file.write_text(text)
    assert values(raw_rows, file) == []


CHATS = [CHAT, {"messages": [{"role": "user", "content": "Bye"}, {"role": "assistant", "content": "See you"}]}]
QUESTIONS = [{"prompt": "1+1?", "completion": "2"}, {"prompt": "2+2?", "completion": None}]
UNKNOWN = [{"question": "1+1?", "answer": "2"}, {"question": "2+2?", "answer": "4"}]


@pytest.mark.parametrize("rows", [CHATS, QUESTIONS, UNKNOWN])
@pytest.mark.parametrize("orient", ["records", "columns", "index", "split", "table"])
def test_whatever_way_pandas_writes_a_table_its_rows_are_read(file, raw_rows, rows, orient):
    pandas = pytest.importorskip("pandas")
    pandas.DataFrame(rows).to_json(file, orient=orient)
    assert values(raw_rows, file) == [(1, rows[0]), (2, rows[1])]


def test_rows_under_names_of_their_own_are_read(file, raw_rows):
    file.write_text(json.dumps({"chat-a": CHATS[0], "chat-b": CHATS[1]}))
    assert values(raw_rows, file) == [(1, CHATS[0]), (2, CHATS[1])]


def test_rows_that_pandas_has_filtered_or_named_are_read(file, raw_rows):
    file.write_text('{"prompt":{"7":"a","3":"b"},"completion":{"7":"c","3":"d"}}')
    rows = [(1, {"prompt": "a", "completion": "c"}), (2, {"prompt": "b", "completion": "d"})]
    assert values(raw_rows, file) == rows
    file.write_text('{"prompt":{"x":"a","y":"b"},"completion":{"x":"c","y":"d"}}')
    assert values(raw_rows, file) == rows


def test_columns_as_lists_are_read_as_rows(file, raw_rows):
    file.write_text('{"prompt": ["a", "b"], "completion": ["c", "d"]}')
    assert values(raw_rows, file) == [(1, {"prompt": "a", "completion": "c"}), (2, {"prompt": "b", "completion": "d"})]
    file.write_text(json.dumps({"messages": [chat["messages"] for chat in CHATS], "id": [1, 2]}))
    assert values(raw_rows, file) == [(1, {**CHATS[0], "id": 1}), (2, {**CHATS[1], "id": 2})]


def test_two_lists_of_turns_are_one_row(file, raw_rows):
    row = {"prompt": CHAT["messages"][:1], "completion": CHAT["messages"][1:]}
    file.write_text(json.dumps(row))
    assert values(raw_rows, file) == [(1, row)]


def test_examples_inside_a_row_are_not_its_rows(file, raw_rows):
    row = {"prompt": "a", "completion": "b", "examples": [{"prompt": "c", "completion": "d"}]}
    file.write_text(json.dumps(row))
    assert values(raw_rows, file) == [(1, row)]


def test_rows_under_a_name_that_conversations_have_are_rows(file, raw_rows):
    file.write_text(json.dumps({"conversations": CHATS, "sources": [{"url": "x"}]}))
    assert values(raw_rows, file) == [(1, CHATS[0]), (2, CHATS[1])]


def test_a_page_of_the_hubs_viewer_gives_its_rows(file, raw_rows):
    page = {"features": [{"name": "messages"}], "rows": [{"row_idx": 0, "row": CHAT, "truncated_cells": []}]}
    file.write_text(json.dumps(page))
    assert values(raw_rows, file) == [(1, CHAT)]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('{"a": {"q": 1, "r": 2}, "b": {"q": 3, "r": 4}}', "holds objects under a, b, which may be rows or columns"),
        ('{"train": {"prompt": "a"}, "test": {"prompt": "b"}}', r"holds several parts \(train, test\)"),
        ('{"columns": ["a", "b"], "data": [[1, 2], [3]]}', "row 2 has not one value for each of its 2 columns"),
        ('{"columns": [["a", "b"]], "data": [[1]]}', "columns have no plain names"),
    ],
)
def test_an_object_that_is_not_clear_is_refused_with_a_way_out(file, raw_rows, text, sentence):
    file.write_text(text)
    with pytest.raises(SourceError, match=sentence):
        raw_rows(file)


@pytest.mark.parametrize("between", ["", "\n", " \n\n", "\r\n"])
@pytest.mark.parametrize("indent", [None, 2])
def test_objects_behind_one_another_are_rows(file, raw_rows, between, indent):
    file.write_text(between.join(json.dumps(row, indent=indent) for row in CHATS))
    assert [value for _, value in values(raw_rows, file)] == CHATS


def test_objects_with_commas_between_them_are_an_error_with_a_way_out(file, raw_rows):
    file.write_text('{"a": 1},\n{"a": 2}\n')
    with pytest.raises(SourceError) as caught:
        raw_rows(file)
    assert str(caught.value) == (
        "chats.json:1: has commas between its objects, but they are no array; "
        "put [ before the first object and ] behind the last one"
    )


@pytest.mark.parametrize(
    ("text", "where"), [('[{"a": 1},\n{"a": 2},\n]', "2"), ('[\n{"a": 1,}]', "2"), ('[{"a": [1,\n]}]', "1")]
)
def test_a_comma_before_a_bracket_is_named_with_its_line(file, raw_rows, text, where):
    file.write_text(text)
    with pytest.raises(SourceError, match=rf"chats\.json:{where}: is not JSON \(a comma .*; remove the comma"):
        raw_rows(file)


def test_a_file_that_ends_in_the_middle_is_named_so(file, raw_rows):
    file.write_text('[{"a": 1}, {"a": ')
    with pytest.raises(
        SourceError, match=r"is not complete JSON \(it ends in the middle\); download or write it again"
    ):
        raw_rows(file)
