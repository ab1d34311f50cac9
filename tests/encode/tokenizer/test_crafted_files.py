"""The files of a tokenizer from a stranger: whatever is in them, it is one sentence."""

# ruff: noqa: E501 (tables read better with a row a line)
from __future__ import annotations

import json
import os
from collections.abc import Callable
from datetime import date as Date
from pathlib import Path
from typing import Any

import pytest
import tiny_tokenizers

from sftdata.encode.record_encoder import EncodeSettings, RecordEncoder
from sftdata.encode.tokenizer.load import load_tokenizer
from sftdata.errors import TokenizerError

DEEP = b'{"model": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"
CHANGES: dict[str, Callable[[dict[str, Any]], Any]] = {
    "no model": lambda spec: {**spec, "model": None},
    "a model of an unknown type": lambda spec: {**spec, "model": {**spec["model"], "type": "Magic"}},
    "a list": lambda spec: [spec],
    "no vocabulary": lambda spec: {**spec, "model": {"type": "BPE", "merges": []}},
    "a vocabulary of texts": lambda spec: {**spec, "model": {**spec["model"], "vocab": {"a": "0"}}},
    "a huge id": lambda spec: {**spec, "model": {**spec["model"], "vocab": {**spec["model"]["vocab"], "zz": 2**40}}},
    "a negative id": lambda spec: {**spec, "model": {**spec["model"], "vocab": {**spec["model"]["vocab"], "zz": -1}}},
    "an id that is not whole": lambda spec: {**spec, "model": {**spec["model"], "vocab": {"a": 1.5}}},
    "merges of what is not there": lambda spec: {**spec, "model": {**spec["model"], "merges": ["zq zq"]}},
    "merges that are a number": lambda spec: {**spec, "model": {**spec["model"], "merges": 5}},
    "merges of numbers": lambda spec: {**spec, "model": {**spec["model"], "merges": [5]}},
    "added tokens as a text": lambda spec: {**spec, "added_tokens": "x"},
    "added tokens that are texts": lambda spec: {**spec, "added_tokens": ["x"]},
    "an added token without an id": lambda spec: {**spec, "added_tokens": [{"content": "x"}]},
    "an added token with a huge id": lambda spec: {**spec, "added_tokens": [{"content": "x", "id": 2**31}]},
    "two added tokens of one id": lambda spec: {
        **spec, "added_tokens": [{**spec["added_tokens"][0], "content": text} for text in ("x", "y")]
    },
    "an invalid pattern": lambda spec: {
        **spec, "pre_tokenizer": {"type": "Split", "pattern": {"Regex": "(["}, "behavior": "Isolated", "invert": False}
    },
    "a pre-tokenizer that is a number": lambda spec: {**spec, "pre_tokenizer": 5},
    "a decoder of an unknown type": lambda spec: {**spec, "decoder": {"type": "Magic"}},
}  # fmt: skip
CONTENTS = {
    "empty": b"",
    "not UTF-8": b'{"model": "\xff"}',
    "NaN": b'{"model": NaN}',
    "deep": DEEP,
    "cut": b'{"model": {',
}
OTHERS = {
    "tokenizer_config.json": ["[]", "5", '{"added_tokens_decoder": [1]}', '{"added_tokens_decoder": {"1": 2}}', "[" * 99999,
                              '{"additional_special_tokens": 5}', '{"tokenizer_class": ["x"]}'],
    "special_tokens_map.json": ["[]", '{"additional_special_tokens": 5}'],
    "added_tokens.json": ["[]"],
}  # fmt: skip


def use(folder: Path) -> None:
    files = load_tokenizer(str(folder))
    encoder = RecordEncoder(EncodeSettings(files=files, date=str(Date(2026, 1, 1))))
    encoder.load()
    encoder.encoder.encode(["Hello"])


def is_sentence(error: TokenizerError) -> bool:
    return "\n" not in str(error) and len(str(error)) < 1000


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    built: Path = tiny_tokenizers.build("byte_level", tmp_path / "theirs")
    return built


@pytest.mark.parametrize("name", CHANGES)
def test_a_crafted_tokenizer_json_is_one_sentence(folder: Path, name: str) -> None:
    path = folder / "tokenizer.json"
    path.write_text(json.dumps(CHANGES[name](json.loads(path.read_text()))))
    with pytest.raises(TokenizerError) as caught:
        use(folder)
    assert is_sentence(caught.value)


@pytest.mark.parametrize("name", CONTENTS)
def test_a_tokenizer_json_that_is_not_json_is_one_sentence(folder: Path, name: str) -> None:
    (folder / "tokenizer.json").write_bytes(CONTENTS[name])
    with pytest.raises(TokenizerError, match=r"cannot read tokenizer\.json|does not contain a tokenizer") as caught:
        use(folder)
    assert is_sentence(caught.value)


@pytest.mark.parametrize(("name", "text"), [(name, text) for name, texts in OTHERS.items() for text in texts])
def test_other_files_of_wrong_types_are_one_sentence(folder: Path, name: str, text: str) -> None:
    (folder / name).write_text(text)
    with pytest.raises(TokenizerError) as caught:
        use(folder)
    assert is_sentence(caught.value)


def test_a_chat_template_that_is_not_text_is_one_sentence(folder: Path) -> None:
    (folder / "chat_template.jinja").write_bytes(b"\xff\xfe")
    with pytest.raises(TokenizerError, match="UnicodeDecodeError"):
        use(folder)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read every file")
def test_a_file_that_may_not_be_read_is_one_sentence(folder: Path) -> None:
    (folder / "tokenizer.json").chmod(0)
    with pytest.raises(TokenizerError, match=r"cannot read tokenizer\.json"):
        use(folder)
