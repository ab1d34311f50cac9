"""Which settings a continued run may change, and that a change which is allowed is said and used."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from run_metrics import steps
from typer.testing import CliRunner

import sfttrain
from sftdata.errors import ConfigError
from sfttrain.cli.app import app
from sfttrain.cli.run import resume_command
from sfttrain.resume import check_shared

Settings = Callable[..., dict[str, Any]]
OUT = Path("out")


def test_what_changed_is_named_and_refused_unless_it_is_allowed():
    earlier = {"dataset_hash": "a", "rows_per_step": 4, "learning_rate": 0.1, "schedule": "cosine"}
    now = {"dataset_hash": "b", "rows_per_step": 4, "learning_rate": 0.2, "schedule": "cosine"}
    what = (
        r"out: the earlier run had dataset_hash 'a', this one has 'b', so rows would repeat or be skipped; "
        "resume with the earlier settings or with --allow-changes, or start a new run"
    )
    with pytest.raises(ConfigError, match=what):
        check_shared(OUT, earlier, now)
    assert check_shared(OUT, earlier, now, allow_changes=True) == [
        "the earlier run had dataset_hash 'a', this one has 'b', so rows may repeat or be skipped",
        "the earlier run had learning_rate 0.1, this one has 0.2",
    ]
    assert check_shared(OUT, earlier, earlier) == []


@pytest.mark.parametrize("name", ["model", "lora", "trainer.optim"])
def test_what_would_not_fit_a_checkpoint_is_refused_in_any_case(name: str):
    with pytest.raises(ConfigError, match="; resume with the earlier settings, or start a new run"):
        check_shared(OUT, {name: "a"}, {name: "b"}, allow_changes=True)


@pytest.fixture
def stopped(settings: Settings) -> Settings:
    """Settings that continue a run of three steps with the rate 0.01."""
    base = {"save_every": 1, "schedule": "constant", "warmup": 0}
    sfttrain.run(settings(max_steps=3, **base))
    return lambda **changes: settings(**{"max_steps": 5, "resume": True, "allow_changes": True, **base, **changes})


def test_a_rate_and_a_decay_that_are_changed_are_used_from_the_next_step_on(
    stopped: Settings, capsys: pytest.CaptureFixture[str]
):
    changes = {"learning_rate": 0.004, "schedule": "linear", "trainer": {"weight_decay": 0.5}, "seed": 7}
    result = sfttrain.run(stopped(**changes))
    assert [line["learning_rate"] for line in steps(result.out)] == pytest.approx([0.01, 0.01, 0.01, 0.0016, 0.0008])
    expected = [
        "the earlier run had seed 0, this one has 7, so rows may repeat or be skipped",
        "the earlier run had learning_rate 0.01, this one has 0.004",
        "the earlier run had schedule 'constant', this one has 'linear'",
        "the earlier run had trainer.weight_decay its default, this one has 0.5",
    ]
    assert result.summary["changes"] == expected
    said = capsys.readouterr().err
    assert all(f"note   {change}" in said for change in expected)
    record = json.loads((result.out / "checkpoint-5" / "sfttrain.json").read_text())
    assert record["settings"]["learning_rate"] == 0.004
    import torch

    state = torch.load(result.out / "checkpoint-5" / "optimizer.pt", weights_only=True)
    assert {group["weight_decay"] for group in state["param_groups"]} >= {0.5}


def test_other_shards_and_another_batch_are_trained_where_that_is_allowed(
    stopped: Settings, make_shards: Callable[..., Path], samples_of: Callable[..., Any], tmp_path: Path
):
    other = make_shards(tmp_path / "other", [samples_of(30, seed=9)])
    refused = stopped(shards=str(other), allow_changes=False)
    with pytest.raises(ConfigError, match=r"the earlier run had dataset_hash '.*, so rows would repeat or be skipped"):
        sfttrain.run(refused)
    result = sfttrain.run(stopped(shards=str(other), batch_tokens=128))
    assert [line["step"] for line in steps(result.out)] == [1, 2, 3, 4, 5]
    assert [change.split()[4] for change in result.summary["changes"]] == ["dataset_hash", "rows_per_step"]


@pytest.mark.parametrize(("schedule", "is_said"), [("cosine", True), ("constant", False)])
def test_another_length_is_said_where_it_changes_the_rate(
    settings: Settings, capsys: pytest.CaptureFixture[str], schedule: str, is_said: bool
):
    sfttrain.run(settings(max_steps=2, save_every=1, schedule=schedule))
    sfttrain.run(settings(max_steps=3, resume=True, schedule=schedule))
    note = "note   the earlier run had 2 steps in all, this one has 3, so from here on the learning rate is that of"
    assert (note in capsys.readouterr().err) == is_said


def test_the_command_line_has_a_flag_for_it(stopped: Settings, tmp_path: Path):
    config = {**stopped(learning_rate=0.002), "allow_changes": False}
    (tmp_path / "train.yaml").write_text(json.dumps(config))
    out = shutil.copytree(tmp_path / "out", tmp_path / "copy")
    arguments = ["run", str(tmp_path / "train.yaml"), f"out={out}"]
    refused = CliRunner().invoke(app, arguments)
    assert refused.exit_code == 1
    assert "learning_rate 0.01, this one has 0.002; resume with the earlier settings or with --all" in refused.output
    assert CliRunner().invoke(app, [*arguments, "--allow-changes"]).exit_code == 0
    assert steps(out)[-1]["learning_rate"] == 0.002


def test_the_command_that_continues_has_no_flag_that_is_used_up():
    arguments = ["run", "data", "--model", "m", "--allow-changes", "epochs=2"]
    assert resume_command(arguments) == "sfttrain run data --model m epochs=2 resume=true"
