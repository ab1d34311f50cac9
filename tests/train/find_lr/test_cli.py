"""`sfttrain find-lr` as a user has it: what it prints, its files, its page, and its exit codes."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from sfttrain.cli.app import app
from sfttrain.config import parse_config

Settings = Callable[..., dict[str, Any]]


@pytest.fixture
def config(settings: Settings, tmp_path: Path) -> Path:
    """A settings file of a short run."""
    path = tmp_path / "train.yaml"
    path.write_text(yaml.safe_dump(settings(max_steps=8, batch_tokens=128, learning_rate=3e-3)))
    return path


def test_a_sweep_from_a_settings_file(config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("COLUMNS", "100")
    out = tmp_path / "<b>lr"
    result = CliRunner().invoke(app, ["find-lr", str(config), "--out", str(out)])
    assert result.exit_code == 0, result.output
    record = json.loads((out / "find_lr.json").read_text())
    assert record["status"] == "finished"
    (pasted,) = re.findall(r"learning_rate=(\S+)$", result.stdout, flags=re.MULTILINE)
    assert parse_config({**yaml.safe_load(config.read_text()), "learning_rate": float(pasted)})
    assert float(pasted) == record["recommendation"]["rate"]
    assert re.search(r"^ *rate +8 steps", result.stdout, flags=re.MULTILINE)
    assert all(len(line) <= 100 for line in result.stdout.splitlines() if str(out) not in line)
    assert not (tmp_path / "out").exists()  # the folder of the run itself
    assert sorted(path.name for path in out.iterdir()) == ["find_lr.html", "find_lr.json"]
    page = (out / "find_lr.html").read_text()
    assert "<svg" in page and f"learning_rate={pasted}" in page
    assert str(tmp_path) not in page
    assert "http" not in page.replace("http-equiv", "")

    again = CliRunner().invoke(app, ["find-lr", str(config), "--out", str(out), "--json"])
    assert json.loads(again.stdout)["trials"] == record["trials"]


def test_json_has_the_plan_of_a_dry_run_and_the_error(config: Path, tmp_path: Path):
    arguments = ["find-lr", str(config), "--out", str(tmp_path / "lr"), "--json"]
    planned = CliRunner().invoke(app, [*arguments, "--dry-run"])
    assert planned.exit_code == 0, planned.output
    found = json.loads(planned.stdout)
    assert found["plan"]["rounds"] == [{"rates": 7, "steps": 8}]
    assert found["cost"]["steps"] == 56
    refused = CliRunner().invoke(app, [*arguments, "--budget", "2 hours"])
    assert refused.exit_code == 1
    assert json.loads(refused.stdout)["error"].startswith("--budget: '2 hours' is not a number of steps or tokens")


@pytest.mark.parametrize("place", ["shards", "model"])
def test_the_dataset_and_the_model_are_no_place_for_a_sweep(
    config: Path, tmp_path: Path, settings: Settings, place: str
):
    folder = Path(settings()[place])
    before = sorted(folder.rglob("*"))
    result = CliRunner().invoke(app, ["find-lr", str(config), "--out", str(folder)])
    assert result.exit_code == 1
    assert f"is the {'dataset' if place == 'shards' else 'model'}'s folder; choose another folder" in result.stderr
    assert sorted(folder.rglob("*")) == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere", "--model", "m", "--out", "o"], "nowhere: does not exist"),
        (["data", "--model", "m", "--out", "o", "--budget", "2 hours"], "is not a number of steps or tokens"),
        (["data", "--model", "m"], "--out"),
    ],
)
def test_a_user_error_is_one_sentence_and_exit_code_1(arguments: list[str], message: str):
    result = CliRunner().invoke(app, ["find-lr", *arguments])
    assert result.exit_code == 1
    assert message in result.output
    assert len(result.output.strip().splitlines()) == 1
