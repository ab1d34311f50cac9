"""The same conversations in every format give the same samples and the same dataset, with every template here."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import tiny_tokenizers
from chosen_chats import CHATS, PACKED, SCHEMA
from data_formats import (
    OTHER_JSON,
    WRITERS,
    Writer,
    as_arrow_stream,
    as_csv,
    as_json_lines,
    as_objects,
    as_parquet,
    as_table,
    emptied,
    read,
)
from families import SHARED, TEMPLATES
from hypothesis import given, settings
from hypothesis import strategies as st
from made_chats import CHATS as MADE
from made_chats import chats

import sftdata
from sftdata.config import Config
from sftdata.encode.record_encoder import EncodeSettings, RecordEncoder
from sftdata.encode.tokenizer.load import load_tokenizer
from sftdata.records.record import Drop, Record, Row

NAMES = sorted(path.stem for path in TEMPLATES.glob("*.jinja"))
FORMATS = (*WRITERS, *OTHER_JSON)
OTHERS = FORMATS[1:]
Rows = Mapping[str, list[Row]]


@pytest.fixture(scope="module")
def rows_by_format(tmp_path_factory: pytest.TempPathFactory) -> Rows:
    """What is read of the chosen conversations, by the name of their format."""
    found = {}
    for writer in FORMATS:
        folder = tmp_path_factory.mktemp(writer.__name__)
        found[writer.__name__] = read(writer(CHATS, SCHEMA, folder), folder)
    return found


@pytest.fixture(scope="module")
def small_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tokenizer with the markers of all families."""
    return tiny_tokenizers.build("byte_level", tmp_path_factory.mktemp("same_data"))


def records_of(rows: list[Row]) -> list[Record | None]:
    return [row.record if row.drop is None else None for row in rows]


@pytest.mark.parametrize("writer", OTHERS, ids=lambda writer: writer.__name__)
def test_every_format_gives_the_same_records_byte_for_byte(rows_by_format: Rows, writer: Writer) -> None:
    expected, found = rows_by_format[FORMATS[0].__name__], rows_by_format[writer.__name__]
    assert sum(row.drop is None for row in found) == PACKED
    assert [row.unused for row in found] == [row.unused for row in expected]
    for record, other in zip(records_of(expected), records_of(found), strict=True):
        # Bytes, since 1 == 1.0 == True in Python.
        assert (other and other.to_json()) == (record and record.to_json())


def test_the_records_are_what_the_rows_say(rows_by_format: Rows) -> None:
    texts = [record.to_json().decode() for record in records_of(rows_by_format["as_parquet"]) if record is not None]
    assert texts[1] == (
        '{"messages":[{"role":"system","content":"Be brief."},{"role":"user","content":"Null is no turn?"},'
        '{"role":"assistant","content":"None."}]}'
    )
    assert texts[23] == (
        '{"messages":[{"role":"user","content":"Find it."},{"role":"assistant","content":null,"tool_calls":['
        '{"id":"call00001","type":"function","function":{"name":"find","arguments":{"city":"Zürich","count":3,'
        '"exact":true,"limit":0.1,"tags":["a",null,"","\u2028"],"where":{"lat":1.5,"names":[{"de":"Zürich"},'
        '{"fr":"Zurich"},{}]}}}}]},{"role":"tool","content":"{}","tool_call_id":"call00001"},'
        '{"role":"assistant","content":"Found."}],"tools":[{"type":"function","function":{"name":"find",'
        '"description":"To find.","parameters":{"type":"object","properties":{"city":{"type":"string",'
        '"description":"Its \\"name\\"","enum":["Zürich","Genève",""]},"count":{"type":"integer"},"where":'
        '{"type":"object","properties":{"lat":{"type":"number","description":"Nördlich."}}}},"required":["city"]}}}]}'
    )
    assert '"arguments":{"count":-9223372036854775808,"limit":5e-324,"tags":[],"where":{}}' in texts[25]
    assert '"arguments":{"city":"","limit":1000.0,"where":{"names":[]}}' in texts[26]
    assert '"chat_template_kwargs":{"enable_thinking":false}' in texts[31]


@cache
def encoder_of(folder: Path, template: str) -> RecordEncoder:
    """An encoder, kept for all tests of this module."""
    files = load_tokenizer(str(folder))
    return RecordEncoder(EncodeSettings(files=files, template=template, date="2026-01-01", lost_context="warn"))


def encoded(encoder: RecordEncoder, rows: list[Row]) -> tuple[list[Any], Any]:
    """The samples of rows as bytes, or why there are none; and what was counted."""
    encoder.notes.clear()
    results = encoder.encode([record for record in records_of(rows) if record is not None])
    samples = [
        result
        if isinstance(result, Drop)
        else [(one.input_ids.tobytes(), one.labels.tobytes(), one.turns) for one in result]
        for result in results
    ]
    return samples, dict(encoder.notes)


def assert_same_samples(encoder: RecordEncoder, rows_by_format: Rows) -> None:
    expected = encoded(encoder, rows_by_format[FORMATS[0].__name__])
    assert sum(not isinstance(result, Drop) for result in expected[0]) > 20
    different = [name for name, rows in rows_by_format.items() if encoded(encoder, rows) != expected]
    assert different == []


@pytest.mark.parametrize("template", NAMES)
def test_every_format_gives_the_same_samples_with_every_template(
    small_folder: Path, rows_by_format: Rows, template: str
) -> None:
    assert_same_samples(encoder_of(small_folder, template), rows_by_format)


@pytest.mark.parametrize("name", sorted(SHARED))
def test_every_format_gives_the_same_samples_with_the_shared_tokenizers(
    shared: Path, rows_by_format: Rows, name: str
) -> None:
    assert_same_samples(encoder_of(shared / "tokenizers" / name, "auto"), rows_by_format)


@pytest.mark.parametrize("template", ["deepseek-r1", "llama3.1", "mistral-nemo", "qwen3"])
@settings(max_examples=5)
@given(rows=st.lists(chats(), min_size=1, max_size=4))
def test_made_conversations_give_the_same_samples(small_folder: Path, template: str, rows: list[Any]) -> None:
    found = []
    for writer in (as_json_lines, as_csv, as_parquet, as_arrow_stream, as_objects, as_table):
        with tempfile.TemporaryDirectory() as folder:
            read_rows = read(writer(rows, MADE, Path(folder)), Path(folder))
        found.append(encoded(encoder_of(small_folder, template), read_rows))
    assert all(one == found[0] for one in found)


# What every template writes, so that a whole run tries no other templates.
SIMPLE = [row for row in CHATS if row.keys() <= {"messages", "meta", "note"} and len(row["messages"]) == 2]


def dataset_hash(writer: Writer, rows: list[Any], tokenizer: Path, template: str, folder: Path) -> str:
    source = writer(rows, SCHEMA, emptied(folder / "data"))
    given = {"tokenizer": str(tokenizer), "template": template, "lost_context": "warn", "out": str(folder / "out")}
    config = Config(sources=[source], pack={"seq_len": 1 << 15}, **given)
    manifest = sftdata.prepare(config, workers=1, overwrite=True).manifest
    assert manifest.counts.packed == (PACKED if rows is CHATS else len(SIMPLE) - 3)
    return manifest.dataset_hash


def test_every_format_gives_one_dataset(small_folder: Path, tmp_path: Path) -> None:
    hashes = {writer.__name__: dataset_hash(writer, CHATS, small_folder, "qwen3", tmp_path) for writer in FORMATS}
    assert len(set(hashes.values())) == 1, hashes


@pytest.mark.parametrize(("number", "template"), [*enumerate(NAMES)])
def test_two_formats_give_one_dataset_with_every_template(
    small_folder: Path, tmp_path: Path, number: int, template: str
) -> None:
    """Each format in turn."""
    two = (FORMATS[0], OTHERS[number % len(OTHERS)])
    first, second = (dataset_hash(writer, SIMPLE, small_folder, template, tmp_path) for writer in two)
    assert first == second
