"""A run that is killed at any point and continued trains the same sequences in the same order, to the same weights."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from run_metrics import metrics, steps

KILL_AT = Path(__file__).with_name("kill_at.py")
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}
KILLED = -9
ROWS, STEPS_PER_EPOCH, EPOCHS = 18, 5, 2


@pytest.fixture(scope="module")
def model_with_dropout(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model, with dropout in its attention: what a step does depends on the random state."""
    folder = Path(shutil.copytree(tiny_model, tmp_path_factory.mktemp("dropout") / "model"))
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "attention_dropout": 0.2}))
    return folder


class Runs:
    """Runs of the same settings in folders of their own: one that is left alone, and one that is killed.

    `command` starts them, as `python` would.
    """

    def __init__(self, folder: Path, config: dict[str, Any], command: list[str], *, together: bool) -> None:
        self.folder = folder
        self.config = config
        self.command = command
        self.together = together

    def run(self, name: str, point: str, *, killed_rank: int = 0, anew: bool = False) -> int:
        """Start or continue the run of this name; its exit code.

        A Python that starts `anew` has an order of its own for sets of texts, which the processes of `command` share.
        """
        config = self.folder / f"{name}.yaml"
        config.write_text(json.dumps({**self.config, "out": str(self.folder / name), "resume": True}))
        arguments = [str(KILL_AT), point, str(self.folder / f"{name}.jsonl"), "run", str(config)]
        environment = {**ENVIRONMENT, "KILLED_RANK": str(killed_rank)}
        command = [sys.executable] if anew else self.command
        done = subprocess.run([*command, *arguments], capture_output=True, text=True, env=environment, timeout=240)
        assert done.returncode == 0 or "Traceback" not in done.stderr or self.together, done.stderr
        return done.returncode

    def trained(self, name: str) -> list[list[Any]]:
        """The sequences of each step, by the last process that began it, in the order of the steps and ranks."""
        lines = [json.loads(line) for line in (self.folder / f"{name}.jsonl").read_text().splitlines()]
        found: dict[tuple[int, int], tuple[int, list[str]]] = {}
        for step, rank, process, *digests in lines:
            if found.get((step, rank), (0, []))[0] != process:
                found[step, rank] = process, []
            found[step, rank][1].extend(digests)
        return [[step, rank, *digests] for (step, rank), (_, digests) in sorted(found.items())]

    def weights(self, name: str, file: str) -> bytes:
        return (self.folder / name / file).read_bytes()


def checkpoints(out: Path) -> dict[int, str]:
    """What the records of checkpoints say, by their steps."""
    found = {int(path.name.removeprefix("checkpoint-")): path / "sfttrain.json" for path in out.glob("checkpoint-*")}
    return {step: str(json.loads(record.read_text())["status"]) for step, record in sorted(found.items())}


@pytest.fixture
def runs(
    settings: Callable[..., dict[str, Any]],
    model_with_dropout: Path,
    tmp_path: Path,
    python: list[str],
    torchrun: list[str],
) -> Callable[..., Runs]:
    def make(together: bool = False, **changes: Any) -> Runs:
        trainer = {"per_device_train_batch_size": 1}
        config = settings(model=str(model_with_dropout), epochs=EPOCHS, save_every=1, eval_every=3, trainer=trainer)
        del config["max_steps"]
        return Runs(tmp_path, {**config, **changes}, torchrun if together else python, together=together)

    return make


WHOLE, HALF, GOING = "complete", "saving", "removing"


def test_killed_between_steps_and_while_checkpoints_are_written(runs: Callable[..., Runs]):
    """Each run continues from the last whole checkpoint, writes one after each step, and keeps two."""
    full = runs()
    assert full.run("alone", "never", anew=True) == 0
    left = {
        "pass 6": {1: WHOLE},  # in step 2
        "half an optimizer": {2: WHOLE, 3: WHOLE, 4: HALF},  # the third after checkpoint 1
        "no record": {3: WHOLE, 4: WHOLE, 5: HALF},  # the second after checkpoint 3
        "removing": {3: GOING, 4: WHOLE, 5: WHOLE},
        "placing the model": {9: WHOLE, 10: WHOLE},
    }
    for point, statuses in left.items():
        assert full.run("killed", point) == KILLED, point
        assert checkpoints(full.folder / "killed") == statuses, point
    assert full.run("killed", "never") == 0
    assert_same(full, "model.safetensors")


def test_killed_with_an_adapter_and_dropout(runs: Callable[..., Runs]):
    lora = runs(lora={"r": 4, "dropout": 0.3}, save_every=3)
    assert lora.run("alone", "never") == 0
    assert lora.run("killed", "pass 3") == KILLED  # before the first checkpoint
    assert lora.run("killed", "no scheduler") == KILLED  # in the second epoch, at the second checkpoint
    assert checkpoints(lora.folder / "killed") == {3: WHOLE, 6: HALF}
    assert lora.run("killed", "never") == 0
    assert_same(lora, "adapter_model.safetensors")


def test_killed_with_two_processes(runs: Callable[..., Runs]):
    two = runs(together=True, save_every=2)
    assert two.run("alone", "never") == 0
    assert two.run("killed", "no scheduler") != 0
    assert checkpoints(two.folder / "killed") == {2: WHOLE, 4: HALF}
    assert two.run("killed", "in the second epoch", killed_rank=1) != 0
    assert checkpoints(two.folder / "killed") == {4: WHOLE, 6: WHOLE}
    assert two.run("killed", "never") == 0
    assert_same(two, "model.safetensors")


def assert_same(runs: Runs, weights: str) -> None:
    """The run that was killed ended as the one left alone, which trained each sequence once an epoch."""
    alone, killed = runs.folder / "alone", runs.folder / "killed"
    assert runs.trained("killed") == runs.trained("alone")
    assert runs.weights("killed", weights) == runs.weights("alone", weights)
    for lines in (steps, metrics):
        assert [without_speed(line) for line in lines(killed)] == [without_speed(line) for line in lines(alone)]
    trained = runs.trained("alone")
    for epoch in range(EPOCHS):
        first = epoch * STEPS_PER_EPOCH
        digests = [one for step, _, *found in trained if first <= step < first + STEPS_PER_EPOCH for one in found]
        assert len(set(digests)) == len(digests) == ROWS, epoch
    assert json.loads((killed / "run.json").read_text())["status"] == "finished"


def without_speed(line: dict[str, Any]) -> dict[str, Any]:
    timed = ("tokens_per_second", "trained_tokens_per_second", "seconds_left")
    return {name: value for name, value in line.items() if name not in timed}
