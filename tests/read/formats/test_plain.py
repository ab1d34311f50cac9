"""The fast path for plain rows: the same records as the normal path gives, or none."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sftdata.read.formats.convert import RowFormat, convert
from sftdata.read.formats.plain import plain_row
from sftdata.read.formats.structure import check_structure
from sftdata.records.record import Drop, Message, Record

texts = st.one_of(
    st.text(max_size=4),
    st.sampled_from(["", " ", "\n", "hi", "\0", "\ud800", "é", "<tool_call>", "<image>"]),
    st.sampled_from([None, 3, ["a"], {"type": "text"}]),
)
roles = st.sampled_from(
    [
        "user",
        "assistant",
        "system",
        "developer",
        "tool",
        "human",
        "gpt",
        "USER",
        "function_call",
        "unknown",
        None,
        7,
        [],
    ]
)
turn = st.one_of(
    st.fixed_dictionaries({"role": roles, "content": texts}),
    st.fixed_dictionaries({"from": roles, "value": texts}),
    st.fixed_dictionaries({"role": roles, "value": texts}),
    st.fixed_dictionaries({"role": roles, "content": texts}, optional={"weight": st.sampled_from([0, 1, None])}),
    st.sampled_from(["hi", "ab", None, ["role", "content"], {}]),
)
likely_turns = st.lists(texts, min_size=1, max_size=5).map(
    lambda contents: [{"role": ("user", "assistant")[i % 2], "content": text} for i, text in enumerate(contents)]
)
turns = st.one_of(likely_turns, st.lists(turn, max_size=4), st.sampled_from([None, "[]", {}, 5]))
rows = st.one_of(
    st.dictionaries(
        st.sampled_from(
            ["messages", "conversations", "conversation", "source", "prompt", "system", "tools", "image", "file"]
        ),
        turns,
        max_size=3,
    ),
    turns,
)


@given(rows, st.sampled_from(["auto", "messages", "sharegpt", "alpaca"]), st.sampled_from([(), ("source",), ("x.y",)]))
def test_a_plain_row_gives_the_record_of_the_normal_path(row: Any, format: str, keep: tuple[str, ...]) -> None:
    how = RowFormat(format, keep=keep)
    found = plain_row(row, how)
    if found is not None:
        slow = convert(row, how)
        assert found == (slow.found, slow.unused)
        assert not isinstance(slow.found, Drop)
        assert check_structure(slow.found) is None


@pytest.mark.parametrize(
    "row",
    [
        {"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}], "source": "x"},
        {"conversations": [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]},
    ],
)
def test_ordinary_rows_take_the_fast_path(row: Any) -> None:
    unused = ("source",) if "source" in row else ()
    assert plain_row(row, RowFormat()) == (Record((Message("user", "q"), Message("assistant", "a"))), unused)
