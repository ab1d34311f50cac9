"""`sftdata why`: what happened to a row, with evidence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from command_line import call

import sftdata
from sftdata.errors import DatasetError
from sftdata.store.ledger import read_ledger
from sftdata.view.why import explain

LONG = "The train to the coast leaves at nine and calls at every village on the way down to the sea before noon."


def chat(*turns: str) -> dict[str, Any]:
    roles = ["user", "assistant"] * len(turns)
    return {"messages": [{"role": role, "content": turn} for role, turn in zip(roles, turns)]}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory, tiny_tokenizer: Path) -> Path:
    folder = tmp_path_factory.mktemp("why")
    rows: dict[str, list[Any]] = {
        "a/chat.jsonl": [
            chat("Hi", "Hello", "And?", "Bye"),
            chat("Go on.", LONG),
            chat("Go on.", LONG + " Then it rests."),
        ],
        "b/chat.jsonl": [{"x\x1b": 1}, chat("Hi", "Hello", "And?", "Bye"), chat("Write", "To a@b-c.org")],
        "only.jsonl": [chat("Hi", "word " * 300)],
    }
    for name, content in rows.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("".join(json.dumps(row) + "\n" for row in content))
    settings = {
        "tokenizer": str(tiny_tokenizer),
        "sources": ["a/chat.jsonl", "b/chat.jsonl", "only.jsonl"],
        "out": "out",
        "pack": {"seq_len": 256},
        "dedup": {"near": {"threshold": 0.7}},
        "privacy": "drop",
    }
    (folder / "prepare.yaml").write_text(json.dumps(settings))
    sftdata.prepare(sftdata.load_config(folder / "prepare.yaml"), workers=1)
    return folder / "out"


def test_a_packed_row_is_explained_with_places_turns_and_tokens(dataset: Path) -> None:
    row = read_ledger(dataset).to_pylist()[0]
    (place,) = row["places"]
    text = explain(dataset, "a/chat.jsonl:1")
    assert text.splitlines()[0] == "a/chat.jsonl:1 of a/chat.jsonl: packed"
    assert f"({place['shard']}, {place['row']}), sample {place['index']}: trained messages 2, 4" in text
    assert f"{row['num_tokens']} tokens, {row['num_trained_tokens']} trained" in text
    assert "split train" in text and row["record_id"] in text


@pytest.mark.parametrize(
    ("where", "sentences"),
    [
        (
            "a/chat.jsonl:3",
            ["dropped by dedup as near_duplicate", "duplicate of a/chat.jsonl:2, with a similarity of 0.880"],
        ),
        ("b/chat.jsonl:1", ["dropped by format as unknown_shape"]),
        ("b/chat.jsonl:2", ["dropped by dedup as duplicate", "duplicate of a/chat.jsonl:1"]),
        ("b/chat.jsonl:3", ["dropped by privacy as private_data", "1 email in message 2"]),
        ("only.jsonl:1", ["dropped by pack as overlong", "pack.seq_len is 256"]),
    ],
)
def test_a_dropped_row_is_explained_with_its_evidence(dataset: Path, where: str, sentences: list[str]) -> None:
    text = explain(dataset, where)
    assert text.startswith(f"{where} of ")
    assert all(sentence in text for sentence in sentences), text
    assert "\x1b" not in text


def test_an_ambiguous_name_explains_all_rows_and_extra_parent_folders_are_ignored(dataset: Path) -> None:
    text = explain(dataset, "chat.jsonl:2")
    assert [part.partition(" of ")[0] for part in text.split("\n\n")] == ["a/chat.jsonl:2", "b/chat.jsonl:2"]
    assert explain(dataset, "some/where/b/chat.jsonl:2") == explain(dataset, "b/chat.jsonl:2")


@pytest.mark.parametrize(
    ("where", "hint"),
    [
        ("only.jsonl:2", "the last row of only.jsonl is in line 1"),
        ("other.jsonl:1", "its files are a/chat.jsonl, b/chat.jsonl, only.jsonl"),
        ("only.jsonl", "write it as FILE:LINE"),
    ],
)
def test_a_missing_row_is_a_one_line_error(dataset: Path, where: str, hint: str) -> None:
    with pytest.raises(DatasetError, match=hint):
        explain(dataset, where)
    code, _, error = call("why", dataset, where)
    assert code == 1 and hint in error and len(error.splitlines()) == 1


def test_the_command_prints_the_explanation(dataset: Path) -> None:
    code, output, _ = call("why", dataset, "only.jsonl:1")
    assert code == 0 and output.startswith(explain(dataset, "only.jsonl:1") + "\n")
