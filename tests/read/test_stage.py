from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from sftdata.config import SourceConfig
from sftdata.read import plan_units, rows_of
from sftdata.records.record import Drop, Message, Record, Row

CHAT = Record(messages=(Message(role="user", content="Hi"), Message(role="assistant", content="Hello")))


def rows(path: Path, **settings: object) -> list[Row]:
    source = SourceConfig(path=str(path), **settings)
    return [row for unit in plan_units([source]) for row in rows_of(unit, source)]


def test_every_line_becomes_a_record_or_a_reason_whatever_its_format(tmp_path):
    file = tmp_path / "mixed.jsonl"
    lines = [
        {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]},
        {"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello"}]},
        {"instruction": "Hi", "output": "Hello"},
        {"prompt": "Hi", "completion": "Hello"},
        {"question": "Hi"},
        {"prompt": "Hi", "completion": ""},
        {"prompt": "Hi", "completion": "\ud800"},
    ]
    file.write_text("\n".join(map(json.dumps, lines)) + "\n{")
    found = rows(file)
    assert [row.record for row in found[:4]] == [CHAT] * 4
    assert [(row.line, row.drop.reason) for row in found if row.drop] == [
        (5, "unknown_shape"),
        (6, "empty_answer"),
        (7, "bad_characters"),
        (8, "bad_json"),
    ]
    assert [row.record is None for row in found[4:]] == [True, False, True, True]


def test_columns_are_kept_for_the_ledger(tmp_path):
    file = tmp_path / "a.jsonl"
    file.write_text('{"prompt": "Hi", "completion": "Hello", "user": {"id": 7}, "tag": "\\ud800x"}\n{"user": 3}\n{\n')
    found = rows(file, keep=("user.id", "tag"))
    assert [row.keep for row in found] == [
        {"user.id": 7, "tag": "?x"},
        {"user.id": None, "tag": None},
        {"user.id": None, "tag": None},
    ]
    assert rows(file)[0].keep is None


def test_the_default_system_prompt_is_that_of_the_source(tmp_path):
    file = tmp_path / "a.csv"
    file.write_text("question,answer\nHi,Hello\n")
    (row,) = rows(file, columns={"prompt": "question", "completion": "answer"}, system="Be kind.")
    assert row == Row(2, Record(messages=(Message(role="system", content="Be kind."), *CHAT.messages)), None, None)


GSM = {"columns": {"prompt": "question", "completion": "answer"}}
SEED = {"columns": {"input": "instances.0.input", "output": "instances.0.output"}}


@pytest.mark.parametrize(
    ("name", "settings", "count", "reason"),
    [
        ("mix20k.jsonl", {}, 20_000, None),
        ("gsm8k_train.jsonl", GSM, 7_473, None),
        ("gsm8k_test.jsonl", GSM, 1_319, None),
        ("gsm8k_test.jsonl", {}, 1_319, "unknown_shape"),
        ("toolformer.json", {}, 7_673, None),
        ("glaive_en.json", {}, 300, None),
        ("alpaca_en.json", {}, 999, None),
        ("sharegpt_dummy.json", {}, 500, None),
        ("seed_tasks.jsonl", {}, 175, "missing_field"),
        ("seed_tasks.jsonl", SEED, 175, None),
    ],
)
def test_no_row_of_the_shared_data_is_unaccounted_for(shared, name, settings, count, reason):
    found = rows(shared / "data" / name, **settings)
    assert Counter(row.drop.reason if row.drop else None for row in found) == {reason: count}


def test_records_with_tool_calls_survive_serialization(shared):
    for row in rows(shared / "data" / "glaive_en.json"):
        assert row.record is not None
        assert Record.from_json(row.record.to_json()) == row.record


def test_a_drop_of_the_reader_reaches_the_row(tmp_path):
    file = tmp_path / "a.csv"
    file.write_text("prompt,completion\nHi\n")
    assert rows(file) == [Row(2, None, Drop("bad_row", "1 field where the header has 2"), None)]
