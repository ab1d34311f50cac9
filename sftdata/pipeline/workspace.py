"""The output folder of a run: refused where it holds something else, and filled in one step at the end.

OUT/.work/lock              held by the run; released by the system when the process ends
          pieces/           results of stages, named by the key of their input: a later run uses them again
          shards/           packed shards, named by their checksum
          new/              the other files of the dataset
          publishing.json   the files being moved to OUT, so that a later run can finish or undo the move
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from sftdata.config import Config
from sftdata.errors import DatasetError, OutputError
from sftdata.files.atomic import MANIFEST_NAME, output_errors, sync_folder, write_bytes

if TYPE_CHECKING:
    from sftdata.store.manifest import Manifest

WORK_NAME = ".work"


class Workspace:
    """Where a run works. Used with `with`.

    If the block ends early, an older dataset is as it was, there is no new one, and the work so far is kept for the
    next run. `fresh` removes earlier work first; `keep_work` keeps it after success too. `config` names the folder, and
    identifies the run. Raises OutputError where the folder holds a dataset and `overwrite` is off, holds
    something else, cannot be written, or another run works in it.
    """

    def __init__(
        self,
        config: Config,
        *,
        overwrite: bool = False,
        fresh: bool = False,
        keep_work: bool = False,
    ) -> None:
        out = config.resolve_path(config.out.path)
        if "://" in out:
            raise OutputError(out, "is an address, not a folder", "write to a local folder, and copy the dataset")
        self.out = Path(out)
        self._config = hashlib.sha256(json.dumps(config.model_dump(mode="json"), sort_keys=True).encode()).hexdigest()
        self._overwrite = overwrite
        self._fresh = fresh
        self._keep_work = keep_work
        self._work = self.out / WORK_NAME
        self.pieces = self._work / "pieces"
        self.shards = self._work / "shards"
        self.new = self._work / "new"
        self._publishing = self._work / "publishing.json"
        self._lock = FileLock(self._work / "lock", thread_local=False)
        self._created_out = False

    def __enter__(self) -> Workspace:
        with output_errors(self.out):
            self._check_free()
            self._created_out = not self.out.exists()
            try:
                self._work.mkdir(parents=True, exist_ok=True)
            except FileNotFoundError as error:  # such as a folder below /proc
                raise OutputError(str(self.out), "the folder cannot be made", "choose another output folder") from error
            self._acquire_lock()
            try:
                self._check_free()  # now that no other run changes it
                self._clear()
            except BaseException:
                self._lock.release()
                raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            keep = self._keep_work
        else:
            keep = any(path.name[0] != "." for path in self.pieces.glob("*/*.arrow")) or self._publishing.exists()
        shutil.rmtree(self.new, ignore_errors=True)
        if keep:
            if kind is None:
                self._publishing.unlink(missing_ok=True)
            self._lock.release()
            return
        with ThreadPoolExecutor(2) as threads:  # the system takes a while to remove large files
            list(threads.map(partial(shutil.rmtree, ignore_errors=True), [*self.pieces.glob("*"), self.shards]))
        shutil.rmtree(self.pieces, ignore_errors=True)
        self._publishing.unlink(missing_ok=True)  # as late as this: a run killed just now can be continued
        self._remove_lock()
        _remove_if_empty(self._work)
        if kind is not None and self._created_out:
            _remove_if_empty(self.out)

    def refuse_sources(self, paths: Iterable[str]) -> None:
        """Raise OutputError where a file that is read lies in the output folder."""
        out = self.out.resolve()
        for path in paths:
            if "://" not in path and out in Path(path).resolve().parents:
                raise OutputError(str(self.out), f"{path}, a file of the sources, lies in it", "name another folder")

    def publish(self, manifest: Manifest) -> None:
        """Move the new dataset to OUT. The old manifest is removed first, and the new one is moved last."""
        moves = {entry.path: f"{self.new.name}/{entry.path}" for entry in manifest.listed_files()}
        moves.update({entry.path: f"{self.shards.name}/{entry.sha256}.arrow" for entry in manifest.shards})
        manifest.save(self.new)
        with output_errors(self.out):
            outdated = {*self._interrupted().get("files", ()), *self._old_files()} - moves.keys()
            notes = {"config": self._config, "files": {**dict.fromkeys(outdated), **moves}}
            write_bytes(self._publishing, json.dumps(notes).encode())
            (self.out / MANIFEST_NAME).unlink(missing_ok=True)
            _remove_files(self.out, outdated)
            for name, place in moves.items():
                target = self.out / name
                target.parent.mkdir(parents=True, exist_ok=True)
                (self._work / place).replace(target)
            (self.new / MANIFEST_NAME).replace(self.out / MANIFEST_NAME)
            sync_folder(self.out)

    def _acquire_lock(self) -> None:
        """Raise OutputError where another run holds the lock. Where the file system has no locks, no run is refused."""
        try:
            self._lock.acquire(blocking=False)
        except Timeout as error:
            todo = "wait for it, or name another folder"
            raise OutputError(str(self.out), "another run is writing into this folder", todo) from error
        except OSError as error:
            if error.errno not in (errno.ENOLCK, errno.ENOTSUP, errno.EINVAL):
                raise

    def _remove_lock(self) -> None:
        """Release the lock and remove its file: while it is held, for else another run may hold it already.

        Windows removes no open file, and none that another run has opened.
        """
        path = Path(self._lock.lock_file)
        if os.name != "nt":
            path.unlink(missing_ok=True)
        self._lock.release()
        if os.name == "nt":
            with contextlib.suppress(OSError):
                path.unlink()

    def _check_free(self) -> None:
        """Raise OutputError where the folder may not be written to."""
        if self.out.is_file():
            raise OutputError(str(self.out), "is a file", "name a folder for the dataset")
        if not self.out.exists():
            return
        interrupted = self._interrupted()
        names = {entry.name for entry in self.out.iterdir()} - {WORK_NAME}
        if MANIFEST_NAME in names:
            if not self._overwrite and interrupted.get("config") != self._config:
                raise OutputError(
                    str(self.out), "holds a dataset already", "name another folder, or replace it with --overwrite"
                )
            self._old_files()
        elif names - {Path(name).parts[0] for name in interrupted.get("files", ())}:
            some = ", ".join(sorted(names)[:3])
            raise OutputError(str(self.out), f"is not empty and holds no dataset (it has {some})", "name a new folder")

    def _clear(self) -> None:
        """Remove unfinished files of a run that stopped; move shards that it published without a manifest back."""
        for folder in (self.pieces, self.shards):
            folder.mkdir(exist_ok=True)
        if not (self.out / MANIFEST_NAME).exists():
            for name, place in self._interrupted().get("files", {}).items():
                if place is not None and place.startswith(f"{self.shards.name}/") and not (self._work / place).exists():
                    with contextlib.suppress(FileNotFoundError):
                        (self.out / name).replace(self._work / place)
        if self._fresh:
            shutil.rmtree(self.pieces, ignore_errors=True)
            shutil.rmtree(self.shards, ignore_errors=True)
        shutil.rmtree(self.new, ignore_errors=True)
        for folder in (self.pieces, self.shards, self.new):
            folder.mkdir(exist_ok=True)
        unfinished = (
            (self._work, ".*.tmp"),
            (self.pieces, "*/.*.tmp"),
            (self.pieces, "*.function"),
            (self.shards, ".*"),
        )
        for folder, pattern in unfinished:
            for path in folder.glob(pattern):
                path.unlink(missing_ok=True)

    def _interrupted(self) -> Mapping[str, Any]:
        """What a run that stopped while it published wrote into publishing.json; empty where there is none."""
        try:
            notes: Mapping[str, Any] = json.loads(self._publishing.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        return notes

    def _old_files(self) -> list[str]:
        """The files of the dataset that is in the folder. Raises OutputError where its manifest cannot be read."""
        if not (self.out / MANIFEST_NAME).exists():
            return []
        from sftdata.store.manifest import Manifest

        try:
            return [entry.path for entry in Manifest.load(self.out).listed_files()]
        except DatasetError as error:
            what = f"holds a dataset that cannot be replaced ({error.where} {error.what})"
            raise OutputError(str(self.out), what, "name another folder, or remove it yourself") from error


def _remove_files(folder: Path, names: Iterable[str]) -> None:
    """Remove files, and folders that are empty without them."""
    paths = [Path(name) for name in names]
    for path in paths:
        (folder / path).unlink(missing_ok=True)
    for parent in sorted({parent for path in paths for parent in path.parents} - {Path()}, reverse=True):
        _remove_if_empty(folder / parent)


def _remove_if_empty(folder: Path) -> None:
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()
