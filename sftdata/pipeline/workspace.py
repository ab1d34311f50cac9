"""The output folder of a run: refused where it holds something else, and filled in one step at the end.

OUT/.work/lock              held by the run; released by the system when the process ends
          pieces/           results of stages, named by the key of their input: a later run uses them again
          shards/           packed shards, named by their checksum
          new/              the other files of the dataset
          rows/             rows that were given as Python objects, as JSON lines
          publishing.json   the files being moved to OUT, so that a later run can finish or undo the move
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from sftdata.config import Config
from sftdata.errors import DatasetError, OutputError
from sftdata.files import copies
from sftdata.files.atomic import MANIFEST_NAME, output_errors, sync_folder, write_bytes
from sftdata.files.inside import (
    inside,
    is_file,
    is_folder,
    is_plain_name,
    is_taken,
    move,
    move_into,
    refuse_link,
    refuse_odd,
    remove_if_empty,
    remove_inside,
)
from sftdata.files.lock import FolderLock
from sftdata.files.report_files import CARD_NAME, REPORT_NAME, REPORT_NAMES, read_mark

if TYPE_CHECKING:
    from sftdata.store.manifest import Manifest

WORK_NAME = ".work"
LOCK_NAME = "lock"
# The files of a dataset. Nothing else in the output folder is ever moved or removed, whatever a file there says.
_FOLDERS = ("train", "validation", "ledger", "tokenizer")
_FILES = re.compile(
    r"(train|validation)/\d{5,}-of-\d{5,}\.arrow|ledger/\d{5,}\.parquet|tokenizer/(additional_chat_templates/)?[^./][^/]*"
    r"|errors\.log"
)
_PLACES = re.compile(r"shards/[0-9a-f]{64}\.arrow|new/.+")  # in the work folder, of a file that is being moved


class Workspace:
    """Where a run works. Used with `with`.

    If the block ends early, an older dataset is as it was, there is no new one, and the work so far is kept for the
    next run. `fresh` removes earlier work first; `keep_work` keeps it after success too. `config` names the folder, and
    identifies the run; `out` is written to in its place, and `bulk` has the work in place of OUT/.work. Raises
    OutputError where the folder holds a dataset and `overwrite` is off, holds something else or a link where the
    dataset or the work would be, cannot be written, or another run works in it.

    Removed are the files that a manifest of a dataset lists, reports of that dataset as they were written, and the work
    folder's own. No link in the folder is followed, and no name in a file leads out of it.
    """

    def __init__(
        self,
        config: Config,
        *,
        overwrite: bool = False,
        fresh: bool = False,
        keep_work: bool = False,
        out: Path | None = None,
        bulk: Path | None = None,
    ) -> None:
        self.out = Path(config.resolve_path(config.out.path)) if out is None else out
        self._config = hashlib.sha256(json.dumps(config.model_dump(mode="json"), sort_keys=True).encode()).hexdigest()
        self._overwrite = overwrite
        self._fresh = fresh
        self._keep_work = keep_work
        self._work = self.out / WORK_NAME
        self._bulk = bulk or self._work
        self.pieces = self._bulk / "pieces"
        self.shards = self._bulk / "shards"
        self.new = self._bulk / "new"
        self.rows = self._bulk / "rows"
        # Where the folder of the work is a copy of one on a store: what processes do first, and other machines last.
        self.attach: Callable[[], None] | None = None
        self.clear: Callable[[], None] | None = None
        self._publishing = self._work / "publishing.json"
        self._lock = FolderLock(self._work / LOCK_NAME, self.out)
        self._created_out = False

    def __enter__(self) -> Workspace:
        with output_errors(self.out):
            self._check_free()
            self._created_out = not self.out.exists()
            try:
                self._work.mkdir(parents=True, exist_ok=True)
                refuse_link(self._bulk)  # in a folder for work that others may write to, too
                self._bulk.mkdir(mode=0o700, parents=True, exist_ok=True)
            except FileNotFoundError as error:  # such as a folder below /proc
                raise OutputError(str(self.out), "the folder cannot be made", "choose another output folder") from error
            self._lock.acquire()
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
        self._lock.remove()
        remove_if_empty(self._bulk)
        remove_if_empty(self._work)
        if kind is not None and self._created_out:
            remove_if_empty(self.out)

    def refuse_sources(self, paths: Iterable[str]) -> None:
        """Raise OutputError where a file that is read lies in the output folder."""
        out, rows = self.out.resolve(), self.rows.resolve()
        for path in paths:
            above = () if "://" in path else Path(path).resolve().parents
            if out in above and rows not in above:
                raise OutputError(str(self.out), f"{path}, a file of the sources, lies in it", "name another folder")

    def publish(self, manifest: Manifest) -> None:
        """Move the new dataset to OUT. The old manifest is removed first, and the new one is moved last.

        Raises OutputError, and nothing is moved then, where a file is in the way that no dataset had; where a file of
        the new dataset is gone; and where the new dataset has no samples and the old one would be lost for it.
        """
        self._keep_what_is_better(manifest)
        moves = {entry.path: f"{self.new.name}/{entry.path}" for entry in manifest.listed_files()}
        moves.update({entry.path: f"{self.shards.name}/{entry.sha256}.arrow" for entry in manifest.shards})
        copies.ensure_all(self._bulk / place for place in moves.values())
        self._refuse_gone(self._bulk / place for place in moves.values())
        manifest.save(self.new)
        with output_errors(self.out):
            known = {*self._interrupted().get("files", ()), *self._old_files()} - {*REPORT_NAMES}
            for name in sorted(moves.keys() - known):
                if is_taken(inside(self.out, name)):
                    what = "was not written by sftdata, and the new dataset has a file of that name"
                    raise OutputError(str(self.out / name), what, "move it away, and run the same command again")
            outdated = (known - moves.keys()) | self._reports()
            notes = {"config": self._config, "files": {**dict.fromkeys(outdated), **moves}}
            write_bytes(self._publishing, json.dumps(notes).encode())
            (self.out / MANIFEST_NAME).unlink(missing_ok=True)
            remove_inside(self.out, outdated)
            for name, place in moves.items():
                move_into(self._bulk / place, self.out, name)
            move(self.new / MANIFEST_NAME, self.out / MANIFEST_NAME)
            sync_folder(self.out)

    def _refuse_gone(self, made: Iterable[Path]) -> None:
        """Raise OutputError where one of the files that were made for the dataset is gone."""
        for path in made:
            if not is_file(path):
                hint = "run the same command again; nothing else may remove what is in the folder of its work"
                raise OutputError(copies.address_of(path), "is gone, though this run has written it", hint)

    def _keep_what_is_better(self, manifest: Manifest) -> None:
        """Raise OutputError where nothing was packed, and the folder holds a dataset with samples."""
        if manifest.shards or not is_taken(self.out / MANIFEST_NAME):
            return
        from sftdata.store.manifest import Manifest as Stored

        if Stored.load(self.out).shards:
            reasons = [item for stage in manifest.counts.dropped.values() for item in stage.items()]
            named = [
                f"{number:,} as {reason}, the first of them {manifest.counts.examples[reason]}"
                for reason, number in sorted(reasons, key=lambda item: -item[1])[:3]
            ]
            what = "no row was packed, so the dataset that is there is kept"
            raise OutputError(str(self.out), what, f"all are dropped: {'; '.join(named)}" if named else "")

    def _check_free(self) -> None:
        """Raise OutputError where the folder may not be written to."""
        if self.out.is_file():
            raise OutputError(str(self.out), "is a file", "name a folder for the dataset")
        if not self.out.exists():
            return
        self._check_work()
        interrupted = self._interrupted()
        published = {Path(name).parts[0] for name in interrupted.get("files", ())}
        if interrupted:
            published.add(CARD_NAME)  # one that its owner changed is kept
        names = {entry.name for entry in self.out.iterdir()} - {WORK_NAME}
        if MANIFEST_NAME in names:
            if not self._overwrite and interrupted.get("config") != self._config:
                raise OutputError(
                    str(self.out),
                    "holds a dataset already",
                    "name another folder, or replace it with --overwrite (in Python: overwrite=True)",
                )
            self._old_files()
            for name in _FOLDERS:
                refuse_link(self.out / name)
            self._refuse_other_report()
        elif names - published:
            some = ", ".join(sorted(names)[:3])
            raise OutputError(str(self.out), f"is not empty and holds no dataset (it has {some})", "name a new folder")

    def _refuse_other_report(self) -> None:
        """Raise OutputError where what has the name of the old dataset's report is somebody else's, or was changed."""
        path = self.out / REPORT_NAME
        if is_taken(path) and REPORT_NAME not in self._reports():
            is_changed = read_mark(path) is not None
            what = (
                "was changed since `sftdata report` wrote it" if is_changed else "was not written by `sftdata report`"
            )
            what += ", so it is not removed with the old dataset"
            raise OutputError(str(path), what, "move it away, and run the same command again")

    def _reports(self) -> set[str]:
        """The reports in the folder that are as `sftdata report` wrote them; a new dataset makes them outdated."""
        marks = {name: read_mark(self.out / name) for name in REPORT_NAMES}
        return {name for name, mark in marks.items() if mark is not None and mark.is_unchanged}

    def _check_work(self) -> None:
        """Raise OutputError where the work folder is a link, or was not made by a run."""
        refuse_link(self._work)
        try:
            names = {path.name for path in self._work.iterdir()} if is_folder(self._work) else set()
        except FileNotFoundError:  # the run that made it ends
            return
        if names and LOCK_NAME not in names:  # the first thing that a run puts there, and the last that it removes
            what = f"was not made by a run: it has no file named {LOCK_NAME}, which a run makes first"
            raise OutputError(str(self._work), what, "move it away, or name another folder")

    def _clear(self) -> None:
        """Remove unfinished files of a run that stopped; move shards that it published without a manifest back.

        Raises OutputError where a link is in the work folder.
        """
        refuse_odd(self._work)
        refuse_odd(self._bulk)
        for folder in (self.pieces, self.shards):
            folder.mkdir(exist_ok=True)
        if not (self.out / MANIFEST_NAME).exists():
            for name, place in self._interrupted().get("files", {}).items():
                if place is not None and place.startswith(f"{self.shards.name}/") and not (self._bulk / place).exists():
                    published = inside(self.out, name)
                    if is_file(published):
                        move(published, self._bulk / place)
        if self._fresh:
            shutil.rmtree(self.pieces, ignore_errors=True)
            shutil.rmtree(self.shards, ignore_errors=True)
        shutil.rmtree(self.new, ignore_errors=True)
        shutil.rmtree(self.rows, ignore_errors=True)
        for folder in (self.pieces, self.shards, self.new):
            folder.mkdir(exist_ok=True)
        unfinished = (
            (self._work, ".*.tmp"),
            (self.pieces, "*/.*.tmp"),
            (self.pieces, "*.function"),
            (self.pieces, "*.node"),
            (self.shards, ".*"),
        )
        for folder, pattern in unfinished:
            for path in folder.glob(pattern):
                path.unlink(missing_ok=True)

    def _interrupted(self) -> Mapping[str, Any]:
        """What a run that stopped while it published wrote into publishing.json; empty where there is none.

        Raises OutputError where no run can have written it.
        """
        if not self._publishing.exists():
            return {}
        try:
            notes = json.loads(self._publishing.read_bytes()) if is_file(self._publishing) else None
        except FileNotFoundError:  # the run that wrote it ends
            return {}
        except (ValueError, RecursionError):
            notes = None
        if not isinstance(notes, dict) or not _are_notes(notes):
            hint = "name another folder, or remove that file if no run is to be continued"
            raise OutputError(str(self._publishing), "was not written by a run", hint)
        return notes

    def _old_files(self) -> list[str]:
        """The files of the dataset that is in the folder. Raises OutputError where its manifest cannot be read."""
        if not is_taken(self.out / MANIFEST_NAME):
            return []
        refuse_link(self.out / MANIFEST_NAME)
        names = files_of_dataset(self.out, str(self.out))
        for name in names:
            inside(self.out, name)
        return names


def files_of_dataset(folder: Path, shown: str) -> list[str]:
    """The files that the manifest in a folder lists. `shown` is what the dataset is called.

    Raises OutputError where the manifest cannot be read, or lists what no dataset has.
    """
    from sftdata.store.manifest import Manifest

    try:
        names = [entry.path for entry in Manifest.load(folder).listed_files()]
    except DatasetError as error:
        what = f"holds a dataset that cannot be replaced ({error.where} {error.what})"
        raise OutputError(shown, what, "name another folder, or remove it yourself") from error
    for name in names:
        if not is_of_dataset(name):
            what = f"its {MANIFEST_NAME} lists {name[:100]!r}, which no dataset has, so it is not replaced"
            raise OutputError(shown, what, "name another folder, or remove it yourself")
    return names


def is_of_dataset(name: object) -> bool:
    """Whether a name is one that a file of a dataset can have."""
    return isinstance(name, str) and is_plain_name(name) and _FILES.fullmatch(name) is not None


def _are_notes(notes: Mapping[str, Any]) -> bool:
    """Whether a run that publishes can have written this: files of a dataset, and their places in the work folder."""
    files = notes.get("files")
    return (
        isinstance(notes.get("config"), str)
        and isinstance(files, dict)
        and all(name in REPORT_NAMES or is_of_dataset(name) for name in files)
        and all(
            place is None or (is_plain_name(place) and _PLACES.fullmatch(place) is not None) for place in files.values()
        )
    )
