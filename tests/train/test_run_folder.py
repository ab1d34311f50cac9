"""The folder of a run: an earlier run in it, and the checkpoint that a run continues from."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from run_metrics import losses

import sfttrain
from sftdata.errors import ConfigError, ModelError, OutputError
from sfttrain.run_folder import read_metrics

# PEFT uses a name of transformers that is deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")

Settings = Callable[..., dict[str, Any]]


def test_checkpoints_are_written_when_asked_for_and_the_last_two_are_kept(settings: Settings):
    result = sfttrain.run(settings(save_every=1, max_steps=4))
    assert sorted(path.name for path in result.out.glob("checkpoint-*")) == ["checkpoint-3", "checkpoint-4"]


def test_an_earlier_run_is_replaced_only_when_asked_for_and_other_files_stay(settings: Settings):
    result = sfttrain.run(settings(lora=True, save_every=1))
    with pytest.raises(ConfigError, match="holds an earlier run; set resume=true"):
        sfttrain.run(settings())
    assert (result.out / "checkpoint-2").is_dir()
    (result.out / "notes.txt").write_text("mine")
    sfttrain.run(settings(overwrite=True))
    assert not (result.out / "adapter_model.safetensors").exists()
    assert not (result.out / "checkpoint-2").exists()
    assert (result.out / "notes.txt").read_text() == "mine"


def test_an_earlier_run_stays_where_the_new_one_fails_its_proof(settings: Settings, leave_cache_on: Callable[[], None]):
    """With a cache, the samples of a packed row see each other: the new run is refused before step 0."""
    out = sfttrain.run(settings(save_every=1)).out
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    leave_cache_on()
    with pytest.raises(ModelError, match="does not keep them apart"):
        sfttrain.run(settings(overwrite=True, attn_implementation="sdpa"))
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before


def test_a_run_that_fails_its_proof_says_so_in_a_new_folder(settings: Settings, monkeypatch: pytest.MonkeyPatch):
    from sfttrain.check import isolation

    monkeypatch.setitem(isolation.LOGITS_TOLERANCE, "float32", -1.0)
    with pytest.raises(ModelError):
        sfttrain.run(settings())
    run = json.loads((Path(settings()["out"]) / "run.json").read_text())
    assert (run["status"], run.get("steps")) == ("failed", None)


def test_a_run_is_not_continued_on_other_data_or_with_other_batches(
    settings: Settings, make_shards: Callable[..., Path], samples_of: Callable[..., Any], tmp_path: Path
):
    sfttrain.run(settings(save_every=1))
    other = make_shards(tmp_path / "other", [samples_of(40, seed=9)])
    with pytest.raises(ConfigError, match="the earlier run had dataset_hash"):
        sfttrain.run(settings(resume=True, shards=str(other)))
    with pytest.raises(ConfigError, match="the earlier run had rows_per_step 4, this one has 2"):
        sfttrain.run(settings(resume=True, batch_tokens=128))


def test_a_folder_that_cannot_be_made_is_reported_before_the_model_is_loaded(settings: Settings, tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="is a file, not a folder"):
        sfttrain.run(settings(out=str(tmp_path / "file" / "out")))


def test_a_finished_run_has_nothing_left_to_train(settings: Settings):
    sfttrain.run(settings(save_every=1))
    with pytest.raises(ConfigError, match="has 2 of 2 steps done, so nothing is left to train"):
        sfttrain.run(settings(resume=True))


def test_resume_without_a_checkpoint_starts_from_the_beginning(settings: Settings):
    assert sfttrain.run(settings(resume=True)).summary["resumed_from_step"] == 0


def test_an_incomplete_checkpoint_is_skipped(settings: Settings, tmp_path: Path):
    sfttrain.run(settings(save_every=1))
    (tmp_path / "out" / "checkpoint-2" / "trainer_state.json").unlink()
    assert sfttrain.run(settings(resume=True)).summary["resumed_from_step"] == 1


def test_a_run_can_continue_from_a_checkpoint_given_by_its_path(settings: Settings, tmp_path: Path):
    first = sfttrain.run(settings(save_every=1, max_steps=3))
    before = losses(first.out)
    again = sfttrain.run(settings(save_every=1, max_steps=3, resume=str(tmp_path / "out" / "checkpoint-2")))
    assert again.summary["resumed_from_step"] == 2
    assert losses(again.out) == before


def test_an_incomplete_last_line_of_metrics_is_ignored(tmp_path: Path):
    (tmp_path / "metrics.jsonl").write_text('{"step": 1}\n{"step": 2}\n{"st')
    assert read_metrics(tmp_path / "metrics.jsonl") == [{"step": 1}, {"step": 2}]
