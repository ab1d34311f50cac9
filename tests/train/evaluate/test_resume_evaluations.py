"""A run that is killed and continued evaluates as one that is left alone: patience, the best model, and the answers."""

from __future__ import annotations

import json
import os
import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from run_metrics import metrics

import sftdata
import sfttrain
from sftdata.errors import ConfigError

KILL_AT = Path(__file__).parents[1] / "kill_at.py"
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}
KILLED = -9
Settings = Callable[..., dict[str, Any]]


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def validation_losses(out: Path) -> list[tuple[int, float]]:
    return [(line["step"], line["validation_loss"]) for line in metrics(out) if "validation_loss" in line]


def started(python: list[str], point: str, config: dict[str, Any]) -> subprocess.CompletedProcess[str]:
    """A run that is continued where there is a checkpoint, and killed at a point."""
    folder = Path(config["out"]).parent
    (folder / "train.yaml").write_text(json.dumps({**config, "resume": True}))
    command = [*python, str(KILL_AT), point, str(folder / "trained.jsonl"), "run", str(folder / "train.yaml")]
    return subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT, timeout=240)


@pytest.fixture(scope="module")
def prompts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rows = [{"prompt": "Hi 0", "completion": "Héllo 0"}, {"prompt": "Who?"}, {"prompt": "What is 2+2?"}]
    file = tmp_path_factory.mktemp("prompts") / "prompts.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


@pytest.fixture
def of_patience(settings: Settings, chats: Path, prompts: Path, tmp_path: Path) -> Settings:
    """Settings of a run of at most 14 steps, whose validation loss falls for some steps, and is then too high twice."""
    checks = [{"name": "long", "regex": ".", "at_least": 0.0}]
    evaluate = {"prompts": str(prompts), "max_new_tokens": 4, "checks": checks}
    changes = {"shards": str(chats), "max_steps": 14, "eval_every": 1, "patience": 2, "keep": "best"}
    rate = {"learning_rate": 0.2, "warmup": 0, "schedule": "constant"}
    return lambda name: settings(**changes, **rate, out=str(tmp_path / name), evaluate=evaluate)


def test_a_run_that_patience_ended_ends_there_when_it_is_continued(
    of_patience: Settings, tmp_path: Path, python: list[str], loss_by_hand: Any, chats: Path
):
    """It is killed in step 3, and while its model is saved; then its folder gets another name."""
    alone = sfttrain.run(of_patience("alone"))
    losses = [loss for _, loss in validation_losses(alone.out)]
    lowest = losses.index(min(losses))
    best = 1 + losses[1:].index(min(losses[1:]))  # the model before training has no checkpoint
    ended = lowest + 2
    assert 3 < ended < 14
    assert all(losses[at] > losses[lowest] for at in (ended - 1, ended))
    assert (alone.summary["steps"], alone.summary["best"]["step"]) == (ended, best)

    assert started(python, "in step 3", of_patience("killed")).returncode == KILLED
    assert len(validation_losses(tmp_path / "killed")) == 3
    assert started(python, "placing the model", of_patience("killed")).returncode == KILLED
    (tmp_path / "killed").rename(tmp_path / "moved")
    done = started(python, "never", of_patience("moved"))
    assert done.returncode == 0, done.stderr

    moved = tmp_path / "moved"
    assert validation_losses(moved) == validation_losses(alone.out)
    assert [line["step"] for line in metrics(moved) if "loss" in line] == list(range(1, ended + 1))
    assert lines(moved / "answers.jsonl") == lines(alone.out / "answers.jsonl")
    times = Counter((line["step"], line["where"]) for line in lines(moved / "answers.jsonl"))
    assert times == {(step, f"prompts.jsonl:{row}"): 1 for step in range(ended + 1) for row in (1, 2, 3)}
    assert (moved / "model.safetensors").read_bytes() == (alone.out / "model.safetensors").read_bytes()
    assert loss_by_hand(moved, sorted((chats / "validation").iterdir())) == pytest.approx(losses[best], rel=1e-5)
    summary = lines_of_json(moved / "run.json")
    assert summary["best"] == alone.summary["best"]
    assert summary["answers"] == alone.summary["answers"] != []
    assert (summary["status"], summary["steps"]) == ("finished", ended)

    with pytest.raises(ConfigError, match="ended with no lower loss in 2 evaluations, so nothing is left to train"):
        sfttrain.run({**of_patience("moved"), "resume": True})
    assert lines_of_json(moved / "run.json") == summary


def lines_of_json(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def test_a_best_model_that_is_gone_is_said_and_another_is_chosen(of_patience: Settings, capsys: Any):
    """As where a run is continued from an older checkpoint, after the best one of that time was removed."""
    config = {**of_patience("out"), "learning_rate": 1e-2, "patience": None, "max_steps": 3}
    sfttrain.run(config)
    out = Path(config["out"])
    state = lines_of_json(out / "checkpoint-3" / "trainer_state.json")
    state["best_global_step"], state["best_metric"] = 1, 0.0001  # no later loss is as low
    rewrite_state(out / "checkpoint-3", state)
    result = sfttrain.run({**config, "max_steps": 4, "resume": True})
    assert "checkpoint-1, the best model so far, is gone: the best of the steps from here on is saved" in (
        capsys.readouterr().err
    )
    assert result.summary["best"]["step"] == 4


def rewrite_state(checkpoint: Path, state: dict[str, Any]) -> None:
    """Another state in a checkpoint, whose record knows it."""
    import hashlib

    data = json.dumps(state).encode()
    (checkpoint / "trainer_state.json").write_bytes(data)
    record = lines_of_json(checkpoint / "sfttrain.json")
    record["files"]["trainer_state.json"] = hashlib.sha256(data).hexdigest()
    (checkpoint / "sfttrain.json").write_text(json.dumps(record))


def test_answers_after_training_are_there_once_and_a_missed_bar_is_said(
    settings: Settings, tiny_tokenizer: Path, prompts: Path, tmp_path: Path, python: list[str]
):
    """Killed while it writes its answers, and while its model is saved, after the last checkpoint each time."""
    sftdata.prepare({"tokenizer": str(tiny_tokenizer), "sources": [str(prompts)], "out": str(tmp_path / "data")})
    checks = [{"name": "numbers", "regex": "^[0-9]{99}$", "at_least": 0.5}]
    evaluate = {"prompts": str(prompts), "max_new_tokens": 2, "checks": checks}
    config = settings(shards=str(tmp_path / "data"), max_steps=1, save_every=1, evaluate=evaluate)
    out = Path(config["out"])

    assert started(python, "half the answers", config).returncode == KILLED
    assert (out / "answers.jsonl").read_text().count("\n") == 1
    assert (out / "checkpoint-1").is_dir()
    assert started(python, "placing the model", config).returncode == KILLED
    done = started(python, "never", config)
    assert done.returncode == 1
    assert "its answers miss a bar: numbers 0.00, at least 0.50" in done.stderr
    found = lines(out / "answers.jsonl")
    assert [(line["step"], line["where"]) for line in found] == [(1, f"prompts.jsonl:{row}") for row in (1, 2, 3)]
    assert [line for line in metrics(out) if "checks" in line] == [{"step": 1, "checks": {"numbers": 0.0}}]
    assert lines_of_json(out / "run.json")["status"] == "finished"


def test_two_processes_answer_as_one_does(
    settings: Settings, chats: Path, prompts: Path, tmp_path: Path, torchrun: list[str]
):
    evaluate = {"prompts": str(prompts), "max_new_tokens": 4}
    changes = {"shards": str(chats), "max_steps": 1, "eval_every": 1, "evaluate": evaluate}
    alone = sfttrain.run(settings(**changes, out=str(tmp_path / "alone")))
    done = started(torchrun, "never", settings(**changes))
    assert done.returncode == 0, done.stderr
    found = lines(tmp_path / "out" / "answers.jsonl")
    assert [(line["step"], line["where"]) for line in found] == [
        (step, f"prompts.jsonl:{row}") for step in (0, 1) for row in (1, 2, 3)
    ]
    assert found[:3] == lines(alone.out / "answers.jsonl")[:3]
