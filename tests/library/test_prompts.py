"""Prompts of a file are id for id what the answers of a dataset were trained after."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import sftdata
from sftdata.errors import ConfigError, SourceError
from sftdata.library.prompts import read_prompts

USER = {"role": "user", "content": "Who?"}
ANSWER = {"role": "assistant", "content": "Me"}


def write(path: Path, *rows: Any) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def prepare(folder: Path, tokenizer: Path, *rows: Any, **source: Any) -> Path:
    data = write(folder / "data.jsonl", *rows)
    sources = [{"path": str(data), **source}]
    sftdata.prepare({"tokenizer": str(tokenizer), "sources": sources, "out": str(folder / "out")})
    return folder / "out"


@pytest.fixture
def dataset(tmp_path: Path, tiny_tokenizer: Path) -> Path:
    rows = [{"messages": [USER, ANSWER, {"role": "user", "content": f"So {n}?"}, ANSWER]} for n in range(3)]
    return prepare(tmp_path, tiny_tokenizer, *rows, system="Be short.")


def test_a_prompt_is_what_comes_before_the_last_trained_turn_of_the_sample(dataset: Path, tmp_path: Path):
    trained = set()
    for sample in sftdata.open(dataset).samples:
        start = max(at for at, label in enumerate(sample.labels) if label != -100 and sample.labels[at - 1] == -100)
        trained.add(tuple(sample.input_ids[:start]))
    prompts = read_prompts(dataset, tmp_path / "data.jsonl")
    assert {prompt.ids for prompt in prompts} == trained
    assert [prompt.reference for prompt in prompts] == ["Me", "Me", "Me"]
    assert [prompt.where for prompt in prompts] == ["data.jsonl:1", "data.jsonl:2", "data.jsonl:3"]


def test_a_chat_that_ends_with_a_question_gives_the_ids_of_transformers_chat_template(dataset: Path, tmp_path: Path):
    from transformers import AutoTokenizer

    asked = {"role": "user", "content": "héllo <|im_end|>?"}
    (prompt,) = read_prompts(dataset, write(tmp_path / "asked.jsonl", {"messages": [USER]}))
    tokenizer = AutoTokenizer.from_pretrained(dataset / "tokenizer")
    chat = [{"role": "system", "content": "Be short."}, USER]
    assert list(prompt.ids) == tokenizer.apply_chat_template(chat, add_generation_prompt=True)["input_ids"]
    assert prompt.reference is None
    (prompt,) = read_prompts(dataset, write(tmp_path / "asked.jsonl", {"messages": [asked]}))
    assert list(prompt.ids).count(2) == 2  # the ends of system and user: what a user writes is no control token


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "Who?"},
        {"prompt": "Who?", "completion": "Me"},
        {"instruction": "Who?"},
        {"conversations": [{"from": "human", "value": "Who?"}]},
    ],
    ids=["prompt", "completion", "alpaca", "sharegpt"],
)
def test_the_formats_of_prepare_are_read_with_or_without_an_answer(dataset: Path, tmp_path: Path, row: Any):
    (prompt,) = read_prompts(dataset, write(tmp_path / "file.jsonl", row))
    (chat,) = read_prompts(dataset, write(tmp_path / "chat.jsonl", {"messages": [USER, ANSWER]}))
    assert prompt.ids == chat.ids
    assert prompt.messages == (("system", "Be short."), ("user", "Who?"))


def test_a_row_that_is_no_chat_is_refused_by_file_and_line(dataset: Path, tmp_path: Path):
    with pytest.raises(SourceError, match=r"file\.jsonl:2: cannot be a prompt"):
        read_prompts(dataset, write(tmp_path / "file.jsonl", {"messages": [USER]}, {"x": 1}))


def test_sources_with_different_settings_are_not_guessed_between(tmp_path: Path, tiny_tokenizer: Path):
    one = write(tmp_path / "one.jsonl", {"messages": [USER, ANSWER]})
    two = write(tmp_path / "two.jsonl", {"messages": [{"role": "user", "content": "Which?"}, ANSWER]})
    sources = [{"path": str(one), "system": "One."}, {"path": str(two)}]
    sftdata.prepare({"tokenizer": str(tiny_tokenizer), "sources": sources, "out": str(tmp_path / "out")})
    with pytest.raises(ConfigError, match=r"have different settings \(system\)"):
        read_prompts(tmp_path / "out", one)
    (prompt,) = read_prompts(tmp_path / "out", one, like="one.jsonl")
    assert prompt.messages[0] == ("system", "One.")
