"""The run.json of a run is read in one way: report, export, eval and chat say the same of one that is no run's."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from sftdata.errors import ConfigError
from sfttrain.cli.app import app
from sfttrain.evaluate.beside.models import run_settings
from sfttrain.export.source import open_run
from sfttrain.report.write import write_report
from sfttrain.summary import read_run

FINISHED = {"status": "finished", "dataset_hash": "ab", "config": {"shards": "s", "model": "m", "out": "o"}}
BROKEN = "was not written by sfttrain, or is damaged; restore it, or train again"


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "[" * 100_000,
        '{"a": 1}',
        '{"status": "finished", "config": {}}',
        '{"status": 1, "dataset_hash": "ab", "config": {}}',
        '{"status": "finished", "dataset_hash": null, "config": {}}',
        "\udcff",
    ],
)
def test_a_run_json_that_is_none_is_refused_in_the_same_words(tmp_path: Path, content: str) -> None:
    (tmp_path / "run.json").write_text(content, errors="surrogateescape")
    for read in (read_run, write_report, open_run, lambda folder: run_settings(str(folder))):
        with pytest.raises(ConfigError) as found:
            read(tmp_path)
        assert str(found.value) == f"{tmp_path}/run.json: {BROKEN}"


def test_settings_that_are_gone_are_refused_where_they_are_needed(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text(json.dumps({**FINISHED, "config": []}))
    for read in (open_run, lambda folder: run_settings(str(folder))):
        with pytest.raises(ConfigError, match=BROKEN):
            read(tmp_path)
    assert write_report(tmp_path) == tmp_path / "report.html"  # has a page of what is known


@pytest.mark.parametrize("arguments", [["report"], ["export", "--out", "model"]])
def test_a_folder_without_one_is_no_run(tmp_path: Path, arguments: list[str]) -> None:
    done = CliRunner().invoke(app, [arguments[0], str(tmp_path), *arguments[1:]])
    assert done.exit_code == 1
    assert done.stderr == (
        f"sfttrain: {tmp_path}: has no run.json, so it is not the folder of a run; "
        "give the folder that `sfttrain run` wrote (its setting out)\n"
    )


def test_a_folder_without_one_is_a_model_to_eval(tmp_path: Path) -> None:
    assert run_settings(str(tmp_path)) is None
    assert run_settings("no/such-model") is None


def test_a_run_behind_a_link_is_read(tmp_path: Path) -> None:
    """As huggingface_hub lays out a snapshot."""
    (tmp_path / "blob").write_text(json.dumps(FINISHED))
    (tmp_path / "snapshot").mkdir()
    (tmp_path / "snapshot" / "run.json").symlink_to("../blob")
    assert read_run(tmp_path / "snapshot") == FINISHED
