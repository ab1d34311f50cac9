"""Records as an Arrow column: the records read from it, or from any slice of it, are those that were written."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sftdata.records.column import RECORD_TYPE, RecordColumn, live_records, record_array
from sftdata.records.reasoning_marks import BEGINNING, FIRST_BYTES
from sftdata.records.record import Message, PlainRecord, Record, ToolCall

ROLES = st.sampled_from(["system", "developer", "user", "assistant", "tool"])
TEXTS = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from("<|é世"), max_size=12)
PLAIN = st.lists(st.tuples(ROLES, TEXTS), max_size=4).map(
    lambda turns: PlainRecord(tuple(role for role, _ in turns), [text for _, text in turns])
)
CALL = Message("assistant", None, tool_calls=(ToolCall(name="f", arguments={"a": [1, "é"]}, id="7"),))
OTHERS = st.sampled_from(
    [
        None,
        Record(text="a <| text"),
        Record((Message("user", "a"), CALL), tools=({"name": "f"},)),
        Record((Message("user", "a"), Message("assistant", "b", reasoning="c", train=False))),
        Record((Message("user", "a"),), template_kwargs={"enable_thinking": True}),
    ]
)
RECORDS = st.lists(PLAIN | OTHERS, max_size=12)


def column_of(records: list[Record | None], cut: int) -> pa.ChunkedArray:
    """A column in two chunks. Both are slices of one array."""
    array = record_array(records)
    return pa.chunked_array([array[:cut], array[cut:]], RECORD_TYPE)


@given(RECORDS, st.data())
def test_the_records_of_a_column_are_those_it_was_made_from(records: list[Record | None], data: Any) -> None:
    cut = data.draw(st.integers(0, len(records)))
    begin = data.draw(st.integers(0, len(records)))
    assert list(RecordColumn(column_of(records, cut))) == records
    assert list(RecordColumn(column_of(records, cut).slice(begin))) == records[begin:]


@given(RECORDS, st.data())
def test_live_rows_are_those_with_a_record_that_are_not_dropped(records: list[Record | None], data: Any) -> None:
    dropped = data.draw(st.lists(st.booleans(), min_size=len(records), max_size=len(records)))
    table = pa.table({"record": column_of(records, 0), "dropped": pa.array(dropped, pa.bool_())})
    expected = [
        (row, record)
        for row, (record, is_dropped) in enumerate(zip(records, dropped, strict=True))
        if record is not None and not is_dropped
    ]
    assert list(live_records(table)) == expected


@given(RECORDS, st.lists(st.sampled_from(["<|", "<é", "世", "a<", "||"]).map(str.encode), max_size=3), st.data())
def test_texts_containing_a_string_are_found_in_any_slice(
    records: list[Record | None], strings: list[bytes], data: Any
) -> None:
    strings = [string for string in strings if len(string) == len(strings[0])]
    begin = data.draw(st.integers(0, len(records)))
    wanted = [
        (row, role, text)
        for row, record in enumerate(records[begin:])
        if isinstance(record, PlainRecord)
        for role, text in zip(record.roles, record.contents, strict=True)
        if any(string in text.encode() for string in strings)
    ]
    found = list(RecordColumn(column_of(records, 0).slice(begin)).texts_containing(strings))
    assert [entry for entry in found if entry in wanted] == wanted
    # The others end with the beginning of a string that continues in the next text.
    ends = {string[:at] for string in strings for at in range(1, len(string))}
    others = [text.encode() for row, role, text in found if (row, role, text) not in wanted]
    assert all(any(text.endswith(end) for end in ends) for text in others)


def test_a_column_without_chunks_has_no_records() -> None:
    assert list(RecordColumn(pa.chunked_array([], RECORD_TYPE))) == []


def test_a_string_across_two_texts_may_give_the_first_of_them() -> None:
    records = [PlainRecord(("user", "assistant"), ["a <", "| b"]), PlainRecord(("user",), ["<|x|>"])]
    found = list(RecordColumn(column_of(records, 0)).texts_containing([b"<|"]))
    assert found == [(0, "user", "a <"), (1, "user", "<|x|>")]


@pytest.mark.parametrize("strings", [[], [b"<|im"]])
def test_nothing_is_found_in_short_texts_or_for_no_strings(strings: list[bytes]) -> None:
    for records in ([], [None], [PlainRecord(("user",), [""])], [PlainRecord(("user",), ["<|i"])]):
        assert list(RecordColumn(column_of(records, 0)).texts_containing(strings)) == []


def test_texts_matching_an_expression_are_found_in_any_slice_with_their_row_and_role() -> None:
    records = [
        PlainRecord(("user", "assistant"), ["[INST] a", "b"]),
        Record(text="[INST] text"),
        PlainRecord(("user", "assistant"), ["é", "[INST] c [INST]"]),
    ]
    for cut in range(4):
        found = list(RecordColumn(column_of([*records], cut)).texts_matching(r"^\[INST\]"))
        assert found == [(0, "user", "[INST] a"), (2, "assistant", "[INST] c [INST]")]
    assert list(RecordColumn(pa.chunked_array([], RECORD_TYPE)).texts_matching("a")) == []


def test_texts_that_begin_or_end_with_a_string_are_found_once() -> None:
    texts = ["<image>\nWhat?", "What?\n<image>\n", " <image>", "an <image> here", "<image>", "é"]
    records: list[Record | None] = [PlainRecord(("user",), [text]) for text in texts]
    found = list(RecordColumn(column_of(records, 2)).texts_at_an_end(["<image>", "<audio>"]))
    assert found == [(row, "user", texts[row]) for row in (0, 1, 2, 4)]


@given(st.lists(st.text(" \t\n<>[◁thinkTHINK/é|a", max_size=12), max_size=12), st.integers(0, 4))
def test_leaving_texts_out_by_their_first_byte_changes_no_hit(texts: list[str], cut: int) -> None:
    records: list[Record | None] = [PlainRecord(("assistant",), [text]) for text in [*texts, "", "◁think▷x", " <COT>y"]]
    column = RecordColumn(column_of(records, cut))
    assert list(column.texts_matching(BEGINNING, FIRST_BYTES)) == list(column.texts_matching(BEGINNING))
    assert [text for *_, text in column.texts_matching(BEGINNING, FIRST_BYTES)][-2:] == ["◁think▷x", " <COT>y"]
