"""The folder of a run: run.json, metrics.jsonl and the model; what of it is ours, and where a resumed run continues.

OUT/run.json           how the run went, and the files of the model with their checksums: what a later run may replace
    metrics.jsonl      a line for each step and each validation
    report.html        both as a page: see report/
    checkpoint-500/    see checkpoints.py
    .sfttrain/lock     held by the run
              saving/  the model is written here, then moved
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from sftdata.errors import ConfigError, OutputError, pluralize
from sftdata.files.atomic import file_sha256, output_errors, write_bytes
from sftdata.files.inside import (
    inside,
    is_file,
    is_plain_name,
    is_taken,
    move_into,
    refuse_link,
    remove_if_empty,
    remove_inside,
)
from sftdata.files.lock import FolderLock
from sftdata.files.report_files import REPORT_NAME
from sfttrain.checkpoints import (
    TRAINER_STATE,
    check_checkpoint,
    checkpoints,
    hash_files,
    is_complete,
    named_checkpoints,
    own_checkpoints,
    read_record,
    remove_checkpoint,
)
from sfttrain.config import TrainConfig
from sfttrain.report.mark import REPORT, check_own
from sfttrain.resume import check_shared
from sfttrain.say import say
from sfttrain.summary import RUN_JSON, run_in

ADAPTER_CONFIG = "adapter_config.json"  # in a folder whose model is an adapter
METRICS = "metrics.jsonl"
ANSWERS = "answers.jsonl"
WORK = ".sfttrain"
# The files that a model is saved in, besides those of the tokenizer.
_OF_MODEL = re.compile(
    r"((generation_|adapter_)?config\.json"
    r"|(pytorch_model|model|adapter_model)(-\d+-of-\d+)?\.(safetensors|bin)(\.index\.json)?)"
)
MOVE_IT = "move it away, or choose another out"


@dataclass(slots=True)
class RunFolder:
    """Where a run writes, and the checkpoint that it continues from."""

    path: Path
    is_main: bool = True  # only the main process of several writes
    resume_from: Path | None = None
    tokens_before: int = 0  # trained on before that checkpoint
    trained_tokens_before: int = 0
    settings: Mapping[str, Any] = field(default_factory=dict)  # that a continued run must share
    files: dict[str, str] = field(default_factory=dict)  # of the model in the folder, with their checksums
    is_finished: bool = True  # the run that is continued had saved its model
    changes: tuple[str, ...] = ()  # what this run has otherwise than the one that it continues, in words
    replaces: bool = False  # an earlier run is still here: see begin

    @property
    def metrics(self) -> Path:
        """One JSON object per line: the steps and the validation losses."""
        return self.path / METRICS

    @property
    def answers(self) -> Path:
        """One JSON object per line: what the model answered to a prompt after a step."""
        return self.path / ANSWERS

    @property
    def saving(self) -> Path:
        """Where the model is written before it is moved into the folder."""
        return self.path / WORK / "saving"

    def checkpoint(self, step: int) -> Path:
        """The folder of the checkpoint after a step."""
        return self.path / f"checkpoint-{step}"

    @property
    def first_step(self) -> int:
        """Steps done before this run."""
        return 0 if self.resume_from is None else step_of(self.resume_from)

    def check_steps_left(self, num_steps: int) -> None:
        """Raise ConfigError where the checkpoint to continue from is already at the end of `num_steps`.

        A run that was killed after its last step, before its model was saved, has that left to do. Says where another
        length changes the learning rate.
        """
        if self.first_step > num_steps or (self.first_step == num_steps and self.is_finished):
            what = f"has {self.first_step:,} of {pluralize(num_steps, 'step')} done, so nothing is left to train"
            raise ConfigError(str(self.resume_from), what, "raise max_steps or epochs to train further")
        planned = None if self.resume_from is None else steps_planned(self.resume_from)
        if self.is_main and planned not in (None, num_steps) and self.settings.get("schedule") != "constant":
            lengths = f"the earlier run had {pluralize(planned, 'step')} in all, this one has {num_steps:,}"
            say(f"note   {lengths}, so from here on the learning rate is that of another schedule")

    def begin(self, summary: Mapping[str, Any]) -> None:
        """Remove the earlier run that this one replaces, which stays until this one trains, and write run.json. Raises
        OutputError.
        """
        if self.is_main and self.replaces:
            with output_errors(self.path):
                _clear(self.path, self.files)
            self.files.clear()
        self.replaces = False
        self.write_summary(summary)

    def write_summary(self, summary: Mapping[str, Any]) -> None:
        """Write run.json, complete or not at all; never over that of an earlier run. Raises OutputError."""
        if self.is_main and not self.replaces:
            content = {**summary, "files": summary.get("files", self.files)}
            data = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
            write_bytes(self.path / RUN_JSON, data.encode("utf-8", "backslashreplace"))

    def place_model(self, summary: Mapping[str, Any]) -> dict[str, str]:
        """Move the saved model into the folder; its files with their checksums.

        run.json lists them before the first is moved, so that a later run knows them for ours if this one is killed.
        Raises OutputError where a file is in the way that no run wrote.
        """
        names = sorted(path.relative_to(self.saving).as_posix() for path in self.saving.rglob("*") if path.is_file())
        with output_errors(self.path):
            files = hash_files(self.saving, names)
            for name in names:
                target = inside(self.path, name)
                if is_taken(target) and not _is_ours(target, self.files.get(name, ())):
                    todo = f"move it away; the trained model is in {self.saving}"
                    raise OutputError(str(target), "was not written by sfttrain, or has changed since", todo)
            self.write_summary({"status": "saving", **summary, "files": files, "replaced": dict(self.files)})
            for name in names:
                move_into(self.saving / name, self.path, name)
                self.files[name] = files[name]
            remove_inside(self.path, [name for name in self.files if name not in files])
            shutil.rmtree(self.saving)
        return files

    def how_to_resume(self, step: int, command: str | None) -> str:
        """What to tell the user after a stop in the middle."""
        checkpoint = self.checkpoint(step)
        if not is_complete(checkpoint):
            return "stopped before the first step was complete; there is no checkpoint to continue from"
        how = f"continue with: {command}" if command else "continue with the same settings and resume=true"
        return f"stopped after step {step:,}; the checkpoint is {checkpoint}; {how}"


@contextmanager
def open_run_folder(
    config: TrainConfig, settings: Mapping[str, Any], names: Collection[str], *, is_main: bool
) -> Iterator[RunFolder]:
    """The folder `config.out` while a run works in it, cut back to the checkpoint to continue from. An earlier run that
    this one replaces is still there: see `RunFolder.begin`.

    `settings` are those that a continued run must share, and `names` the files that the run will write besides the
    model. Only the main process of several changes anything.

    Raises ConfigError where the folder holds an earlier run and neither `resume` nor `overwrite` is set, where there is
    no such checkpoint, it is damaged, or it belongs to a run with other settings; OutputError where the folder cannot
    be written, another run works in it, or something is in the way that no run wrote.
    """
    path, work = Path(config.out), Path(config.out, WORK)
    lock = FolderLock(work / "lock", path)
    with output_errors(path):
        path.mkdir(parents=True, exist_ok=True)
        if is_main:
            refuse_link(work)
            work.mkdir(exist_ok=True)
            lock.acquire()
    try:
        with output_errors(path):
            folder = _prepared(config, settings, names, is_main=is_main)
        yield folder
    finally:
        if is_main:
            lock.remove()
            remove_if_empty(work)


def check_place(config: TrainConfig) -> None:
    """Raise ConfigError where the output folder is the dataset's, one inside it, or the model's."""
    where, todo = f"out: {config.out}", "choose another folder"
    if "://" in config.out:
        raise ConfigError(where, "is an address, not a folder", "give a local folder")
    with output_errors(config.out):
        out, shards, model = (Path(os.path.realpath(given)) for given in (config.out, config.shards, config.model))
        if _is_same(out, shards):
            raise ConfigError(where, "is the dataset's folder", todo)
        if any(_is_same(parent, shards) for parent in out.parents):
            raise ConfigError(where, "lies in the dataset's folder", todo)
        if not _is_folder(model):
            return
        if _is_same(out, model):
            raise ConfigError(where, "is the model's folder", todo)
        if config.overwrite and any(_is_same(parent, out) for parent in model.parents):
            raise ConfigError(where, "holds the model to train, and overwrite is set", todo)


def step_of(checkpoint: Path) -> int:
    """The step after which a checkpoint was written. Raises ConfigError where it does not say so."""
    try:
        return int(json.loads((checkpoint / TRAINER_STATE).read_text(encoding="utf-8"))["global_step"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        what = f"is damaged: {TRAINER_STATE} cannot be read"
        raise ConfigError(str(checkpoint), what, "resume from another checkpoint, or start a new run") from error


def steps_planned(checkpoint: Path) -> int | None:
    """The steps that the run of a checkpoint was to take in all; None where it does not say so."""
    try:
        return int(json.loads((checkpoint / TRAINER_STATE).read_text(encoding="utf-8"))["max_steps"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The lines of metrics.jsonl, without an incomplete last line. Raises ConfigError where another is damaged."""
    try:
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        complete, _, _ = text.rpartition("\n")
        lines = [json.loads(line) for line in complete.splitlines()]
        if all(isinstance(line["step"], int) for line in lines):
            return lines
    except (OSError, ValueError, KeyError, TypeError):
        pass
    raise ConfigError(str(path), "is damaged, so the run cannot be continued", "restore it, or start a new run")


def _prepared(config: TrainConfig, settings: Mapping[str, Any], names: Collection[str], *, is_main: bool) -> RunFolder:
    """The folder as the run begins."""
    path = Path(config.out)
    files = _earlier_files(path) if is_main else {}
    if is_main:
        _refuse_foreign(path, names, files)
        shutil.rmtree(path / WORK / "saving", ignore_errors=True)  # of a run that was killed while saving
        for found in list(own_checkpoints(path)):
            _drop_unfinished(found)
    checkpoint = _find_checkpoint(path, config.resume)
    changes: list[str] = []
    if checkpoint is not None:
        if is_main:
            earlier = check_checkpoint(checkpoint)
            changes = check_shared(path, earlier, settings, allow_changes=config.allow_changes)
        folder = RunFolder(path, is_main, checkpoint, settings=settings, files=files, is_finished=_is_finished(path))
        return replace(_cut_back(folder), changes=tuple(changes))
    if is_main and ((path / RUN_JSON).exists() or any(own_checkpoints(path))):
        if not config.overwrite and not config.resume:
            hint = "set resume=true to continue it, overwrite=true to replace it, or choose another out"
            raise ConfigError(str(path), "holds an earlier run", hint)
        return RunFolder(path, is_main, settings=settings, files=files, replaces=True)
    return RunFolder(path, is_main, settings=settings, files=files)


def _drop_unfinished(checkpoint: Path) -> None:
    """Remove a checkpoint that a killed run was writing or removing; name one that has lost its state."""
    record = read_record(checkpoint)
    if record is not None and record["status"] != "complete":
        remove_checkpoint(checkpoint)
    elif not is_complete(checkpoint):
        say(f"note   {checkpoint} has no {TRAINER_STATE}, so it is not used")


def _find_checkpoint(path: Path, resume: bool | str) -> Path | None:
    """The checkpoint to continue from; None to start from the beginning."""
    if isinstance(resume, str):
        chosen = Path(os.path.realpath(resume))
        try:
            found = [chosen] if is_complete(chosen) else []
        except OSError:  # a name too long for a file
            found = []
        if not found:
            what = "is not a complete checkpoint"
            raise ConfigError(f"resume: {resume}", what, "give one of OUT/checkpoint-*, or true")
        return Path(resume)
    found = checkpoints(path) if resume else []
    return found[-1] if found else None


def _cut_back(folder: RunFolder) -> RunFolder:
    """The folder with its metrics and token counts as they were when the checkpoint was written."""
    lines = [line for line in read_metrics(folder.metrics) if line["step"] <= folder.first_step]
    if folder.is_main:
        for file, kept in ((folder.metrics, lines), (folder.answers, read_metrics(folder.answers))):
            if file.exists():
                kept = [line for line in kept if line["step"] <= folder.first_step]
                write_bytes(file, "".join(json.dumps(line) + "\n" for line in kept).encode())
        for checkpoint in checkpoints(folder.path):
            if step_of(checkpoint) > folder.first_step:  # the continued run writes its own
                remove_checkpoint(checkpoint)
    steps = [line for line in lines if "tokens" in line]
    last = steps[-1] if steps else {}
    return replace(folder, tokens_before=last.get("tokens", 0), trained_tokens_before=last.get("trained_tokens", 0))


def _clear(path: Path, files: Mapping[str, str]) -> None:
    """Remove what an earlier run wrote, and nothing else; run.json, which says what that is, last."""
    for checkpoint in list(own_checkpoints(path)):
        remove_checkpoint(checkpoint)
    remove_inside(path, [*files, METRICS, ANSWERS, REPORT_NAME])
    remove_inside(path, [RUN_JSON])


def _earlier_files(path: Path) -> dict[str, str]:
    """The files of an earlier run's model that are still as the run wrote them, with their checksums.

    Raises OutputError where run.json was not written by a run.
    """
    run_json = path / RUN_JSON
    if not is_taken(run_json):
        return {}
    earlier = run_in(run_json.read_bytes()) if is_file(run_json) else None
    if earlier is None:
        raise OutputError(str(run_json), "was not written by sfttrain, or is damaged", MOVE_IT)
    lists = [listed for key in ("files", "replaced") if isinstance(listed := earlier.get(key), dict)]
    return {
        name: checksum
        for listed in lists
        for name, checksum in listed.items()
        if is_plain_name(name) and _is_ours(inside(path, name), checksum)
    }


def _is_finished(path: Path) -> bool:
    """Whether the last run in a folder has saved its model."""
    try:
        found = run_in((path / RUN_JSON).read_bytes())
    except OSError:
        return False
    return found is not None and found["status"] == "finished"


def _refuse_foreign(path: Path, names: Collection[str], files: Mapping[str, str]) -> None:
    """Raise OutputError where something that no run wrote is in the way of what this one will write."""
    for checkpoint in named_checkpoints(path):
        if read_record(checkpoint) is None:
            raise OutputError(str(checkpoint), "is not a checkpoint of sfttrain", MOVE_IT)
    for name in (METRICS, ANSWERS):
        if is_taken(path / name) and not (is_file(path / name) and (path / RUN_JSON).exists()):
            raise OutputError(str(path / name), "was not written by sfttrain", MOVE_IT)
    if is_taken(path / REPORT_NAME):
        check_own(path / REPORT_NAME, REPORT, MOVE_IT)
    of_model = [entry.name for entry in path.iterdir() if _OF_MODEL.fullmatch(entry.name)]
    for name in [*of_model, *names]:
        if name not in files and is_taken(inside(path, name)):
            raise OutputError(str(path / name), "was not written by sfttrain, or has changed since", MOVE_IT)


def _is_ours(path: Path, checksum: object) -> bool:
    """Whether there is a file at this path with the content that a run wrote."""
    return is_file(path) and file_sha256(path) == checksum


def _is_same(one: Path, other: Path) -> bool:
    """Whether two resolved paths are one folder, by another name or mount too."""
    try:
        return one == other or one.samefile(other)
    except OSError:
        return False


def _is_folder(path: Path) -> bool:
    """Whether there is a folder at a path that may be too long for one, or may not be looked at."""
    try:
        return path.is_dir()
    except OSError:
        return False
