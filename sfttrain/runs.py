"""The folder of a run: run.json, metrics.jsonl, checkpoints; what an earlier run left there, and where to go on."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sftdata.errors import ConfigError
from sftdata.files.atomic import output_faults, write_bytes

FACTS = "run.json"
METRICS = "metrics.jsonl"
SAVING = ".saving"  # where a model is written before it is moved in
COMPLETE = "trainer_state.json"  # Trainer writes it last: a checkpoint without it was cut off


@dataclass(frozen=True, slots=True)
class Run:
    """Where a run writes, and what it goes on from."""

    out: Path
    resume_from: Path | None = None
    tokens_before: int = 0  # of the steps before that checkpoint
    trained_tokens_before: int = 0

    @property
    def metrics(self) -> Path:
        """One JSON object a line: the steps and validation losses."""
        return self.out / METRICS

    def checkpoint(self, step: int) -> Path:
        """The folder of the checkpoint after a step."""
        return self.out / f"checkpoint-{step}"

    @property
    def first_step(self) -> int:
        """Steps done before this run."""
        return 0 if self.resume_from is None else step_of(self.resume_from)

    def write_facts(self, facts: Mapping[str, Any], *, main: bool) -> None:
        """Write run.json, whole or not at all; only the main process of several does. Raises OutputError."""
        if main:
            write_bytes(self.out / FACTS, (json.dumps(facts, indent=2, ensure_ascii=False) + "\n").encode())

    def how_to_resume(self, step: int, command: str | None) -> str:
        """What to do after a stop in the middle."""
        if not (self.checkpoint(step) / COMPLETE).is_file():
            return "stopped before the first step was done; there is nothing to go on from"
        how = f"go on with: {command}" if command else "go on with the same settings and resume=true"
        return f"stopped after step {step:,}; the checkpoint is {self.checkpoint(step)}; {how}"


def open_run(out: str | Path, *, resume: bool | str, overwrite: bool, same: Mapping[str, Any], main: bool) -> Run:
    """The folder of a run, made ready: empty of an earlier run, or cut back to the checkpoint to go on from.

    `same` are facts of run.json that a run must share with the one it continues. Only the `main` process of several
    changes anything. Raises ConfigError where an earlier run is there and neither `resume` nor `overwrite` is set,
    where there is no such checkpoint, or it belongs to other data or batches; OutputError where the folder cannot be
    written.
    """
    folder = Path(out)
    with output_faults(folder):
        folder.mkdir(parents=True, exist_ok=True)
        if main:
            shutil.rmtree(folder / SAVING, ignore_errors=True)  # of a run that was ended while it saved
        checkpoint = _checkpoint(folder, resume)
        if checkpoint is not None:
            _check_same(folder, checkpoint, same)
            return _cut_back(Run(folder, checkpoint), main)
        if main and ((folder / FACTS).exists() or checkpoints(folder)):
            if not overwrite and not resume:
                todo = "set resume=true to go on with it, overwrite=true to replace it, or choose another out"
                raise ConfigError(str(folder), "holds an earlier run", todo)
            _clear(folder)
        return Run(folder)


def checkpoints(out: Path) -> list[Path]:
    """The whole checkpoints of a run, oldest first."""
    found = [path for path in out.glob("checkpoint-*") if re.fullmatch(r"checkpoint-\d+", path.name)]
    return sorted((path for path in found if (path / COMPLETE).is_file()), key=step_of)


def step_of(checkpoint: Path) -> int:
    """The step after which a checkpoint was written."""
    return int(json.loads((checkpoint / COMPLETE).read_text(encoding="utf-8"))["global_step"])


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The lines of metrics.jsonl; a last line that was cut off is left out."""
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    whole, _, _ = text.rpartition("\n")
    return [json.loads(line) for line in whole.splitlines()]


def _checkpoint(out: Path, resume: bool | str) -> Path | None:
    """The checkpoint to go on from, or None to begin at the beginning."""
    if isinstance(resume, str):
        path = Path(resume)
        if not (path / COMPLETE).is_file():
            raise ConfigError(f"resume: {resume}", "is not a whole checkpoint", "give one of OUT/checkpoint-*, or true")
        return path
    found = checkpoints(out) if resume else []
    return found[-1] if found else None


def _check_same(out: Path, checkpoint: Path, same: Mapping[str, Any]) -> None:
    """Raises ConfigError where the run to continue saw other data or other batches: rows would repeat or be skipped."""
    path = checkpoint.parent / FACTS
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(str(path), "cannot be read, so the run cannot be continued", "start a new run") from error
    for name, value in same.items():
        if facts.get(name) != value:
            what = f"the run there has {name} {facts.get(name)!r}, this one {value!r}: rows would repeat or be skipped"
            raise ConfigError(str(out), what, "resume with the settings it was started with, or start a new run")


def _cut_back(run: Run, main: bool) -> Run:
    """The run with metrics and counts as they were when its checkpoint was written."""
    lines = [line for line in read_metrics(run.metrics) if line["step"] <= run.first_step]
    if main:
        write_bytes(run.metrics, "".join(json.dumps(line) + "\n" for line in lines).encode())
        for path in checkpoints(run.out):
            if step_of(path) > run.first_step:  # another future than the one that begins now
                shutil.rmtree(path)
    steps = [line for line in lines if "tokens" in line]
    last = steps[-1] if steps else {"tokens": 0, "trained_tokens": 0}
    return Run(run.out, run.resume_from, last["tokens"], last["trained_tokens"])


def _clear(out: Path) -> None:
    """Remove what an earlier run wrote, and nothing else: run.json lists the files of its model."""
    for path in out.glob("checkpoint-*"):
        shutil.rmtree(path)
    try:
        files = json.loads((out / FACTS).read_text(encoding="utf-8"))["files"]
    except (OSError, ValueError, KeyError):
        files = []  # it did not come to its end
    for name in (METRICS, FACTS, *files):
        (out / Path(name).name).unlink(missing_ok=True)
