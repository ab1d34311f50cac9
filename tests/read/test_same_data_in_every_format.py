"""The same conversations in every file format, and as Python objects, give the same dataset."""

from __future__ import annotations

import csv
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

import sftdata
from sftdata.config import Config, SourceConfig
from sftdata.read import plan_units, rows_of

Row = dict[str, Any]
NO_SHRINKING = [Phase.explicit, Phase.generate]  # of whole runs, which would take minutes


def in_order(value: Any) -> Any:
    """A value whose objects have their keys in the order of the alphabet: Arrow has those of all rows in one order."""
    if isinstance(value, dict):
        return {key: in_order(item) for key, item in sorted(value.items())}
    return [in_order(item) for item in value] if isinstance(value, list) else value


WORDS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=12).filter(
    lambda text: not text.isspace()
)
NUMBERS = st.integers(-(2**63), 2**63 - 1)
FLOATS = st.floats(allow_infinity=False)
# The arguments of a tool: a column of Arrow has one type, and keys in one order.
ARGUMENTS: dict[str, tuple[pa.DataType, st.SearchStrategy[Any]]] = {
    "city": (pa.string(), st.none() | WORDS),
    "days": (pa.int64(), st.none() | NUMBERS),
    "exact": (pa.bool_(), st.none() | st.booleans()),
    "limit": (pa.float64(), st.none() | FLOATS),
    "tags": (pa.list_(pa.string()), st.none() | st.lists(st.none() | WORDS, max_size=3)),
    "where": (
        pa.struct([("lat", pa.float64()), ("names", pa.list_(pa.struct([("de", pa.string()), ("fr", pa.string())])))]),
        st.fixed_dictionaries(
            {},
            optional={"lat": FLOATS, "names": st.lists(st.fixed_dictionaries({"de": WORDS, "fr": st.none() | WORDS}))},
        ).map(lambda given: dict(sorted(given.items()))),
    ),
}
VALUES = st.fixed_dictionaries({}, optional={name: values for name, (_, values) in ARGUMENTS.items()}).map(in_order)
TYPES = pa.struct([(name, kind) for name, (kind, _) in ARGUMENTS.items()])
PROPERTY = st.fixed_dictionaries({"type": st.sampled_from(["string", "integer"])}, optional={"description": WORDS})
PROPERTY_TYPE = pa.struct([("description", pa.string()), ("type", pa.string())])
TOOL = st.builds(
    lambda properties: {
        "type": "function",
        "function": {
            "name": "f",
            "parameters": {
                "type": "object",
                "properties": in_order(properties),
            },
        },
    },
    st.fixed_dictionaries({}, optional=dict.fromkeys(ARGUMENTS, PROPERTY)),
)
TOOL_TYPE = pa.struct(
    [
        ("type", pa.string()),
        (
            "function",
            pa.struct(
                [
                    ("name", pa.string()),
                    ("description", pa.string()),
                    (
                        "parameters",
                        pa.struct(
                            [
                                ("type", pa.string()),
                                ("properties", pa.struct([(name, PROPERTY_TYPE) for name in ARGUMENTS])),
                            ]
                        ),
                    ),
                ]
            ),
        ),
    ]
)
CALL_TYPE = pa.struct(
    [
        ("id", pa.string()),
        ("type", pa.string()),
        ("function", pa.struct([("name", pa.string()), ("arguments", TYPES)])),
    ]
)
TURN_TYPE = pa.struct(
    [
        ("role", pa.string()),
        ("content", pa.string()),
        ("reasoning", pa.string()),
        ("tool_calls", pa.list_(CALL_TYPE)),
        ("tool_call_id", pa.string()),
        ("weight", pa.int64()),
        ("mood", pa.string()),
    ]
)
CHATS = pa.schema([("messages", pa.list_(TURN_TYPE)), ("tools", pa.list_(TOOL_TYPE)), ("note", pa.string())])


@st.composite
def chats(draw: st.DrawFn) -> Row:
    """A conversation with tools, and with nulls, absent keys and unused columns here and there."""
    turns: list[Row] = draw(
        st.sampled_from([[], [{"role": "system", "content": None}], [{"role": "system", "content": "S"}]])
    )
    turns = [*turns, {"role": "user", "content": draw(WORDS)}]
    if draw(st.booleans()):
        function = {"name": "f", "arguments": draw(VALUES)}
        turns.append(
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [{"id": "c1", "type": "function", "function": function}],
            }
        )
        turns.append({"role": "tool", "content": draw(WORDS), "tool_call_id": "c1"})
    optional = {"weight": st.sampled_from([None, 0, 1]), "mood": WORDS}
    turns.append({"role": "assistant", "content": draw(WORDS), **draw(st.fixed_dictionaries({}, optional=optional))})
    row: Row = {"messages": turns}
    if draw(st.booleans()):
        row["tools"] = draw(st.none() | st.lists(TOOL, max_size=1))
    if draw(st.booleans()):
        row["note"] = draw(st.none() | WORDS)
    return row


def as_json_lines(rows: list[Row], schema: pa.Schema, folder: Path) -> Row:
    path = folder / "data.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return {"path": str(path)}


def as_json(rows: list[Row], schema: pa.Schema, folder: Path) -> Row:
    path = folder / "data.json"
    path.write_text(json.dumps(rows, indent=1))
    return {"path": str(path)}


def as_csv(rows: list[Row], schema: pa.Schema, folder: Path) -> Row:
    """Cells are JSON, but for text and for nothing."""
    path = folder / "data.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(schema.names)
        for row in rows:
            cells = [row.get(name) for name in schema.names]
            # Numbers and booleans as spreadsheets and `json` write them; NaN is an empty cell.
            writer.writerow(
                [
                    "" if cell is None or cell != cell else cell if isinstance(cell, str) else json.dumps(cell)
                    for cell in cells
                ]
            )
    return {"path": str(path)}


def as_python_text(rows: list[Row], schema: pa.Schema, folder: Path) -> Row:
    """Cells as pandas' to_csv writes lists: the text of Python."""
    import pandas as pd

    path = folder / "data.csv"
    pd.DataFrame([{name: row.get(name) for name in schema.names} for row in without_nan(rows)], dtype=object).to_csv(
        path, index=False, quoting=csv.QUOTE_NONNUMERIC
    )
    return {"path": str(path)}


def as_parquet(rows: list[Row], schema: pa.Schema, folder: Path) -> Row:
    pq.write_table(pa.Table.from_pylist(rows, schema), folder / "data.parquet")
    return {"path": str(folder / "data.parquet")}


def as_arrow(rows: list[Row], schema: pa.Schema, folder: Path) -> Row:
    table = pa.Table.from_pylist(rows, schema)
    with pa.OSFile(str(folder / "data.arrow"), "wb") as file, pa.ipc.new_stream(file, schema) as writer:
        writer.write_table(table)
    return {"path": str(folder / "data.arrow")}


def as_saved_dataset(rows: list[Row], schema: pa.Schema, folder: Path) -> Row:
    from datasets import Dataset

    Dataset(pa.Table.from_pylist(rows, schema)).save_to_disk(str(folder / "saved"))
    return {"path": str(folder / "saved")}


def as_objects(rows: list[Row], schema: pa.Schema, folder: Path) -> Row:
    return {"rows": rows}


WRITERS: list[Callable[[list[Row], pa.Schema, Path], Row]] = [
    as_json_lines,
    as_json,
    as_csv,
    as_python_text,
    as_parquet,
    as_arrow,
    as_saved_dataset,
    as_objects,
]


def without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: without_nan(item) for key, item in value.items()}
    if isinstance(value, list):
        return [without_nan(item) for item in value]
    return None if value != value else value


def dataset_hash(source: Row, tokenizer: Path, folder: Path) -> tuple[str, int, list[tuple[str, int]]]:
    config = Config(
        tokenizer=str(tokenizer),
        template="qwen2.5",
        sources=[source],
        out=str(folder / "out"),
        check_tool_calls=False,
        lost_context="warn",
    )
    manifest = sftdata.prepare(config, workers=1)
    return manifest.dataset_hash, manifest.counts.packed, [(entry.column, entry.rows) for entry in manifest.unused]


def assert_same(rows: list[Row], schema: pa.Schema, tokenizer: Path, writers: list[Any] = WRITERS) -> None:
    found = {}
    for writer in writers:
        with tempfile.TemporaryDirectory() as folder:
            found[writer.__name__] = dataset_hash(writer(rows, schema, Path(folder)), tokenizer, Path(folder))
    assert len(set(map(repr, found.values()))) == 1, found


FIRST = {
    "messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]
}  # so that none is empty


@settings(max_examples=3, phases=NO_SHRINKING)
@given(st.lists(chats(), min_size=1, max_size=3))
def test_conversations_with_tools_nulls_and_nesting_give_one_dataset(tiny_tokenizer: Path, rows: list[Row]) -> None:
    assert_same([FIRST, *rows], CHATS, tiny_tokenizer)


@settings(max_examples=2, phases=NO_SHRINKING)
@given(
    st.lists(st.tuples(WORDS, st.none() | FLOATS), max_size=3), st.lists(st.tuples(WORDS, st.booleans()), max_size=2)
)
def test_numbers_and_booleans_as_answers_give_one_dataset(
    tiny_tokenizer: Path, numbers: list[tuple[str, float | None]], booleans: list[tuple[str, bool]]
) -> None:
    for kind, pairs in ((pa.float64(), [("Half?", 0.5), *numbers]), (pa.bool_(), [("So?", True), *booleans])):
        schema = pa.schema([("prompt", pa.string()), ("completion", kind)])
        rows = [{"prompt": prompt, "completion": answer} for prompt, answer in pairs]
        assert_same(rows, schema, tiny_tokenizer, [writer for writer in WRITERS if writer is not as_python_text])


def read(source: Row) -> list[Any]:
    config = SourceConfig(**source)
    return [(row.record, row.unused) for unit in plan_units([config]) for row in rows_of(unit, config)]


@settings(max_examples=30)
@given(st.lists(chats(), min_size=1, max_size=4))
def test_every_format_gives_the_same_records(rows: list[Row]) -> None:
    found = {}
    for writer in (as_json_lines, as_json, as_csv, as_python_text, as_parquet, as_arrow):
        with tempfile.TemporaryDirectory() as folder:
            found[writer.__name__] = read(writer(rows, CHATS, Path(folder)))
    assert all(records == found["as_json_lines"] for records in found.values()), found


@pytest.mark.parametrize(
    ("answer", "text"), [(1, "1"), (1.5, "1.5"), (1e16, "1e+16"), (True, "true"), (False, "false"), (-0.0, "-0.0")]
)
def test_a_number_or_boolean_as_an_answer_is_json_text(tmp_path: Path, answer: object, text: str) -> None:
    ((record, _),) = read(as_json_lines([{"prompt": "Hi", "completion": answer}], pa.schema([]), tmp_path))
    assert record.messages[1].content == text
    row = {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": answer}]}
    ((record, _),) = read(as_json_lines([row], pa.schema([]), tmp_path))
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
    assert read({"path": str(tmp_path / "a.parquet")}) == read({"path": str(tmp_path / "b.jsonl")})
