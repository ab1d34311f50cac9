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


def test_an_empty_array_has_no_rows(file, raw_rows):
    file.write_text("[]")
    assert values(raw_rows, file) == []
