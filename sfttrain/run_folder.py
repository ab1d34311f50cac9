"""The folder of a run: run.json, metrics.jsonl and checkpoints; and where a resumed run continues."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sftdata.errors import ConfigError, pluralize
from sftdata.files.atomic import output_errors, write_bytes
from sfttrain.config import TrainConfig

RUN_JSON = "run.json"
METRICS = "metrics.jsonl"
SAVING = ".saving"  # the model is written here, then moved
TRAINER_STATE = "trainer_state.json"  # Trainer writes it last: a checkpoint without it is incomplete


@dataclass(frozen=True, slots=True)
class RunFolder:
    """Where a run writes, and the checkpoint that it continues from."""

    path: Path
    is_main: bool = True  # only the main process of several writes
    resume_from: Path | None = None
    tokens_before: int = 0  # trained on before that checkpoint
    trained_tokens_before: int = 0

    @property
    def metrics(self) -> Path:
        """One JSON object per line: the steps and the validation losses."""
        return self.path / METRICS

    def checkpoint(self, step: int) -> Path:
        """The folder of the checkpoint after a step."""
        return self.path / f"checkpoint-{step}"

    @property
    def first_step(self) -> int:
        """Steps done before this run."""
        return 0 if self.resume_from is None else step_of(self.resume_from)

    def check_steps_left(self, num_steps: int) -> None:
        """Raise ConfigError where the checkpoint to continue from is already at the end of `num_steps`."""
        if self.first_step >= num_steps:
            what = f"has {self.first_step:,} of {pluralize(num_steps, 'step')} done, so nothing is left to train"
            raise ConfigError(str(self.resume_from), what, "raise max_steps or epochs to train further")

    def write_summary(self, summary: Mapping[str, Any]) -> None:
        """Write run.json, complete or not at all. Raises OutputError."""
        if self.is_main:
            data = json.dumps(summary, indent=2, ensure_ascii=False) + "\n"
            write_bytes(self.path / RUN_JSON, data.encode())

    def how_to_resume(self, step: int, command: str | None) -> str:
        """What to tell the user after a stop in the middle."""
        checkpoint = self.checkpoint(step)
        if not (checkpoint / TRAINER_STATE).is_file():
            return "stopped before the first step was complete; there is no checkpoint to continue from"
        how = f"continue with: {command}" if command else "continue with the same settings and resume=true"
        return f"stopped after step {step:,}; the checkpoint is {checkpoint}; {how}"


def open_run_folder(config: TrainConfig, row_order: Mapping[str, Any], *, is_main: bool) -> RunFolder:
    """Prepare the folder `config.out`: cleared of an earlier run, or cut back to the checkpoint to continue from.

    `row_order` holds the values of run.json that decide which rows each step sees; a continued run must share them.
    Only the main process of several changes anything. Raises ConfigError where the folder holds an earlier run and
    neither `resume` nor `overwrite` is set, where there is no such checkpoint, or it belongs to other data or batches;
    OutputError where the folder cannot be written.
    """
    path = Path(config.out)
    with output_errors(path):
        path.mkdir(parents=True, exist_ok=True)
        if is_main:
            shutil.rmtree(path / SAVING, ignore_errors=True)  # of a run that was killed while saving
        checkpoint = _find_checkpoint(path, config.resume)
        if checkpoint is not None:
            _check_row_order(path, checkpoint, row_order)
            return _cut_back(RunFolder(path, is_main, checkpoint))
        if is_main and ((path / RUN_JSON).exists() or checkpoints(path)):
            if not config.overwrite and not config.resume:
                hint = "set resume=true to continue it, overwrite=true to replace it, or choose another out"
                raise ConfigError(str(path), "holds an earlier run", hint)
            _clear(path)
        return RunFolder(path, is_main)


def checkpoints(path: Path) -> list[Path]:
    """The complete checkpoints of a run, oldest first."""
    found = [entry for entry in path.glob("checkpoint-*") if re.fullmatch(r"checkpoint-\d+", entry.name)]
    return sorted((entry for entry in found if (entry / TRAINER_STATE).is_file()), key=step_of)


def step_of(checkpoint: Path) -> int:
    """The step after which a checkpoint was written."""
    return int(json.loads((checkpoint / TRAINER_STATE).read_text(encoding="utf-8"))["global_step"])


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The lines of metrics.jsonl, without an incomplete last line."""
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    complete, _, _ = text.rpartition("\n")
    return [json.loads(line) for line in complete.splitlines()]


def _find_checkpoint(path: Path, resume: bool | str) -> Path | None:
    """The checkpoint to continue from; None to start from the beginning."""
    if isinstance(resume, str):
        chosen = Path(resume)
        if not (chosen / TRAINER_STATE).is_file():
            what = "is not a complete checkpoint"
            raise ConfigError(f"resume: {resume}", what, "give one of OUT/checkpoint-*, or true")
        return chosen
    found = checkpoints(path) if resume else []
    return found[-1] if found else None


def _check_row_order(path: Path, checkpoint: Path, row_order: Mapping[str, Any]) -> None:
    """Raise ConfigError where the run to continue had other data or batches: rows would repeat or be skipped."""
    run_json = checkpoint.parent / RUN_JSON
    try:
        earlier = json.loads(run_json.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(str(run_json), "cannot be read, so the run cannot be continued", "start a new run") from error
    for name, value in row_order.items():
        if earlier.get(name) != value:
            old = earlier.get(name)
            what = f"the earlier run had {name} {old!r}, this one has {value!r}, so rows would repeat or be skipped"
            raise ConfigError(str(path), what, "resume with the earlier settings, or start a new run")


def _cut_back(folder: RunFolder) -> RunFolder:
    """The folder with its metrics and token counts as they were when the checkpoint was written."""
    lines = [line for line in read_metrics(folder.metrics) if line["step"] <= folder.first_step]
    if folder.is_main:
        write_bytes(folder.metrics, "".join(json.dumps(line) + "\n" for line in lines).encode())
        for checkpoint in checkpoints(folder.path):
            if step_of(checkpoint) > folder.first_step:  # the continued run writes its own
                shutil.rmtree(checkpoint)
    steps = [line for line in lines if "tokens" in line]
    last = steps[-1] if steps else {"tokens": 0, "trained_tokens": 0}
    return RunFolder(folder.path, folder.is_main, folder.resume_from, last["tokens"], last["trained_tokens"])


def _clear(path: Path) -> None:
    """Remove what an earlier run wrote, and nothing else; run.json lists the files of its model."""
    for checkpoint in path.glob("checkpoint-*"):
        shutil.rmtree(checkpoint)
    try:
        files = json.loads((path / RUN_JSON).read_text(encoding="utf-8"))["files"]
    except (OSError, ValueError, KeyError):
        files = []  # the run did not finish
    for name in (METRICS, RUN_JSON, *files):
        if ".." not in Path(name).parts and not Path(name).is_absolute():
            (path / name).unlink(missing_ok=True)
