"""The oracle agrees with the encoder for every built-in template, and for tokenizers of every kind."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

import pytest
import tiny_tokenizers
from families import ENDS, Pair
from hypothesis import given
from strategies import conversations, few_examples

quick = few_examples(6)
# Kinds other than byte-level are tested with templates that differ in what they write around turns.
TEMPLATES_BY_KIND = {
    "byte_level": tuple(sorted(ENDS)),
    "nfc": ("chatml", "mistral-v0.3", "qwen3"),
    "phi": ("alpaca", "chatml", "gemma2", "llama2", "mistral-v0.3", "phi3", "zephyr"),
    "sentence_piece": ("chatml", "gemma2", "gpt-oss", "llama2", "mistral-v0.3", "phi3", "qwen3", "vicuna", "zephyr"),
    "unigram": ("alpaca", "chatml", "gemma2", "llama2", "mistral-v0.3", "phi3", "qwen3", "vicuna", "zephyr"),
}
CASES = [(kind, name) for kind, names in TEMPLATES_BY_KIND.items() for name in names]


@functools.cache
def pair_of(folder: Path, template: str) -> Pair:
    return Pair(folder, template, ends=template)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("tokenizers")
    return {kind: tiny_tokenizers.build(kind, folder) for kind in tiny_tokenizers.KINDS}


@pytest.fixture(params=CASES, ids=["-".join(case) for case in CASES])
def pair(request: pytest.FixtureRequest, folders: dict[str, Path]) -> Pair:
    kind, template = request.param
    folder = folders[kind]
    if template.startswith("deepseek"):
        folder = _with_deepseek_names(folder)
    return pair_of(folder, template)


def _with_deepseek_names(folder: Path) -> Path:
    """The same tokenizer with DeepSeek's tokens as its BOS and EOS."""
    changed = folder.with_name(f"{folder.name}_deepseek")
    if not changed.exists():
        changed.mkdir()
        (changed / "tokenizer.json").write_bytes((folder / "tokenizer.json").read_bytes())
        config = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
        config |= {"bos_token": "<｜begin▁of▁sentence｜>", "eos_token": "<｜end▁of▁sentence｜>"}
        (changed / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    return changed


@quick
@given(conversations(control=False))
def test_plain_conversations_get_the_ids_and_labels_of_the_definition(pair: Pair, conversation: dict[str, Any]) -> None:
    assert pair.problems(conversation) == []


@quick
@given(conversations(tools=True, reasoning=True, weights=True, kwargs=({"enable_thinking": False},)))
def test_tools_reasoning_weights_and_control_strings_are_right_or_dropped(
    pair: Pair, conversation: dict[str, Any]
) -> None:
    assert pair.problems(conversation) == []


@quick
@given(conversations(any_order=True, reasoning=True))
def test_roles_in_any_order_are_right_or_dropped(pair: Pair, conversation: dict[str, Any]) -> None:
    assert pair.problems(conversation) == []
