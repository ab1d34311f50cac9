"""The same conversations in every file format, and as Python objects, give the same records and the same dataset.

For every template: tests/encode/test_same_data_under_every_template.py.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from data_formats import (
    OTHER_JSON,
    WRITERS,
    RawRow,
    Source,
    Writer,
    as_arrow_stream,
    as_csv,
    as_json,
    as_json_lines,
    as_parquet,
    as_python_text,
    read,
)
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from made_chats import CHATS, FLOATS, WORDS, chats

import sftdata
from sftdata.config import Config

NO_SHRINKING = [Phase.explicit, Phase.generate]  # of whole runs, which would take minutes
FIRST = {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]}  # always packed


def dataset_hash(source: Source, tokenizer: Path, folder: Path) -> tuple[str, int, list[tuple[str, int]]]:
    config = Config(
        tokenizer=str(tokenizer),
        template="qwen2.5",
        sources=[source],
        out=str(folder / "out"),
        check_tool_calls=False,
        lost_context="warn",
    )
    manifest = sftdata.prepare(config, workers=1).manifest
    return manifest.dataset_hash, manifest.counts.packed, [(entry.column, entry.rows) for entry in manifest.unused]


@settings(max_examples=1, phases=NO_SHRINKING)
@given(st.lists(chats(), min_size=2, max_size=4))
def test_conversations_with_tools_nulls_and_nesting_give_one_dataset(tiny_tokenizer: Path, rows: list[RawRow]) -> None:
    hashes = {}
    for writer in WRITERS:
        with tempfile.TemporaryDirectory() as folder:
            source = writer([FIRST, *rows], CHATS, Path(folder))
            hashes[writer.__name__] = dataset_hash(source, tiny_tokenizer, Path(folder))
    assert len(set(map(repr, hashes.values()))) == 1, hashes


def found(source: Source, folder: Path) -> list[Any]:
    """The records, as bytes too, since 1 == 1.0 == True in Python; None for a row that is dropped."""
    rows = [
        (None, None, ()) if row.drop else (row.record, row.record.to_json(), row.unused) for row in read(source, folder)
    ]
    return rows


def assert_same_records(rows: list[RawRow], schema: pa.Schema, writers: Sequence[Writer]) -> None:
    records = {}
    for writer in writers:
        with tempfile.TemporaryDirectory() as folder:
            records[writer.__name__] = found(writer(rows, schema, Path(folder)), Path(folder))
    assert all(one == records[writers[0].__name__] for one in records.values()), records


@settings(max_examples=30)
@given(st.lists(chats(), min_size=1, max_size=4))
def test_every_file_format_gives_the_same_records(rows: list[RawRow]) -> None:
    assert_same_records(rows, CHATS, (as_json_lines, as_json, as_csv, as_python_text, as_parquet, as_arrow_stream))


@settings(max_examples=4)
@given(
    st.lists(st.tuples(WORDS, st.none() | FLOATS), max_size=3), st.lists(st.tuples(WORDS, st.booleans()), max_size=2)
)
def test_numbers_and_booleans_as_answers_give_the_same_records(
    numbers: list[tuple[str, float | None]], booleans: list[tuple[str, bool]]
) -> None:
    for kind, pairs in ((pa.float64(), [("Half?", 0.5), *numbers]), (pa.bool_(), [("So?", True), *booleans])):
        schema = pa.schema([("prompt", pa.string()), ("completion", kind)])
        rows = [{"prompt": prompt, "completion": answer} for prompt, answer in pairs]
        assert_same_records(rows, schema, [writer for writer in WRITERS if writer is not as_python_text])


@pytest.mark.parametrize("writer", [*WRITERS, *OTHER_JSON], ids=lambda writer: writer.__name__)
def test_whole_numbers_as_answers_are_their_digits(tmp_path: Path, writer: Writer) -> None:
    schema = pa.schema([("prompt", pa.string()), ("completion", pa.int64())])
    rows = [{"prompt": "How many?", "completion": 7}, {"prompt": "And then?", "completion": -9223372036854775808}]
    records = [record for record, _, _ in found(writer(rows, schema, tmp_path), tmp_path)]
    assert [record.messages[1].content for record in records] == ["7", "-9223372036854775808"]


@pytest.mark.parametrize(
    "writer",
    [writer for writer in (*WRITERS, *OTHER_JSON) if writer is not as_python_text],
    ids=lambda one: one.__name__,
)
def test_an_object_as_an_answer_is_its_json_text(tmp_path: Path, writer: Writer) -> None:
    kind = pa.struct([("b", pa.list_(pa.int64())), ("k", pa.string())])
    schema = pa.schema([("prompt", pa.string()), ("completion", kind)])
    rows = [{"prompt": "Which?", "completion": {"b": [1, 2], "k": "x"}}]
    records = [record for record, _, _ in found(writer(rows, schema, tmp_path), tmp_path)]
    assert [record.messages[1].content for record in records] == ['{"b": [1, 2], "k": "x"}']


@pytest.mark.parametrize("writer", [*WRITERS, *OTHER_JSON], ids=lambda writer: writer.__name__)
def test_an_instruction_of_null_beside_an_input_is_an_empty_one(tmp_path: Path, writer: Writer) -> None:
    schema = pa.schema([(name, pa.string()) for name in ("instruction", "input", "output")])
    rows = [
        {"instruction": None, "input": "Hi", "output": "Ho"},
        {"instruction": "", "input": "He", "output": "Ha"},
        {"instruction": None, "input": None, "output": "Dropped."},
    ]
    records = [record for record, _, _ in found(writer(rows, schema, tmp_path), tmp_path)]
    assert [record and record.messages[0].content for record in records] == ["Hi", "He", None]


def test_arguments_come_in_the_order_that_the_format_keeps(tmp_path: Path) -> None:
    """Each row's own in JSON and CSV; in Arrow that of the struct, which is one for the whole column."""

    def row(arguments: RawRow) -> RawRow:
        call = {"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": arguments}}]}
        return {"messages": [{"role": "user", "content": "Hi"}, call]}

    def keys(writer: Writer) -> list[str]:
        given = [row({"b": 1, "a": 2}), row({"a": 3, "b": 4})]
        records = [record for record, _, _ in found(writer(given, schema, tmp_path), tmp_path)]
        return ["".join(record.messages[1].tool_calls[0].arguments) for record in records]

    arguments = pa.struct([("b", pa.int64()), ("a", pa.int64())])
    function = pa.struct([("name", pa.string()), ("arguments", arguments)])
    calls = pa.list_(pa.struct([("function", function)]))
    schema = pa.schema(
        [("messages", pa.list_(pa.struct([("role", pa.string()), ("content", pa.string()), ("tool_calls", calls)])))]
    )
    assert [keys(writer) for writer in (as_json_lines, as_json, as_csv, as_python_text)] == [["ba", "ab"]] * 4
    assert [keys(writer) for writer in (as_parquet, as_arrow_stream)] == [["ba", "ba"]] * 2


@pytest.mark.parametrize("writer", [as_parquet, as_arrow_stream])
def test_an_infinite_number_in_arguments_costs_its_row(tmp_path: Path, writer: Writer) -> None:
    call = {"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": {"limit": float("inf")}}}]}
    rows = [{"messages": [{"role": "user", "content": "Hi"}, call]}]
    (row,) = read(writer(rows, CHATS, tmp_path), tmp_path)
    assert row.drop is not None and row.drop.reason == "wrong_type"
    assert "an infinite number" in str(row.drop.detail)


@pytest.mark.parametrize(
    ("answer", "text"), [(1, "1"), (1.5, "1.5"), (1e16, "1e+16"), (True, "true"), (False, "false"), (-0.0, "-0.0")]
)
def test_a_number_or_boolean_as_an_answer_is_json_text(tmp_path: Path, answer: object, text: str) -> None:
    ((record, _, _),) = found(
        as_json_lines([{"prompt": "Hi", "completion": answer}], pa.schema([]), tmp_path), tmp_path
    )
    assert record.messages[1].content == text
    row = {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": answer}]}
    ((record, _, _),) = found(as_json_lines([row], pa.schema([]), tmp_path), tmp_path)
    assert record.messages[1].content == text


def test_a_struct_of_lists_is_a_list_of_structs(tmp_path: Path) -> None:
    columns = {
        "role": ["user", "assistant", "tool", "assistant"],
        "content": ["Hi", None, "3", "Three."],
        "tool_calls": [None, {"id": ["c1"], "function": {"name": ["f"], "arguments": ['{"a": 1}']}}, None, None],
    }
    turns = [
        {"role": "user", "content": "Hi"},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "c1", "function": {"name": "f", "arguments": '{"a": 1}'}}],
        },
        {"role": "tool", "content": "3"},
        {"role": "assistant", "content": "Three."},
    ]
    pq.write_table(pa.Table.from_pylist([{"messages": columns}]), tmp_path / "a.parquet")
    (tmp_path / "b.jsonl").write_text(json.dumps({"messages": turns}))
    first, second = (found({"path": str(tmp_path / name)}, tmp_path) for name in ("a.parquet", "b.jsonl"))
    assert first == second
