"""`sfttrain run`: help, errors in one sentence, and real processes that are stopped, resumed and launched together."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from run_metrics import metrics, steps
from typer.testing import CliRunner

from sfttrain.cli.app import app
from sfttrain.cli.run import resume_command
from sfttrain.config import LoraSettings, TrainConfig

ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}


def test_help_names_every_setting():
    result = CliRunner().invoke(app, ["run", "--help"])
    assert result.exit_code == 0
    for name in ("batch_tokens", "learning_rate", "lora", "save_every", "resume", "trainer"):
        assert name in result.output


@pytest.mark.parametrize("width", ["60", "80", "120"])
def test_the_help_has_every_setting_and_breaks_no_word(width: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("COLUMNS", "100")
    whole = [word for word in CliRunner().invoke(app, ["run", "-h"]).output.split() if word != "\\"]
    monkeypatch.setenv("COLUMNS", width)
    output = CliRunner().invoke(app, ["run", "--help"]).output
    assert [word for word in output.split() if word != "\\"] == whole
    names = [*TrainConfig.model_fields, *(f"lora.{name}" for name in LoraSettings.model_fields)]
    assert [name for name in names if f"\n  {name} " not in output.replace("\n", " \n")] == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere", "--model", "m", "--out", "o"], "nowhere: does not exist"),
        (["nowhere.yaml"], "No such file"),
        (["data", "--model", "m"], "out is required"),
        (
            ["data", "--model", "m", "--out", "o", "learning_rate=.inf"],
            "learning_rate: input should be a finite number",
        ),
        (["data", "--model", "m", "--out", "o", "warmup=.nan"], "warmup: input should be a finite number"),
        (["data", "--model", "m", "--out", "o", "trainer.weight_decay=-.inf"], "weight_decay must be a finite number"),
        (["data", "--model", "m", "--out", "o", "seed=2026-02-30"], "seed=2026-02-30: the value is not YAML"),
        (["data", "--model", "m", "--out", "s3://bucket/run"], "out: s3://bucket/run: is an address, not a folder"),
        (["data", "--model", "m", "--out", "' '"], "out: is empty, or has a null character in it"),
        (["x" * 5000, "--model", "m", "--out", "o"], "does not exist"),
        (["data", "--model", "m", "--out", "o\udcff"], "the value is not YAML"),
        (["s\udcff\x1b[2J", "--model", "m", "--out", "o"], "[2J: does not exist"),
        (["data", "--model", "m", "--out", "o", "epoch=2"], "epoch is not a setting; did you mean epochs?"),
        (["epochs=2", "--model", "m", "--out", "o"], "the first argument is a settings file or a folder of shards"),
    ],
)
def test_a_user_error_is_one_sentence_and_exit_code_1(arguments: list[str], message: str):
    result = CliRunner().invoke(app, ["run", *arguments])
    assert result.exit_code == 1
    assert message in result.output
    assert "Traceback" not in result.output
    assert len(result.output.strip().splitlines()) == 1
    assert "\x1b" not in result.output


@pytest.mark.parametrize(
    ("close", "code", "said"),
    [
        (">&-", 0, "step 2/2"),
        (">/dev/full", 1, "sfttrain: the model is in out, but the result could not be printed"),
        ("2>&-", 0, "saved in out"),
        ("2>/dev/full", 0, "saved in out"),
        ("2>&1 >/dev/null | head -c 1", 0, "d"),
    ],
)
def test_output_that_nobody_reads_ends_no_run(
    settings: Callable[..., dict[str, Any]], tmp_path: Path, python: list[str], close: str, code: int, said: str
):
    config = settings(out="out", save_every=1)
    arguments = [f"{key}={json.dumps(value)}" for key, value in config.items() if key != "shards"]
    program = [sys.executable] if close.endswith("&-") else python  # what stands in for Python needs all three streams
    command = shlex.join([*program, "-m", "sfttrain", "run", config["shards"], *arguments])
    shell = ["bash", "-o", "pipefail", "-c", f"{command} {close}"]
    done = subprocess.run(shell, capture_output=True, text=True, env=ENVIRONMENT, cwd=tmp_path, timeout=120)
    assert done.returncode == code, done.stderr
    assert said in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert (tmp_path / "out" / "model.safetensors").exists()
    assert json.loads((tmp_path / "out" / "run.json").read_text())["status"] == "finished"


def test_the_resume_command_is_the_command_with_resume():
    arguments = ["run", "my shards", "--model", "m", "overwrite=true", "resume=false", "epochs=2"]
    assert resume_command(arguments) == "sfttrain run 'my shards' --model m epochs=2 resume=true"


def test_ctrl_c_leaves_a_checkpoint_and_prints_the_command_that_continues(
    shards: Path, tiny_model: Path, tmp_path: Path, python: list[str]
):
    out = tmp_path / "out"
    settings = ["batch_tokens=64", "max_steps=60", "learning_rate=1e-3", "dtype=float32"]
    arguments = ["run", str(shards), "--model", str(tiny_model), "--out", str(out), *settings]
    command = [*python, "-m", "sfttrain"]
    process = subprocess.Popen([*command, *arguments], stderr=subprocess.PIPE, text=True, env=ENVIRONMENT)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None and len(metrics(out)) < 3:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, output = process.communicate(timeout=60)
    assert process.returncode == 130, output
    assert "Traceback" not in output
    stopped_after = json.loads((out / "run.json").read_text())["steps"]
    assert 3 <= stopped_after < 60
    assert (out / f"checkpoint-{stopped_after}" / "trainer_state.json").exists()
    how = output.strip().splitlines()[-1].split("continue with: ")[1]
    program, *again = shlex.split(how)
    assert program == "sfttrain"
    done = subprocess.run([*command, *again], capture_output=True, text=True, env=ENVIRONMENT, timeout=120)
    assert done.returncode == 0, done.stderr
    assert f"resume after step {stopped_after}" in done.stderr
    assert [line["step"] for line in steps(out)] == [*range(1, 61)]
    assert "trained 60 steps" in done.stdout


# A run whose fifth batch, the first of the second step, waits for a line that never comes.
WAITS = """
import sys
from sfttrain.cli.app import main
from sfttrain.trainer.packed import PackedTrainer

step, seen = PackedTrainer.training_step, []

def training_step(self, *args, **kwargs):
    seen.append(1)
    if len(seen) == 5:
        print("waiting", flush=True)
        sys.stdin.readline()
    return step(self, *args, **kwargs)

PackedTrainer.training_step = training_step
main()
"""


def test_a_second_ctrl_c_stops_at_once_and_run_json_says_interrupted(
    shards: Path, tiny_model: Path, tmp_path: Path, python: list[str]
):
    out = tmp_path / "out"
    settings = ["batch_tokens=256", "max_steps=9", "learning_rate=1e-3", "dtype=float32", "save_every=1"]
    arguments = ["run", str(shards), "--model", str(tiny_model), "--out", str(out), *settings]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen([*python, "-c", WAITS, *arguments], text=True, env=ENVIRONMENT, **pipes) as process:
        assert process.stdout and process.stderr
        assert process.stdout.readline() == "waiting\n"
        assert json.loads((out / "run.json").read_text())["status"] == "running"
        process.send_signal(signal.SIGINT)
        before = next(line for line in process.stderr if line.startswith("stopping: saving a checkpoint first"))
        process.send_signal(signal.SIGINT)
        rest = process.stderr.read()
    assert process.returncode == 130, (before, rest)
    assert rest.strip().splitlines() == ["sfttrain: stopped; nothing was saved after the last checkpoint"]
    summary = json.loads((out / "run.json").read_text())
    assert summary["status"] == "interrupted"
    assert (out / "checkpoint-1" / "trainer_state.json").exists()
    again = [*python, "-m", "sfttrain", *arguments, "resume=true"]
    done = subprocess.run(again, capture_output=True, text=True, env=ENVIRONMENT, timeout=120)
    assert done.returncode == 0, done.stderr
    assert json.loads((out / "run.json").read_text())["status"] == "finished"
    assert [line["step"] for line in steps(out)] == [*range(1, 10)]


def test_two_processes_train_with_the_same_loss_as_one(
    settings: Callable[..., dict[str, Any]], tmp_path: Path, torchrun: list[str]
):
    import sfttrain

    alone = sfttrain.run(settings(out=str(tmp_path / "alone"), max_steps=3, batch_tokens=10**6, schedule="constant"))
    config = tmp_path / "train.yaml"
    config.write_text(json.dumps(settings(max_steps=3, batch_tokens=10**6, schedule="constant")))
    command = [*torchrun, "-m", "sfttrain", "run", str(config)]
    done = subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT, timeout=240)
    assert done.returncode == 0, done.stderr
    together, one = steps(tmp_path / "out"), steps(alone.out)
    assert [line["loss"] for line in together] == pytest.approx([line["loss"] for line in one], rel=1e-5)
    assert [line["tokens"] for line in together] == [line["tokens"] for line in one]
    assert [line["trained_tokens"] for line in together] == [line["trained_tokens"] for line in one]


def test_two_processes_continue_from_their_checkpoint_and_one_alone_does_not(
    settings: Callable[..., dict[str, Any]], tmp_path: Path, torchrun: list[str]
):
    import sfttrain
    from sftdata.errors import ConfigError

    config = settings(max_steps=2, batch_tokens=10**6, save_every=1, schedule="constant")

    def together(**changes: Any) -> subprocess.CompletedProcess[str]:
        (tmp_path / "train.yaml").write_text(json.dumps({**config, **changes}))
        command = [*torchrun, "-m", "sfttrain", "run", str(tmp_path / "train.yaml")]
        return subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT, timeout=240)

    done = together()
    assert done.returncode == 0, done.stderr
    out = tmp_path / "out"
    record = json.loads((out / "checkpoint-2" / "sfttrain.json").read_text())
    assert {"rng_state_0.pth", "rng_state_1.pth", "optimizer.pt", "scheduler.pt"} <= record["files"].keys()
    with pytest.raises(ConfigError, match="the earlier run had processes 2, this one has 1"):
        sfttrain.run({**config, "resume": True, "max_steps": 3})
    done = together(resume=True, max_steps=3)
    assert done.returncode == 0, done.stderr
    assert [line["step"] for line in steps(out)] == [1, 2, 3]
    (out / "checkpoint-3" / "rng_state_1.pth").unlink()
    done = together(resume=True, max_steps=4)
    assert done.returncode == 1
    assert "checkpoint-3: is damaged: rng_state_1.pth is gone; resume from another checkpoint" in done.stderr


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="the names of threads are read from Linux's /proc")
def test_no_thread_of_a_process_group_is_left_when_a_run_ends(python: list[str]):
    program = """
from pathlib import Path
import torch
import torch.distributed.nn  # its functions hold the group that is there when it is imported
from torch import distributed
from sfttrain.cli.run import leave_process_group

def threads():
    return sum("gloo" in name.read_text() for name in Path("/proc/self/task").glob("*/comm"))

distributed.init_process_group("gloo", rank=0, world_size=1, store=distributed.HashStore())
model = torch.nn.parallel.DistributedDataParallel(torch.nn.Linear(3, 3))
model.cycle = [model]
model(torch.ones(2, 3)).sum().backward()
del model
print(threads() > 0)
leave_process_group()
print(threads(), distributed.is_initialized())
"""
    done = subprocess.run([*python, "-c", program], capture_output=True, text=True, env=ENVIRONMENT, timeout=120)
    assert done.stdout == "True\n0 False\n", done.stderr
