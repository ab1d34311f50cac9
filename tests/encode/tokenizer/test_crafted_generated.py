"""The files of a tokenizer from a stranger, changed anywhere: they are a tokenizer that works, or one sentence."""

# ruff: noqa: E501 (tables read better with a row a line)
from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import tiny_tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st
from small_chats import chat

from sftdata.encode.encoded import EncodedSample
from sftdata.encode.record_encoder import EncodeSettings, RecordEncoder
from sftdata.encode.tokenizer.load import load_tokenizer
from sftdata.encode.tokenizer.stops import stop_tokens
from sftdata.errors import SftDataError
from sftdata.records.faults import is_fault
from sftdata.records.record import Drop

FLAGS = dict.fromkeys(("lstrip", "rstrip", "normalized", "single_word"), False)
EOS = {"content": "</s>", "special": True, **FLAGS}
SETTINGS = {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": 10**9, "eos_token": "</s>", "added_tokens_decoder": {"1": EOS}}  # fmt: skip
FILES: dict[str, Any] = {
    "tokenizer_config.json": SETTINGS,
    "special_tokens_map.json": {"eos_token": EOS, "additional_special_tokens": ["<|im_end|>"]},
    "added_tokens.json": {"</s>": 1},
    "generation_config.json": {"eos_token_id": [1, 2], "max_new_tokens": 9},
}
NAMES = ["tokenizer.json", "tokenizer.json", "tokenizer.json", *FILES]
FIXED = {"strategy": {"Fixed": 10**12}, "direction": "Right", "pad_to_multiple_of": None, "pad_id": 0, "pad_type_id": 0, "pad_token": "x"}  # fmt: skip
SHORT = {"max_length": 1, "strategy": "LongestFirst", "stride": 5, "direction": "Right"}
VALUES: list[Any] = [
    None, True, False, 0, -1, 1, 2**24, 2**31, 2**32, 2**63, 2**64, 10**30, 1.5, 1e308, "", "x", "x" * 5000, "\ud800", "\x00", "</s>", "<new>", [], [1], ["x"],
    [[]], {}, {"a": 1}, {"type": "Magic"}, {"type": 5}, {"content": 5}, {"content": "<new>", "id": 7}, FIXED, SHORT,
    {"type": "Sequence", "normalizers": []}, {"type": "Replace", "pattern": {"String": ""}, "content": "a"}, {"type": "Replace", "pattern": {"Regex": "(["}, "content": "a"},
    {"type": "Precompiled", "precompiled_charsmap": "BAAAAAAAAAA="}, {"type": "Split", "pattern": {"Regex": ""}, "behavior": "Isolated", "invert": True},
    {"type": "Metaspace", "replacement": "ab", "prepend_scheme": "always"}, {"type": "Strip", "content": "a", "start": 2**40, "stop": 2**40},
]  # fmt: skip
BYTES = [b"", b"[", b"{", b'"', b"\xff", b"\x00", b"9" * 400, b"[" * 3000, b'{"a":' * 3000, b"1e999", b"NaN", b"\\ud800", b"\xef\xbb\xbf", b","]  # fmt: skip
KEYS = ["type", "id", "content", "vocab", "merges", "unk_token", "unk_id", "byte_fallback", "extra_special_tokens", "eos_token", "chat_template", "added_tokens_decoder"]  # fmt: skip


def changed_value(value: Any, steps: list[int], how: str, new: Any, key: str) -> Any:
    """A JSON value with one part of it changed. Each step leads to an entry of an object or a list."""
    holder: Any = [value]
    at: Any = 0
    for step in steps:
        inner = holder[at]
        if not isinstance(inner, (dict, list)) or not inner:
            break
        holder, at = inner, list(inner)[step % len(inner)] if isinstance(inner, dict) else step % len(inner)
    if how == "remove" and len(steps):
        del holder[at]
    elif how == "add" and isinstance(holder[at], dict):
        holder[at][key] = new
    elif how == "add" and isinstance(holder[at], list):
        holder[at].append(new)
    elif how == "grow" and type(holder[at]) is int:
        holder[at] = holder[at] * 2 + 1
    elif how == "grow" and isinstance(holder[at], str):
        holder[at] += "x"
    else:
        holder[at] = new
    return value


CHANGES = st.tuples(
    st.sampled_from(NAMES), st.lists(st.integers(0, 500), min_size=1, max_size=5), st.sampled_from(["remove", "add", "grow", "set"]),
    st.sampled_from(VALUES), st.sampled_from(KEYS),
)  # fmt: skip
CUTS = st.tuples(st.sampled_from(NAMES), st.floats(0, 1), st.integers(0, 50), st.sampled_from(BYTES), st.booleans())


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    base = tmp_path_factory.mktemp("tokenizers")
    folders = {kind: tiny_tokenizers.build(kind, base) for kind in ("byte_level", "sentence_piece", "unigram")}
    for folder in folders.values():
        for name, value in FILES.items():
            (folder / name).write_text(json.dumps(value))
    return folders


def use(folder: Path) -> None:
    """Load the tokenizer and encode with it; what is said of it is one sentence."""
    try:
        files = load_tokenizer(str(folder))
        files.config(), stop_tokens(files)
        encoder = RecordEncoder(EncodeSettings(files=files, date="2026-01-01"))
        encoder.check()
        encoder.load()
        assert encoder.encoder.agrees(["Hello"]) in (True, False)
        assert encoder.id_of("eos_token") is None or encoder.end_ids
    except SftDataError as error:
        assert "\n" not in str(error), str(error)
        assert len(str(error)) < 1000, str(error)
        return
    try:
        (found,) = encoder.encode([chat("Hi </s>", "Hello.")])
    except BaseException as error:  # such as a character that is not in the vocabulary of a tokenizer without <unk>
        if not is_fault(error):  # of which the stage makes a reason of the row
            raise
    else:
        assert isinstance(found, Drop) or all(isinstance(one, EncodedSample) for one in found)


def changed(folder: Path, name: str, change: Callable[[bytes], bytes]) -> Iterator[Path]:
    """A copy of a folder with one file changed."""
    with TemporaryDirectory() as base:
        copy = Path(base, "theirs")
        shutil.copytree(folder, copy)
        (copy / name).write_bytes(change((copy / name).read_bytes()))
        yield copy


@pytest.mark.parametrize("kind", ["byte_level", "sentence_piece", "unigram"])
def test_values_of_any_type_anywhere(made: dict[str, Path], kind: str) -> None:
    @settings(max_examples=25)
    @given(CHANGES)
    def holds(each: tuple[str, list[int], str, Any, str]) -> None:
        name, *how = each

        def change(data: bytes) -> bytes:
            return json.dumps(changed_value(json.loads(data), *how)).encode()

        for folder in changed(made[kind], name, change):
            use(folder)

    holds()


@pytest.mark.parametrize("kind", ["byte_level", "unigram"])
def test_bytes_removed_and_put_in_anywhere(made: dict[str, Path], kind: str) -> None:
    @settings(max_examples=25)
    @given(CUTS)
    def holds(each: tuple[str, float, int, bytes, bool]) -> None:
        name, share, length, put_in, at_the_end = each

        def cut(data: bytes) -> bytes:
            at = int(share * len(data))
            return data[:at] + put_in + (b"" if at_the_end else data[at + length :])

        for folder in changed(made[kind], name, cut):
            use(folder)

    holds()
