"""`sfttrain check`: a line for each check, JSON for programs, exit code 1 where one fails, and nothing is written."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from sfttrain.cli.app import app

NAMES = ["tokenizer", "template", "ids", "context", "labels", "trained", "rate", "isolation", "memory", "time"]


def run(*arguments: str) -> Any:
    """The command in this process."""
    return CliRunner().invoke(app, ["check", *arguments])


def test_every_check_has_a_line_and_nothing_is_written(
    shards: Path, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    result = run(str(shards), "--model", str(tiny_model), "dtype=float32", "learning_rate=1e-3")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    found = {line.split()[1]: line.split()[0] for line in lines if line.startswith(("pass ", "warn ", "fail "))}
    assert list(found) == NAMES
    assert found == dict.fromkeys(NAMES, "pass")
    assert lines[-1] == "10 passed"
    assert list(tmp_path.iterdir()) == []


def test_json_has_the_figures_and_a_settings_file_is_checked_like_shards(
    settings: Callable[..., dict[str, Any]], tmp_path: Path
):
    import yaml

    path = tmp_path / "train.yaml"
    path.write_text(yaml.safe_dump(settings()))
    result = run(str(path), "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    checks = {one["name"]: one for one in found["checks"]}
    assert found["ok"] is True and list(checks) == NAMES
    assert checks["context"]["figures"]["context"] == 256
    assert 0 <= checks["isolation"]["figures"]["logits"] <= checks["isolation"]["figures"]["logits_tolerance"] == 1e-3
    assert len(checks["time"]["figures"]["measured"]) == 2
    assert not (tmp_path / "out").exists()


def test_a_check_that_fails_says_what_to_do_and_is_exit_code_1(shards: Path, tiny_model: Path, tmp_path: Path):
    model = tmp_path / "short"
    shutil.copytree(tiny_model, model)
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps({**config, "max_position_embeddings": 16}))
    result = run(str(shards), "--model", str(model), "learning_rate=1e-3")
    assert result.exit_code == 1
    assert "fail  context" in result.stdout and "prepare the dataset with pack.seq_len=16" in result.stdout
    assert result.stdout.splitlines()[-1] == "7 passed, 1 failed"
    as_json = run(str(shards), "--model", str(model), "--json")
    assert as_json.exit_code == 1
    assert json.loads(as_json.stdout)["ok"] is False


def test_prompts_and_checks_are_tried(settings: Callable[..., dict[str, Any]], tmp_path: Path, tiny_tokenizer: Path):
    import yaml

    import sftdata

    rows = [{"prompt": "Hi", "completion": "Hello"}, {"prompt": "Who?"}]
    (tmp_path / "prompts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    sftdata.prepare(
        {"tokenizer": str(tiny_tokenizer), "sources": [str(tmp_path / "prompts.jsonl")], "out": str(tmp_path / "data")}
    )

    def checked(check: str, *more: str) -> Any:
        given = settings(
            shards=str(tmp_path / "data"), evaluate={"prompts": "prompts.jsonl", "checks": [{"exact": check}]}
        )
        (tmp_path / "train.yaml").write_text(yaml.safe_dump(given))
        return run(str(tmp_path / "train.yaml"), *more)

    failed = checked("reference")
    assert failed.exit_code == 1
    assert "fail  prompts    prompts.jsonl:2: has no answer of its own" in failed.stdout
    assert "isolation" not in failed.stdout  # the model is not loaded
    found = {one["name"]: one for one in json.loads(checked("prompt", "--json").stdout)["checks"]}
    assert (found["prompts"]["status"], found["prompts"]["figures"]) == ("pass", {"prompts": 2, "checks": 1})


def test_a_model_that_mixes_samples_fails_the_check(shards: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch):
    from transformers.models.llama.modeling_llama import LlamaModel

    forward = LlamaModel.forward

    def without_positions(self: Any, *args: Any, position_ids: Any = None, **kwargs: Any) -> Any:
        return forward(self, *args, **kwargs)

    monkeypatch.setattr(LlamaModel, "forward", without_positions)
    result = run(str(shards), "--model", str(tiny_model), "dtype=float32", "attn_implementation=sdpa")
    assert result.exit_code == 1
    assert "fail  isolation" in result.stdout and "does not keep them apart" in result.stdout


def test_what_cannot_be_read_is_one_sentence(tmp_path: Path):
    result = run(str(tmp_path / "nowhere"), "--model", "m")
    assert result.exit_code == 1 and "does not exist" in result.output and "Traceback" not in result.output
    assert json.loads(run(str(tmp_path / "nowhere"), "--model", "m", "--json").stdout)["ok"] is False


def test_a_preset_is_an_option(shards: Path, tiny_model: Path):
    result = run(str(shards), "--model", str(tiny_model), "--preset", "instructgpt", "--json")
    assert "LlamaConfig has no residual dropout" in json.loads(result.stdout)["error"]
