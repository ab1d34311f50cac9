"""Checkpoints: what is damaged is named, what no run wrote is left alone, and which settings a resume may change."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from run_metrics import losses, metrics, steps

import sfttrain
from sftdata.errors import ConfigError, OutputError
from sfttrain.checkpoints import (
    RECORD,
    check_checkpoint,
    checkpoints,
    finish_checkpoint,
    keep_last,
    remove_checkpoint,
    start_checkpoint,
)

Settings = Callable[..., dict[str, Any]]


def make_checkpoint(path: Path, step: int, files: dict[str, bytes] | None = None) -> Path:
    """A checkpoint as a run writes it, with small files."""
    folder = path / f"checkpoint-{step}"
    start_checkpoint(folder)
    for name, data in (files or {"optimizer.pt": b"o", "trainer_state.json": b'{"global_step": 1}'}).items():
        (folder / name).write_bytes(data)
    finish_checkpoint(folder, {"learning_rate": 0.1})
    return folder


@pytest.fixture(scope="module")
def stopped(shards: Path, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run of three steps with its last two checkpoints. Tests work on copies."""
    config = {
        "shards": str(shards),
        "model": str(tiny_model),
        "out": str(tmp_path_factory.mktemp("stopped") / "out"),
        "batch_tokens": 256,
        "max_steps": 3,
        "learning_rate": 1e-2,
        "dtype": "float32",
        "save_every": 1,
        "schedule": "constant",
    }
    return sfttrain.run(config).out


@pytest.fixture
def again(stopped: Path, settings: Settings, tmp_path: Path) -> Settings:
    """Settings that continue a copy of that run."""
    shutil.copytree(stopped, tmp_path / "out")
    return lambda **changes: settings(
        **{"max_steps": 4, "save_every": 1, "schedule": "constant", "resume": True, **changes}
    )


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


STATE = ["optimizer.pt", "scheduler.pt", "rng_state.pth", "model.safetensors", "config.json", "trainer_state.json"]


@pytest.mark.parametrize("name", STATE)
def test_a_file_of_a_checkpoint_that_changed_in_one_bit_is_named(again: Settings, tmp_path: Path, name: str):
    flip(tmp_path / "out" / "checkpoint-3" / name)
    what = rf"checkpoint-3: is damaged: {name} has changed since it was written; resume from another checkpoint, or"
    with pytest.raises(ConfigError, match=what):
        sfttrain.run(again())
    with pytest.raises(ConfigError, match=what):
        sfttrain.run(again(resume=str(tmp_path / "out" / "checkpoint-3")))


@pytest.mark.parametrize("damage", [lambda path: path.unlink(), lambda path: path.write_bytes(b"")])
@pytest.mark.parametrize("name", STATE[:4])
def test_a_file_of_a_checkpoint_that_is_gone_or_empty_is_named(
    again: Settings, tmp_path: Path, name: str, damage: Callable[[Path], None]
):
    damage(tmp_path / "out" / "checkpoint-3" / name)
    with pytest.raises(ConfigError, match=rf"checkpoint-3: is damaged: {name} (is gone|has changed)"):
        sfttrain.run(again())
    assert sfttrain.run(again(resume=str(tmp_path / "out" / "checkpoint-2"))).summary["resumed_from_step"] == 2


@pytest.mark.parametrize(
    "record", ["", "{", "[]", '{"status": "complete"}', '{"status": "complete", "files": {"../x": ""}}']
)
def test_a_damaged_record_is_one_sentence(again: Settings, tmp_path: Path, record: str):
    (tmp_path / "out" / "checkpoint-3" / RECORD).write_text(record)
    with pytest.raises((ConfigError, OutputError), match=r"checkpoint-3: is (damaged|not a checkpoint of sfttrain)"):
        sfttrain.run(again())


def test_metrics_that_are_damaged_are_one_sentence(again: Settings, tmp_path: Path):
    (tmp_path / "out" / "metrics.jsonl").write_text('{"step": 1}\n{"st\n{"step": 2}\n')
    with pytest.raises(ConfigError, match=r"metrics\.jsonl: is damaged, so the run cannot be continued"):
        sfttrain.run(again())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"learning_rate": 1e-4}, r"learning_rate 0\.01, this one has 0\.0001; resume with the earlier settings"),
        ({"schedule": "linear"}, "schedule 'constant', this one has 'linear'"),
        ({"warmup": 2}, r"warmup 0\.03, this one has 2"),
        ({"lora": {"r": 2}}, "lora its default, this one has {'r': 2"),
        ({"seed": 1}, "seed 0, this one has 1, so rows would repeat or be skipped"),
        ({"trainer": {"weight_decay": 0.5}}, r"trainer\.weight_decay its default, this one has 0\.5"),
        ({"trainer": {"optim": "sgd"}}, r"trainer\.optim its default, this one has 'sgd'"),
        ({"batch_tokens": 128}, "rows_per_step 4, this one has 2"),
    ],
)
def test_a_setting_that_decides_the_steps_is_not_changed_on_resume(
    again: Settings, change: dict[str, Any], message: str
):
    with pytest.raises(ConfigError, match=f"the earlier run had {message}"):
        sfttrain.run(again(**change))


def test_another_model_is_refused_on_resume_and_the_same_one_elsewhere_is_not(
    again: Settings, tiny_model: Path, tmp_path: Path
):
    moved = Path(shutil.copytree(tiny_model, tmp_path / "moved"))
    assert sfttrain.run(again(model=str(moved))).summary["resumed_from_step"] == 3
    config = json.loads((moved / "config.json").read_text())
    (moved / "config.json").write_text(json.dumps({**config, "rms_norm_eps": 0.1}))
    with pytest.raises(ConfigError, match="the earlier run trained another model; resume with the earlier settings"):
        sfttrain.run(again(model=str(moved), max_steps=5))


def test_lengths_and_intervals_that_are_changed_on_resume_are_used(again: Settings, tmp_path: Path):
    changes = {"max_steps": 9, "save_every": 4, "eval_every": 3, "trainer": {"logging_steps": 2}}
    result = sfttrain.run(again(**changes))
    assert result.summary["steps"] == 9
    assert [line["step"] for line in metrics(result.out) if "validation_loss" in line] == [0, 3, 6, 9]
    assert [line["step"] for line in steps(result.out)] == [1, 2, 3, 4, 6, 8]
    assert [path.name for path in checkpoints(result.out)] == ["checkpoint-8", "checkpoint-9"]  # Trainer saves the last


def test_a_run_that_is_continued_replaces_the_model_that_it_wrote(again: Settings, tmp_path: Path):
    before = (tmp_path / "out" / "model.safetensors").read_bytes()
    result = sfttrain.run(again())
    after = (result.out / "model.safetensors").read_bytes()
    assert before != after
    assert set(result.summary["files"]) >= {"model.safetensors", "tokenizer.json"}
    assert len(losses(result.out)) == 4


def test_checkpoints_of_others_are_never_removed(settings: Settings, tmp_path: Path):
    out = tmp_path / "out"
    for name in ("checkpoint-mydata", "checkpoint-5-mine", "my-checkpoint-7"):
        (out / name).mkdir(parents=True)
        (out / name / "data.txt").write_text("mine")
    sfttrain.run(settings(save_every=1, max_steps=4))
    sfttrain.run(settings(save_every=1, max_steps=1, overwrite=True))
    names = ["checkpoint-1", "checkpoint-5-mine", "checkpoint-mydata", "my-checkpoint-7"]
    assert sorted(path.name for path in out.glob("*checkpoint*")) == names
    assert all((out / name / "data.txt").read_text() == "mine" for name in names[1:])


def test_a_folder_under_the_name_of_a_checkpoint_that_no_run_wrote_is_refused(again: Settings, tmp_path: Path):
    (tmp_path / "out" / "checkpoint-9").mkdir()
    with pytest.raises(OutputError, match="checkpoint-9: is not a checkpoint of sfttrain; move it away"):
        sfttrain.run(again(resume=False, overwrite=True))
    (tmp_path / "out" / "checkpoint-9").rmdir()
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / RECORD).write_text('{"status": "saving"}')
    (tmp_path / "out" / "checkpoint-9").symlink_to(tmp_path / "theirs")
    with pytest.raises(OutputError, match="checkpoint-9: is not a checkpoint of sfttrain"):
        sfttrain.run(again(resume=False, overwrite=True))
    assert (tmp_path / "theirs" / RECORD).exists()
    assert len(checkpoints(tmp_path / "out")) == 2


def test_removing_a_checkpoint_leaves_what_no_run_wrote(tmp_path: Path):
    folder = make_checkpoint(tmp_path, 1)
    (folder / "notes.txt").write_text("mine")
    remove_checkpoint(folder)
    assert [path.name for path in folder.iterdir()] == ["notes.txt"]
    other = make_checkpoint(tmp_path, 2)
    remove_checkpoint(other)
    assert not other.exists()


def test_a_checkpoint_being_written_or_removed_is_not_complete(tmp_path: Path):
    start_checkpoint(tmp_path / "checkpoint-1")
    (tmp_path / "checkpoint-1" / "trainer_state.json").write_text("{}")
    assert checkpoints(tmp_path) == []
    folder = make_checkpoint(tmp_path, 1)  # takes the place of the unfinished one
    assert checkpoints(tmp_path) == [folder]
    record = json.loads((folder / RECORD).read_text())
    (folder / RECORD).write_text(json.dumps({**record, "status": "removing"}))
    assert checkpoints(tmp_path) == []
    with pytest.raises(ConfigError, match="is not a complete checkpoint of sfttrain"):
        check_checkpoint(folder)


@pytest.mark.parametrize(
    ("limit", "best", "left"),
    [
        (2, None, ["checkpoint-9", "checkpoint-10"]),
        (1, "x/checkpoint-2", ["checkpoint-2", "checkpoint-10"]),
        (3, "x/checkpoint-2", ["checkpoint-2", "checkpoint-9", "checkpoint-10"]),
        (None, None, ["checkpoint-1", "checkpoint-2", "checkpoint-9", "checkpoint-10"]),
        (0, None, ["checkpoint-1", "checkpoint-2", "checkpoint-9", "checkpoint-10"]),
    ],
)
def test_the_last_checkpoints_and_the_best_are_kept(
    tmp_path: Path, limit: int | None, best: str | None, left: list[str]
):
    for step in (1, 2, 9, 10):
        make_checkpoint(tmp_path, step)
    keep_last(tmp_path, limit, best)
    assert [path.name for path in checkpoints(tmp_path)] == left


@hypothesis_settings(max_examples=50)
@given(
    name=st.sampled_from(["optimizer.pt", "scheduler.pt", "rng_state.pth", "trainer_state.json"]),
    at=st.integers(0, 39),
    byte=st.integers(0, 255),
    cut=st.integers(0, 40),
)
def test_any_byte_of_a_checkpoint_is_looked_at(
    tmp_path_factory: pytest.TempPathFactory, name: str, at: int, byte: int, cut: int
):
    content = bytes(range(40))
    files = dict.fromkeys(["optimizer.pt", "scheduler.pt", "rng_state.pth", "trainer_state.json"], content)
    folder = make_checkpoint(tmp_path_factory.mktemp("run"), 1, files)
    assert check_checkpoint(folder) == {"learning_rate": 0.1}
    damaged = (content[:at] + bytes([byte]) + content[at + 1 :])[:cut]
    (folder / name).write_bytes(damaged)
    if damaged == content:
        check_checkpoint(folder)
    else:
        with pytest.raises(ConfigError, match=f"is damaged: {name} has changed"):
            check_checkpoint(folder)
