"""What a run did not write: files in its folder, other runs, the dataset and the model, a stranger's tokenizer."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from entries import file_entry

import sfttrain
from sftdata.errors import ConfigError, DatasetError, OutputError
from sftdata.store.manifest import Manifest
from sfttrain.data import open_shards
from sfttrain.trainer.packed import PackedTrainer

Settings = Callable[..., dict[str, Any]]
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
OF_MODEL = ["model.safetensors", "config.json", "generation_config.json", "tokenizer.json", "chat_template.jinja"]


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """The folder of the run, as the settings name it."""
    return tmp_path / "out"


@pytest.mark.parametrize("name", [*OF_MODEL, "adapter_model.safetensors", "run.json", "metrics.jsonl"])
@pytest.mark.parametrize("overwrite", [False, True])
def test_a_file_that_no_run_wrote_is_not_written_over(settings: Settings, out: Path, name: str, overwrite: bool):
    out.mkdir()
    (out / name).write_text("mine")
    with pytest.raises(
        OutputError, match=rf"out/{name}: was not written by sfttrain.*; move it away, or choose another"
    ):
        sfttrain.run(settings(overwrite=overwrite, resume=not overwrite))
    assert [path.name for path in out.iterdir()] == [name]
    assert (out / name).read_text() == "mine"


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "run.json", "metrics.jsonl", ".sfttrain"])
def test_a_link_in_the_folder_is_not_followed(settings: Settings, out: Path, tmp_path: Path, name: str):
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "saving").write_text("theirs")
    out.mkdir()
    (out / name).symlink_to(tmp_path / "theirs" / ("" if name == ".sfttrain" else "absent"))
    with pytest.raises(OutputError, match=rf"out/{name}: (was not written by sfttrain|is a link)"):
        sfttrain.run(settings(overwrite=True))
    assert [path.name for path in (tmp_path / "theirs").iterdir()] == ["saving"]
    assert (out / name).is_symlink()


def test_a_model_that_was_replaced_since_is_not_removed_and_other_files_stay(settings: Settings, out: Path):
    sfttrain.run(settings())
    (out / "train.log").write_text("mine")
    (out / "model.safetensors").write_bytes(b"mine")
    for changes in ({"overwrite": True}, {"resume": True}):
        with pytest.raises(OutputError, match=r"model\.safetensors: was not written by sfttrain, or has changed since"):
            sfttrain.run(settings(**changes))
    assert (out / "model.safetensors").read_bytes() == b"mine"
    (out / "model.safetensors").unlink()
    sfttrain.run(settings(overwrite=True))
    assert (out / "train.log").read_text() == "mine"
    assert not (out / ".sfttrain").exists()


def test_metrics_that_share_their_content_with_another_file_are_not_appended_to(settings: Settings, out: Path):
    sfttrain.run(settings(save_every=1))
    before = (out / "metrics.jsonl").read_bytes()
    (out.parent / "copy.jsonl").hardlink_to(out / "metrics.jsonl")
    sfttrain.run(settings(save_every=1, max_steps=3, resume=True))
    assert (out.parent / "copy.jsonl").read_bytes() == before


def test_names_in_run_json_that_lead_out_of_the_folder_are_ignored(settings: Settings, out: Path, tmp_path: Path):
    sfttrain.run(settings())
    (tmp_path / "thesis.tex").write_text("mine")
    summary = json.loads((out / "run.json").read_text())
    checksum = "3fd30542fe3f61b14bd4a4b2dc0b6fb30fa6f63ebce52dd1778aaa8c4dc02cff"
    summary["files"] |= {"../thesis.tex": checksum, str(tmp_path / "thesis.tex"): checksum, "": "", ".": None}
    (out / "run.json").write_text(json.dumps(summary))
    sfttrain.run(settings(overwrite=True))
    assert (tmp_path / "thesis.tex").read_text() == "mine"


def test_a_file_that_appears_while_the_run_trains_is_not_written_over(
    settings: Settings, out: Path, monkeypatch: pytest.MonkeyPatch
):
    step = PackedTrainer.training_step

    def training_step(self: PackedTrainer, *args: Any, **kwargs: Any) -> Any:
        (out / "model.safetensors").write_bytes(b"mine")
        return step(self, *args, **kwargs)

    monkeypatch.setattr(PackedTrainer, "training_step", training_step)
    with pytest.raises(
        OutputError, match=r"model\.safetensors: was not written by .*; the trained model is in .*saving"
    ):
        sfttrain.run(settings())
    assert (out / "model.safetensors").read_bytes() == b"mine"
    assert (out / ".sfttrain" / "saving" / "model.safetensors").stat().st_size > 1000
    assert json.loads((out / "run.json").read_text())["status"] == "failed"


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("shards", "is the dataset's folder"),
        ("shards/../shards/.", "is the dataset's folder"),
        ("shards/train", "lies in the dataset's folder"),
        ("shards/new/run", "lies in the dataset's folder"),
        ("link", "is the dataset's folder"),
        ("link/run", "lies in the dataset's folder"),
        ("model", "is the model's folder"),
    ],
)
def test_the_dataset_and_the_model_are_no_place_for_a_run(
    settings: Settings, shards: Path, tiny_model: Path, tmp_path: Path, place: str, message: str
):
    shutil.copytree(shards, tmp_path / "shards")
    shutil.copytree(tiny_model, tmp_path / "model")
    (tmp_path / "link").symlink_to(tmp_path / "shards")
    before = sorted(tmp_path.rglob("*"))
    config = {"shards": str(tmp_path / "shards"), "model": str(tmp_path / "model"), "out": f"{tmp_path}/{place}"}
    with pytest.raises(ConfigError, match=f"^out: .*: {message}; choose another folder"):
        sfttrain.run(settings(**config, overwrite=True))
    assert sorted(tmp_path.rglob("*")) == before


def test_a_model_inside_the_folder_of_the_run_is_not_cleared_away(settings: Settings, out: Path, tiny_model: Path):
    sfttrain.run(settings(save_every=1))
    with pytest.raises(ConfigError, match="holds the model to train, and overwrite is set"):
        sfttrain.run(settings(model=str(out / "checkpoint-2"), overwrite=True))
    assert (out / "checkpoint-2" / "model.safetensors").exists()


# A run that waits within its first step for a line that never comes, or is killed when it moves its second file.
PROGRAM = """
import os, signal, sys
from pathlib import Path
from sfttrain import run_folder
from sfttrain.cli.app import main
from sfttrain.trainer.packed import PackedTrainer

step, move, moved, mode = PackedTrainer.training_step, run_folder.move_into, [], sys.argv.pop(1)

def training_step(self, *args, **kwargs):
    if mode == "wait":
        print("waiting", flush=True)
        sys.stdin.readline()
    return step(self, *args, **kwargs)

def move_into(*args):
    moved.append(args)
    if mode == "kill" and len(moved) == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    move(*args)

PackedTrainer.training_step, run_folder.move_into = training_step, move_into
main()
"""


def command(python: list[str], mode: str, config: dict[str, Any], *more: str) -> list[str]:
    settings = [f"{key}={json.dumps(value)}" for key, value in config.items() if key != "shards"]
    return [*python, "-c", PROGRAM, mode, "run", config["shards"], *settings, *more]


def test_two_runs_do_not_share_a_folder(settings: Settings, out: Path, python: list[str]):
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command(python, "wait", settings()), text=True, env=ENVIRONMENT, **pipes) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "waiting\n"
        for changes in ({}, {"overwrite": True}, {"resume": True}):
            with pytest.raises(OutputError, match="out: another run is writing into this folder; wait for it"):
                sfttrain.run(settings(**changes))
        assert json.loads((out / "run.json").read_text())["status"] == "running"
        process.kill()
        assert process.stdout.read() == ""  # until it is gone
    assert sfttrain.run(settings(overwrite=True)).summary["status"] == "finished"


def test_a_run_killed_while_it_moves_its_model_is_replaced_or_continued(
    settings: Settings, out: Path, python: list[str]
):
    config = settings(save_every=1)
    done = subprocess.run(command(python, "kill", config), capture_output=True, env=ENVIRONMENT, check=False)
    assert done.returncode == -signal.SIGKILL
    assert json.loads((out / "run.json").read_text())["status"] == "saving"
    moved = [path.name for path in out.iterdir() if path.name in {*OF_MODEL, "tokenizer_config.json"}]
    assert len(moved) == 2
    result = sfttrain.run({**config, "resume": True, "max_steps": 3})
    assert result.summary["resumed_from_step"] == 2
    assert {*OF_MODEL} <= {path.name for path in out.iterdir()}
    again = command(python, "kill", config, "overwrite=true")
    done = subprocess.run(again, capture_output=True, env=ENVIRONMENT, check=False)
    assert done.returncode == -signal.SIGKILL
    assert sfttrain.run({**config, "overwrite": True}).summary["status"] == "finished"


@pytest.mark.parametrize("when", ["at once", "at the end"])
def test_a_shard_that_changes_while_a_run_trains_ends_it(
    settings: Settings, shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str
):
    copy = Path(shutil.copytree(shards, tmp_path / "copy"))
    shard = copy / "train" / "00001-of-00003.arrow"
    step = PackedTrainer.training_step
    seen = []

    def training_step(self: PackedTrainer, *args: Any, **kwargs: Any) -> Any:
        seen.append(1)
        if len(seen) == (1 if when == "at once" else 8):
            content = bytearray(shard.read_bytes())
            content[-300] ^= 1
            status = shard.stat()
            shard.write_bytes(content)
            os.utime(shard, ns=(status.st_atime_ns, status.st_mtime_ns))  # the size and the time stay the same
        return step(self, *args, **kwargs)

    monkeypatch.setattr(PackedTrainer, "training_step", training_step)
    with pytest.raises(
        DatasetError, match=r"00001-of-00003\.arrow: .*; it was changed while a run trains on it; restore"
    ):
        sfttrain.run(settings(shards=str(copy)))
    assert not (tmp_path / "out" / "model.safetensors").exists()


def test_a_shard_that_is_only_touched_or_replaced_by_the_same_is_not_a_change(shards: Path, tmp_path: Path):
    opened = open_shards(shutil.copytree(shards, tmp_path / "copy"))
    shard = tmp_path / "copy" / "train" / "00000-of-00003.arrow"
    os.utime(shard, (1, 1))
    opened.check_unchanged()
    shutil.copy(shard, tmp_path / "other")
    (tmp_path / "other").replace(shard)
    opened.check_unchanged()
    shard.unlink()
    with pytest.raises(DatasetError, match="it was changed while a run trains on it"):
        opened.check_unchanged()


def test_of_a_strangers_tokenizer_only_data_goes_along(settings: Settings, shards: Path, tmp_path: Path):
    copy = Path(shutil.copytree(shards, tmp_path / "copy"))
    config = json.loads((copy / "tokenizer" / "tokenizer_config.json").read_text())
    config |= {"auto_map": {"AutoTokenizer": ["tokenization_x.X", None]}}
    (copy / "tokenizer" / "tokenizer_config.json").write_text(json.dumps(config))
    (copy / "tokenizer" / "tokenization_x.py").write_text("raise SystemExit('foreign code ran')")
    manifest = Manifest.load(copy)
    names = ["tokenizer/tokenization_x.py", *(entry.path for entry in manifest.files)]
    entries = tuple(file_entry(copy, name) for name in names)
    manifest.model_copy(update={"files": entries}).save(copy)
    out = sfttrain.run(settings(shards=str(copy))).out
    assert not list(out.rglob("*.py"))
    assert "auto_map" not in (out / "tokenizer_config.json").read_text()


# Runs into a folder that is a disk of its own, one run for each size: its exit code, stderr, and what it leaves there.
DISKS = """
import json, os, subprocess, sys
from contextlib import redirect_stderr
from io import StringIO
from sfttrain.cli.app import main

out, sizes, *sys.argv[1:] = sys.argv[1:]
for size in sizes.split(","):
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "none", out], check=True)
    code, said = None, StringIO()
    try:
        with redirect_stderr(said):
            main()
    except SystemExit as end:
        code = end.code
    print(json.dumps([size, code, said.getvalue(), os.listdir(out)]))
    subprocess.run(["umount", "--lazy", out], check=True)
"""


def test_a_full_disk_is_one_sentence(settings: Settings, out: Path):
    """Of the sizes at which the disk is full while a checkpoint, its optimizer, and the model are written."""
    sizes = ["60k", "300k", "600k", "900k"]
    out.mkdir()
    own_disks = ["unshare", "-rm"]
    try:
        mount = [*own_disks, "mount", "-t", "tmpfs", "none", str(out)]
        works = subprocess.run(mount, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        works = False
    if not works:
        pytest.skip("this machine does not let a test mount a file system")
    config = settings(save_every=1)
    arguments = [f"{key}={json.dumps(value)}" for key, value in config.items() if key != "shards"]
    call = [*own_disks, sys.executable, "-c", DISKS, str(out), ",".join(sizes), "run", config["shards"], *arguments]
    done = subprocess.run(call, capture_output=True, text=True, env=ENVIRONMENT, check=True)
    found = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("[")]
    assert [size for size, *_ in found] == sizes
    for size, code, stderr, left in found:
        said = [line for line in stderr.splitlines() if line.startswith("sfttrain: ")]
        assert (code, len(said)) == (1, 1), (size, stderr)
        assert "the disk is full; free some space" in said[0]
        assert "Traceback" not in stderr
        assert "model.safetensors" not in left
