"""`log_to`: the trackers of a run, by name; nothing is sent anywhere that is not named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest
from run_metrics import steps

import sfttrain
from sftdata.errors import ConfigError
from sfttrain.config import Tracker, parse_config
from sfttrain.trainer.batches import BatchPlan
from sfttrain.trainer.sft_config import make_sft_config
from sfttrain.watch.trackers import TRACKERS, check_trackers

BASE = {"shards": "data", "model": "org/name", "out": "out"}


def reported(**changes: Any) -> list[str]:
    """What reaches the trainer."""
    config = parse_config({**BASE, **changes})
    args = make_sft_config(config, BatchPlan(1, 1, 1, 10.0, 4, 64), "float32", validates=False, resumes=False)
    return list(args.report_to)


@pytest.mark.parametrize("name", get_args(Tracker))
def test_a_tracker_reaches_the_trainer_under_its_name(name: str):
    from transformers.integrations.integration_utils import INTEGRATION_TO_CALLBACK

    assert reported(log_to=[name]) == [name]
    assert name in INTEGRATION_TO_CALLBACK
    assert name in TRACKERS


@pytest.mark.parametrize(
    ("given", "names"),
    [
        ("wandb", ["wandb"]),
        (["wandb", "mlflow", "wandb"], ["wandb", "mlflow"]),
        ("none", []),
        (None, []),
        ([], []),
    ],
)
def test_one_several_or_none(given: object, names: list[str]):
    assert reported(log_to=given) == names


def test_nothing_is_sent_where_nothing_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("KUBEFLOW_TRAINER_SERVER_URL", "http://localhost:1")
    assert reported() == []
    assert reported(log_to="mlflow") == ["mlflow"]


@pytest.mark.parametrize("given", ["all", ["tensorbord"], {"wandb": 1}, 3, [["wandb"]], [None]])
def test_what_is_no_tracker_is_refused(given: object):
    with pytest.raises(ConfigError, match="log_to"):
        parse_config({**BASE, "log_to": given})


@pytest.mark.parametrize("settings", [{"trainer": {"report_to": "wandb"}}, {"report_to": "wandb"}])
def test_the_name_of_transformers_is_refused_with_ours(settings: dict[str, Any]):
    with pytest.raises(ConfigError, match="log_to"):
        parse_config({**BASE, **settings})


def test_a_tracker_that_is_not_installed_is_refused_before_anything_is_written(
    settings: Callable[..., dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError) as found:
        check_trackers(["comet_ml", "wandb"])
    assert str(found.value) == (
        "log_to: comet_ml and wandb cannot be used, as they are not installed; pip install comet-ml wandb"
    )
    with pytest.raises(ConfigError, match="pip install tensorboard"):
        sfttrain.run(settings(log_to="tensorboard"))
    assert not (tmp_path / "out").exists()


def test_a_folder_that_a_tracker_left_behind_is_not_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("sys.path", [str(tmp_path)])
    (tmp_path / "swanlab").mkdir()
    with pytest.raises(ConfigError, match="pip install swanlab"):
        check_trackers(["swanlab"])


def test_tensorboard_gets_the_losses_of_the_run(settings: Callable[..., dict[str, Any]]):
    reader = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator", reason="tensorboard is not installed"
    )
    result = sfttrain.run(settings(log_to="tensorboard", max_steps=3))
    (events,) = (result.out / "runs").rglob("events.out.tfevents.*")
    read = reader.EventAccumulator(str(events))
    read.Reload()
    losses = {one.step: one.value for one in read.Scalars("train/loss")}
    assert losses == pytest.approx({line["step"]: line["loss"] for line in steps(result.out)}, abs=1e-5)
    assert list(losses) == [1, 2, 3]
    assert [one.step for one in read.Scalars("eval/loss")] == [0, 3]
