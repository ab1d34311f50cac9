"""What the files of a model and a dataset say before weights are loaded."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sfttrain.check.files import check_files
from sfttrain.check.findings import Finding, as_json, lines, verdict, warnings_of
from sfttrain.config import parse_config
from sfttrain.data import open_shards


@pytest.fixture
def found(settings: Callable[..., dict[str, Any]], weightless: Path) -> Callable[..., dict[str, Finding]]:
    """The findings by name, of the model in `weightless` and these shards."""

    def check(**changes: Any) -> dict[str, Finding]:
        config = parse_config(settings(model=str(weightless), **changes))
        return {one.name: one for one in check_files(config, open_shards(config.shards, checksums=False))}

    return check


def change(path: Path, **values: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def test_a_model_that_fits_passes_every_check(found: Callable[..., dict[str, Finding]]):
    assert {one.status for one in found().values()} == {"pass"}


def test_the_same_file_is_known_by_its_hash(found: Callable[..., dict[str, Finding]]):
    one = found()["tokenizer"]
    assert one.what.startswith("same tokenizer as the dataset (sha256 ")
    assert one.figures["dataset_sha256"] == one.figures["model_sha256"]


def test_another_tokenizer_fails(found: Callable[..., dict[str, Finding]], weightless: Path):
    tokenizer = json.loads((weightless / "tokenizer.json").read_text())
    vocab = tokenizer["model"]["vocab"]
    by_id = {id: token for token, id in vocab.items()}
    vocab[by_id[50]], vocab[by_id[51]] = 51, 50
    (weightless / "tokenizer.json").write_text(json.dumps(tokenizer))
    one = found()["tokenizer"]
    assert one.status == "fail" and "id 50 is" in one.what
    assert one.todo.startswith("prepare the dataset with this model's tokenizer")


@pytest.mark.parametrize("part", ["normalizer", "merges"])
def test_a_tokenizer_with_the_same_ids_and_other_rules_is_a_warning(
    part: str, found: Callable[..., dict[str, Finding]], weightless: Path
):
    tokenizer = json.loads((weightless / "tokenizer.json").read_text())
    if part == "normalizer":
        tokenizer["normalizer"] = {"type": "NFC"}
    else:
        tokenizer["model"]["merges"] = tokenizer["model"]["merges"][::-1]
    (weightless / "tokenizer.json").write_text(json.dumps(tokenizer))
    one = found()["tokenizer"]
    assert one.status == "warn" and f"but another {part}" in one.what


def test_merges_in_the_older_form_are_the_same_merges(found: Callable[..., dict[str, Finding]], weightless: Path):
    tokenizer = json.loads((weightless / "tokenizer.json").read_text())
    merges = tokenizer["model"]["merges"]
    tokenizer["model"]["merges"] = [" ".join(one) if isinstance(one, list) else one for one in merges]
    (weightless / "tokenizer.json").write_text(json.dumps(tokenizer, indent=1))
    assert found()["tokenizer"].status == "pass"


def test_a_model_without_a_tokenizer_is_a_warning(found: Callable[..., dict[str, Finding]], weightless: Path):
    (weightless / "tokenizer.json").unlink()
    assert found()["tokenizer"].status == "warn"


def test_fewer_embeddings_than_ids_fail(found: Callable[..., dict[str, Finding]], weightless: Path):
    change(weightless / "config.json", vocab_size=300)
    one = found()["ids"]
    assert one.status == "fail" and "has 300 token ids, fewer than" in one.what


def test_a_special_id_outside_the_embeddings_is_a_warning(found: Callable[..., dict[str, Finding]], weightless: Path):
    change(weightless / "config.json", eos_token_id=[2, 700])
    one = found()["ids"]
    assert one.status == "warn" and "outside its 640 embeddings: eos 700" in one.what


def test_ends_of_answers_that_the_model_does_not_stop_at_are_said(found: Callable[..., dict[str, Finding]]):
    assert "answers end in 2" in found()["ids"].what  # config.json of the model says 0
    assert "generation_config.json of the trained model stops there" in found()["ids"].what


def test_a_sample_longer_than_the_context_fails(
    found: Callable[..., dict[str, Finding]], weightless: Path, make_shards: Callable[..., Path], tmp_path: Path
):
    samples = [([5] * 20 + [2], [-100] * 10 + [5] * 10 + [2]), ([6] * 30 + [2], [-100] + [6] * 29 + [2])]
    data = str(make_shards(tmp_path / "data", [samples]))
    change(weightless / "config.json", max_position_embeddings=31)
    assert found(shards=data)["context"].what == "the longest sample has 31 tokens, the model sees 31"
    change(weightless / "config.json", max_position_embeddings=30)
    one = found(shards=data)["context"]
    assert one.status == "fail" and "more than the 30 of the model's context" in one.what
    assert one.todo.startswith("prepare the dataset with pack.seq_len=30,")


def test_a_context_stretched_by_yarn_counts_in_full(found: Callable[..., dict[str, Finding]], weightless: Path):
    """The longest sample of these shards has fewer than 64 tokens, and more than 16."""
    rope = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16, "rope_theta": 10000.0}
    change(weightless / "config.json", max_position_embeddings=16)
    assert found()["context"].status == "fail"
    change(weightless / "config.json", max_position_embeddings=16, rope_parameters=rope)
    assert found()["context"].figures["context"] == 64


@pytest.mark.parametrize(("trained", "status"), [(1, "warn"), (100, "pass"), (199, "warn")])
def test_nearly_no_or_nearly_all_trained_tokens_are_a_warning(
    trained: int,
    status: str,
    found: Callable[..., dict[str, Finding]],
    make_shards: Callable[..., Path],
    tmp_path: Path,
):
    """In 200 tokens: 0.5%, 50%, 99.5%."""
    ids = [7] * 49 + [2]
    counts = [min(50, max(0, trained - 50 * number)) for number in range(4)]
    samples = [(ids, [-100] * (50 - count) + ids[50 - count :]) for count in counts]
    data = make_shards(tmp_path / "data", [samples])
    assert found(shards=str(data))["trained"].status == status


def with_template(shards: Path, folder: Path, template: str) -> Path:
    """The shards with an entry of their template in the manifest, as `prepare` writes it."""
    import hashlib

    shutil.copytree(shards, folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "tokenizer" / "chat_template.jinja").write_text(template)
    manifest["template"] = {"source": "auto", "sha256": hashlib.sha256(template.encode()).hexdigest()}
    manifest.pop("manifest_hash", None)
    from sftdata.store.manifest import Manifest

    for file in manifest["files"]:
        if file["path"] == "tokenizer/chat_template.jinja":
            file["sha256"] = manifest["template"]["sha256"]
            file["size_bytes"] = len(template.encode())
    Manifest.model_validate(manifest).save(folder)
    return folder


@pytest.mark.parametrize(
    ("given", "status"),
    [
        ({"chat_template.jinja": "{{ messages }}"}, "pass"),
        ({"chat_template.jinja": "{{ messages }}\n"}, "pass"),
        ({"tokenizer_config.json": '{"chat_template": "{{ messages }}"}'}, "pass"),
        (
            {
                "tokenizer_config.json": '{"chat_template": [{"name": "default", "template": "{{ a }}"}, '
                '{"name": "tool_use", "template": "{{ messages }}"}]}'
            },
            "pass",
        ),
        ({"chat_template.jinja": "{{ other }}"}, "warn"),
        ({"tokenizer_config.json": '{"chat_template": "{{ other }}"}'}, "warn"),
        ({}, "pass"),
    ],
)
def test_the_template_of_the_model_is_compared_with_that_of_the_dataset(
    given: dict[str, str],
    status: str,
    found: Callable[..., dict[str, Finding]],
    weightless: Path,
    shards: Path,
    tmp_path: Path,
):
    for name, text in given.items():
        (weightless / name).write_text(text)
    data = with_template(shards, tmp_path / "data", "{{ messages }}")
    one = found(shards=str(data))["template"]
    assert one.status == status
    if status == "warn":
        assert "was written with another chat template" in one.what and one.todo


def test_lines_say_what_to_do_only_where_something_does_not_pass():
    every = [
        Finding("ids", "pass", "fine", "nothing"),
        Finding("rate", "warn", "high", "lower it"),
        Finding("context", "fail", "short", "cut", where="model"),
    ]
    assert lines(every) == [
        "pass  ids        fine",
        "warn  rate       high",
        "                 lower it",
        "fail  context    model: short",
        "                 cut",
    ]
    assert verdict(every) == "1 passed, 1 warning, 1 failed"
    assert warnings_of(every[:2]) == ["check  1 passed, 1 warning", "warn   rate: high; lower it"]
    assert as_json(every)["ok"] is False and as_json(every[:2])["ok"] is True
