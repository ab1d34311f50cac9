"""Several processes on CPUs, over gloo: DDP and FSDP2, started with the files in examples/."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from run_metrics import losses

import sfttrain

EXAMPLES = Path(__file__).parents[2] / "examples" / "distributed"
ON_CPUS = str(Path(__file__).with_name("on_cpus.py"))
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
LAUNCH = [sys.executable, "-m", "accelerate.commands.launch", "--config_file"]
Settings = Callable[..., dict[str, Any]]


def accelerate(python: list[str], file: str) -> list[str]:
    """The command by which accelerate runs what follows, as for `python`, with one of the example files."""
    return [*python, *LAUNCH[1:], str(EXAMPLES / file), "--no_python", *python]


def run(command: list[str], config: dict[str, Any], folder: Path) -> subprocess.CompletedProcess[str]:
    """What `command` does with a file of these settings."""
    (folder / "train.yaml").write_text(json.dumps(config))
    command = [*command, "run", str(folder / "train.yaml")]
    done = subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT, timeout=240)
    assert done.returncode == 0, done.stderr
    return done


@pytest.mark.parametrize(
    ("name", "kind"), [("ddp.yaml", "MULTI_GPU"), ("fsdp2.yaml", "FSDP"), ("deepspeed.yaml", "DEEPSPEED")]
)
def test_accelerate_reads_the_example_files(name: str, kind: str):
    from accelerate.commands.config.config_args import load_config_from_file

    config = load_config_from_file(str(EXAMPLES / name))
    assert config.distributed_type == kind
    assert config.num_processes == 2
    assert not config.use_cpu


def test_every_example_file_is_tested():
    assert sorted(path.name for path in EXAMPLES.iterdir()) == ["ddp.yaml", "deepspeed.yaml", "fsdp2.yaml"]


@pytest.fixture
def alone(settings: Settings, tmp_path: Path) -> list[tuple[int, float]]:
    """The losses of four steps of one process."""
    return losses(sfttrain.run(settings(out=str(tmp_path / "alone"), max_steps=4, schedule="constant")).out)


def test_ddp_by_accelerate(settings: Settings, tmp_path: Path, alone: list[tuple[int, float]]):
    launch = [*LAUNCH, str(EXAMPLES / "ddp.yaml"), "-m", "sfttrain"]
    done = run(launch, settings(max_steps=4, schedule="constant"), tmp_path)
    assert done.stdout.count("trained 4 steps on") == 1  # one process says it
    assert losses(tmp_path / "out") == [(step, pytest.approx(loss, rel=1e-5)) for step, loss in alone]


def test_fsdp2_by_accelerate_with_a_checkpoint(
    settings: Settings, tmp_path: Path, python: list[str], alone: list[tuple[int, float]]
):
    read = tmp_path / "read.jsonl"
    launch = [*accelerate(python, "fsdp2.yaml"), ON_CPUS, str(read)]
    run(launch, settings(max_steps=2, save_every=1, schedule="constant"), tmp_path)
    run(launch, settings(max_steps=4, schedule="constant", resume=True), tmp_path)
    assert losses(tmp_path / "out") == [(step, pytest.approx(loss, rel=1e-5)) for step, loss in alone]
    kinds = {tuple(line[1:]) for line in map(json.loads, read.read_text().splitlines()) if isinstance(line[1], str)}
    assert kinds == {("FSDP", "FSDPLlamaForCausalLM", "DTensor")}

    from safetensors.torch import load_file

    ours, whole = (load_file(tmp_path / name / "model.safetensors") for name in ("out", "alone"))
    assert ours.keys() == whole.keys()
    assert max(float((ours[name] - whole[name]).abs().max()) for name in whole) < 1e-4


def test_sharding_that_accelerate_would_leave_out_on_cpus_is_refused(
    settings: Settings, tmp_path: Path, python: list[str]
):
    (tmp_path / "train.yaml").write_text(json.dumps(settings()))
    launch = [*accelerate(python, "fsdp2.yaml"), "-m", "sfttrain", "run"]
    command = [*launch, str(tmp_path / "train.yaml")]
    done = subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT, timeout=240)
    assert done.returncode == 1
    assert "sfttrain: distributed_type: FSDP: accelerate shards a model on GPUs alone, and these pro" in done.stderr


def test_each_process_reads_only_its_sequences(settings: Settings, tmp_path: Path, torchrun: list[str]):
    """One each in turn: the first process reads the 1st, the 3rd, ..., the other one the rest."""
    read = tmp_path / "read.jsonl"
    config = settings(epochs=1, trainer={"per_device_train_batch_size": 1, "eval_on_start": False})
    del config["max_steps"]
    run([*torchrun, ON_CPUS, str(read)], config, tmp_path)
    lines = [json.loads(line) for line in read.read_text().splitlines()]
    numbers = {rank: [line[1] for line in lines if line[0] == rank and isinstance(line[1], list)] for rank in (0, 1)}
    assert numbers[0][:9] == [[0], [2], [4], [6], [8], [10], [12], [14], [16]]
    assert numbers[1][:9] == [[1], [3], [5], [7], [9], [11], [13], [15], [17]]
    validation = sorted(number for rank in (0, 1) for batch in numbers[rank][9:] for number in batch)
    assert validation == [0, 1, 2, 3, 4]
