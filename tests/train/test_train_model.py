"""Which models are refused for a dataset, before any weight is read."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sftdata.errors import ModelError
from sfttrain.config import config_of
from sfttrain.data import open_shards
from sfttrain.model import check_model, cpu_has_bfloat16, stop_ids


@pytest.fixture
def weightless(tiny_model: Path, tmp_path: Path) -> Path:
    """The model's config and tokenizer alone: whatever is refused here is refused before weights are read."""
    folder = tmp_path / "weightless"
    folder.mkdir()
    for name in ("config.json", "tokenizer.json"):
        shutil.copy(tiny_model / name, folder)
    return folder


@pytest.fixture
def check(settings: Callable[..., dict[str, Any]], shards: Path) -> Callable[[Path | str], str]:
    """check_model on a model and the dataset."""
    return lambda model: check_model(config_of(settings(model=str(model))), open_shards(shards, checksums=False))


def rewrite(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def test_the_same_tokenizer_in_another_layout_is_the_same(check, weightless: Path):
    def change(tokenizer: dict[str, Any]) -> None:
        model = tokenizer["model"]
        model["vocab"] = dict(sorted(model["vocab"].items()))
        tokenizer["post_processor"] = None

    rewrite(weightless / "tokenizer.json", change)
    assert "is the dataset's" in check(weightless)


def test_a_token_with_another_id_is_refused_by_name(check, weightless: Path):
    def change(tokenizer: dict[str, Any]) -> None:
        vocab = tokenizer["model"]["vocab"]
        by_id = {id: token for token, id in vocab.items()}
        vocab[by_id[50]], vocab[by_id[51]] = 51, 50

    rewrite(weightless / "tokenizer.json", change)
    with pytest.raises(ModelError, match="tokenizer is not the dataset's: id 50 is"):
        check(weightless)


def test_an_added_token_that_the_dataset_lacks_is_refused(check, weightless: Path):
    def change(tokenizer: dict[str, Any]) -> None:
        tokenizer["added_tokens"].append({**tokenizer["added_tokens"][0], "id": 620, "content": "<|extra|>"})

    rewrite(weightless / "tokenizer.json", change)
    with pytest.raises(ModelError, match=r"id 620 is no token in the dataset and '<\|extra\|>' in the model"):
        check(weightless)


def test_a_vocabulary_too_small_for_the_ids_is_refused(check, weightless: Path):
    rewrite(weightless / "config.json", lambda config: config.update(vocab_size=300))
    with pytest.raises(ModelError, match="knows 300 ids"):
        check(weightless)


def test_a_model_without_a_tokenizer_is_judged_by_its_vocabulary_alone(check, weightless: Path):
    (weightless / "tokenizer.json").unlink()
    assert "without a tokenizer" in check(weightless)


def test_a_folder_that_is_not_there_is_said_to_be_not_there(check, tmp_path: Path):
    with pytest.raises(ModelError, match="is not there"):
        check(tmp_path / "nowhere")


def test_a_folder_without_a_model_is_refused(check, tmp_path: Path):
    with pytest.raises(ModelError, match="give a folder with"):
        check(tmp_path)


def test_bfloat16_is_for_processors_made_for_it(tmp_path: Path):
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("processor : 0\nflags\t\t: fpu avx2 avx512f\n")
    assert not cpu_has_bfloat16(cpuinfo)
    cpuinfo.write_text("processor : 0\nflags\t\t: fpu avx2 avx512f avx512_bf16\n")
    assert cpu_has_bfloat16(cpuinfo)
    assert not cpu_has_bfloat16(tmp_path / "absent")


@pytest.mark.parametrize(("known", "expected"), [(None, [2]), (0, [0, 2]), ([0, 2], [0, 2])])
def test_generation_stops_where_trained_answers_end(known: object, expected: list[int]):
    class Generation:
        eos_token_id = known

    class Model:
        generation_config = Generation()

    stop_ids(Model(), (2,))
    assert Model.generation_config.eos_token_id == expected
