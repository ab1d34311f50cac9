"""Which models are refused for a dataset, before any weights are loaded."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sftdata.errors import ModelError
from sfttrain.check.files import check_files
from sfttrain.check.findings import raise_first_fail
from sfttrain.config import parse_config
from sfttrain.data import open_shards
from sfttrain.model import add_stop_ids, read_vocabulary


@pytest.fixture
def check(settings: Callable[..., dict[str, Any]], shards: Path) -> Callable[[Path | str], str]:
    """What a run says of a model's tokenizer, or raises of its files."""

    def checked(model: Path | str) -> str:
        found = check_files(parse_config(settings(model=str(model))), open_shards(shards, checksums=False))
        raise_first_fail(found)
        return found[0].what

    return checked


def rewrite(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def test_a_tokenizer_json_in_another_order_is_the_same_tokenizer(check, weightless: Path):
    def change(tokenizer: dict[str, Any]) -> None:
        model = tokenizer["model"]
        model["vocab"] = dict(sorted(model["vocab"].items()))
        tokenizer["post_processor"] = None

    rewrite(weightless / "tokenizer.json", change)
    assert "same tokenizer as the dataset" in check(weightless)


def test_a_token_with_another_id_is_refused(check, weightless: Path):
    def change(tokenizer: dict[str, Any]) -> None:
        vocab = tokenizer["model"]["vocab"]
        by_id = {id: token for token, id in vocab.items()}
        vocab[by_id[50]], vocab[by_id[51]] = 51, 50

    rewrite(weightless / "tokenizer.json", change)
    with pytest.raises(ModelError, match="tokenizer differs from the dataset's: id 50 is"):
        check(weightless)


def test_an_added_token_that_the_dataset_lacks_is_refused(check, weightless: Path):
    def change(tokenizer: dict[str, Any]) -> None:
        tokenizer["added_tokens"].append({**tokenizer["added_tokens"][0], "id": 620, "content": "<|extra|>"})

    rewrite(weightless / "tokenizer.json", change)
    with pytest.raises(ModelError, match=r"id 620 is unused in the dataset and '<\|extra\|>' in the model"):
        check(weightless)


def test_a_vocabulary_too_small_for_the_ids_is_refused(check, weightless: Path):
    rewrite(weightless / "config.json", lambda config: config.update(vocab_size=300))
    with pytest.raises(ModelError, match="has 300 token ids, fewer than"):
        check(weightless)


def test_of_a_model_without_a_tokenizer_only_the_vocabulary_size_is_checked(check, weightless: Path):
    (weightless / "tokenizer.json").unlink()
    assert "the model has no tokenizer to compare" in check(weightless)


def test_a_folder_that_does_not_exist_is_refused(check, tmp_path: Path):
    with pytest.raises(ModelError, match="does not exist"):
        check(tmp_path / "nowhere")


def test_a_folder_without_a_model_is_refused(check, tmp_path: Path):
    with pytest.raises(ModelError, match="give a folder with"):
        check(tmp_path)


@pytest.mark.parametrize(("known", "expected"), [(None, [2]), (0, [0, 2]), ([0, 2], [0, 2])])
def test_generation_stops_where_trained_answers_end(known: object, expected: list[int]):
    class Generation:
        eos_token_id = known

    class Model:
        generation_config = Generation()

    add_stop_ids(Model(), (2,))
    assert Model.generation_config.eos_token_id == expected


def test_a_vocabulary_of_a_unigram_model_is_a_list_in_the_order_of_its_ids(tmp_path: Path):
    content = {"model": {"vocab": [["<unk>", 0.0], ["a", -1.5]]}, "added_tokens": [{"content": "<end>", "id": 2}]}
    (tmp_path / "tokenizer.json").write_text(json.dumps(content))
    assert read_vocabulary(tmp_path / "tokenizer.json") == {"<unk>": 0, "a": 1, "<end>": 2}


def test_a_file_that_is_not_a_tokenizer_json_is_refused(tmp_path: Path):
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(ModelError, match=r"is not a tokenizer\.json"):
        read_vocabulary(tmp_path / "tokenizer.json")
