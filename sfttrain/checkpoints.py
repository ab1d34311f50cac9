"""The checkpoints of a run. Each has a record of its files: what is gone or changed is found before it is loaded, and
only what a run wrote is removed.

checkpoint-500/sfttrain.json  status: saving, complete or removing; the files and their checksums; the settings that
                              a continued run must share
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from sftdata.errors import ConfigError, OutputError
from sftdata.files.atomic import file_sha256, output_errors, write_bytes
from sftdata.files.inside import is_file, is_folder, is_plain_name, remove_if_empty, remove_inside

RECORD = "sfttrain.json"
TRAINER_STATE = "trainer_state.json"
_NAME = re.compile(r"checkpoint-(\d+)")
_STATUSES = ("saving", "complete", "removing")
OTHERWISE = "resume from another checkpoint, or start a new run"


def checkpoints(path: Path) -> list[Path]:
    """The complete checkpoints of a run, oldest first."""
    found = [folder for folder in own_checkpoints(path) if is_complete(folder)]
    return sorted(found, key=lambda folder: int(folder.name.partition("-")[2]))


def own_checkpoints(path: Path) -> Iterator[Path]:
    """The checkpoints in a folder that a run of sfttrain wrote or began to write."""
    yield from (folder for folder in named_checkpoints(path) if read_record(folder) is not None)


def named_checkpoints(path: Path) -> Iterator[Path]:
    """What is in a folder under the name of a checkpoint, whoever put it there."""
    yield from sorted(entry for entry in path.glob("checkpoint-*") if _NAME.fullmatch(entry.name))


def is_complete(folder: Path) -> bool:
    """Whether a run finished writing a checkpoint, and it has not been taken apart since."""
    record = read_record(folder)
    return record is not None and record["status"] == "complete" and (folder / TRAINER_STATE).is_file()


def read_record(folder: Path) -> dict[str, Any] | None:
    """The record of a checkpoint; None where there is none of ours, or the folder is a link."""
    if not is_folder(folder) or not is_file(folder / RECORD):
        return None
    try:
        record = json.loads((folder / RECORD).read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) and record.get("status") in _STATUSES else None


def start_checkpoint(folder: Path) -> None:
    """Make the folder of a checkpoint and say whose it is. Raises OutputError where something else is there."""
    if folder.exists() or folder.is_symlink():
        if read_record(folder) is None:
            raise OutputError(str(folder), "is not a checkpoint of this run", "move it away, or choose another out")
        remove_checkpoint(folder)
    with output_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        _write_record(folder, {"status": "saving"})


def finish_checkpoint(folder: Path, settings: Mapping[str, Any]) -> None:
    """Record the files of a checkpoint that is whole, and the settings with which it may be continued."""
    with output_errors(folder):
        names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
        checksums = hash_files(folder, [name for name in names if name != RECORD])
        _write_record(folder, {"status": "complete", "settings": settings, "files": checksums})


def check_checkpoint(folder: Path) -> dict[str, Any]:
    """The settings of a checkpoint, after its files were compared with its record.

    Raises ConfigError where it is not complete, or a file is gone or has changed.
    """
    record = read_record(folder.resolve())
    where = str(folder)
    if record is None or record["status"] != "complete" or not (folder / TRAINER_STATE).is_file():
        what = "is not a complete checkpoint of sfttrain"
        raise ConfigError(where, what, "give one of OUT/checkpoint-*, or true")
    files, settings = record.get("files"), record.get("settings")
    if not isinstance(files, dict) or not isinstance(settings, dict) or not all(map(is_plain_name, files)):
        raise ConfigError(where, f"is damaged: {RECORD} cannot be read", OTHERWISE)
    gone = next((name for name in files if not (folder / name).is_file()), None)
    if gone is not None:
        raise ConfigError(where, f"is damaged: {gone} is gone", OTHERWISE)
    try:
        found = hash_files(folder, list(files))
    except OSError as error:
        raise ConfigError(where, f"is damaged: a file cannot be read ({error.strerror})", OTHERWISE) from error
    changed = next((name for name in files if found[name] != files[name]), None)
    if changed is not None:
        raise ConfigError(where, f"is damaged: {changed} has changed since it was written", OTHERWISE)
    return settings


def remove_checkpoint(folder: Path) -> None:
    """Remove what a run wrote into a checkpoint, and the folder where nothing else is in it. Raises OutputError."""
    record = read_record(folder)
    if record is None:
        return
    with output_errors(folder):
        files = record.get("files")
        if record["status"] == "saving" or not isinstance(files, dict):
            shutil.rmtree(folder)  # it follows no link
            return
        _write_record(folder, {**record, "status": "removing"})  # a run killed now leaves nothing that looks whole
        remove_inside(folder, [name for name in files if is_plain_name(name)])
        (folder / RECORD).unlink()
        remove_if_empty(folder)


def keep_last(path: Path, limit: int | None, best: str | None) -> None:
    """Remove all but the last checkpoints of a run, and `best`. No limit: remove none."""
    found = checkpoints(path)
    names = {folder.name for folder in found[-1:]} | ({Path(best).name} if best is not None else set())
    spare = [folder for folder in found if folder.name not in names]
    kept = len(found) - len(spare)
    for folder in spare[: max(0, len(found) - max(limit, kept))] if limit else ():
        remove_checkpoint(folder)


def hash_files(folder: Path, names: list[str]) -> dict[str, str]:
    """The sha256 of files below a folder. Raises OSError."""
    with ThreadPoolExecutor(4) as threads:
        return dict(zip(names, threads.map(lambda name: file_sha256(folder / name), names), strict=True))


def _write_record(folder: Path, record: Mapping[str, Any]) -> None:
    write_bytes(folder / RECORD, (json.dumps(record, indent=2) + "\n").encode())
