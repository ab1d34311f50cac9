"""A dataset from a local folder to a store, which has no renames: the manifest is removed first and written last.

OUT/.publishing.json   what is being written, and by which run; made where there is none, if the store can decide that
    .new/SHA256        files of the new dataset, while an older one is still whole under its own names
    ...                the files under their names, written while there is no manifest
    manifest.json      last: a folder without it holds no dataset

An older dataset stays whole until every file of the new one is on the store; then its manifest is removed, and the new
files are copied to their names within the store. Who reads in between finds no dataset, or has the older manifest and
finds that a file no longer has its checksum. A run that is stopped at any point goes on when it is run again.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from sftdata.errors import OutputError
from sftdata.files.atomic import MANIFEST_NAME, MAX_MANIFEST_BYTES
from sftdata.remote.folder import Object, RemoteFolder

NOTE_NAME = ".publishing.json"
STAGED = ".new"
_MAX_NOTE_BYTES = 64 << 20
THREADS = 8  # that upload and copy

Files = Mapping[str, Object]


class ToUpload(NamedTuple):
    """A file of the new dataset, by its place on the local disk."""

    path: Path
    size_bytes: int
    sha256: str


class _Note(NamedTuple):
    """What a run says on the store while it writes: its settings; its files by name, with their checksums, those of an
    older dataset with none; and whether they are uploaded under their names, where no dataset was before.
    """

    owner: str
    config: str
    files: dict[str, str]
    is_direct: bool


class Publication:
    """A run that writes to a folder on a store. `owner` tells it from other runs, and is the same when it is run again;
    `config` tells its settings from others.

    `files_of` gives the files that a manifest lists, and raises OutputError for one that is not a dataset's;
    `may_own` says whether a name is one that a file of a dataset, or a report of it, can have: no other is removed,
    whatever a file on the store says. `own_reports` gives those of the folder's files that are of the dataset besides.
    """

    def __init__(
        self,
        folder: RemoteFolder,
        owner: str,
        config: str,
        *,
        overwrite: bool,
        files_of: Callable[[bytes], Iterable[str]],
        may_own: Callable[[str], bool],
        own_reports: Callable[[Files], Iterable[str]] = lambda files: (),
    ) -> None:
        self._folder = folder
        self._owner = owner
        self._config = config
        self._overwrite = overwrite
        self._files_of = files_of
        self._may_own = may_own
        self._own_reports = own_reports

    def check_free(self) -> None:
        """Raise OutputError where the folder may not be written to: it holds a dataset and `overwrite` is off, holds
        something else, or another run writes into it.
        """
        self._check(self._folder.files(), self._note())

    def publish(self, files: Mapping[str, ToUpload], manifest: bytes) -> None:
        """Write the dataset. Raises OutputError as `check_free`, where a file is in the way that no dataset had, and
        where the store fails: what was there before is then still whole, or the next run goes on.
        """
        there, before = self._folder.files(), self._note()
        old = self._check(there, before)
        for name in sorted((files.keys() & there.keys()) - old - before.files.keys()):
            what = "was not written by sftdata, and the new dataset has a file of that name"
            raise OutputError(self._folder.at(name), what, "move it away, and run the same command again")
        replaces = MANIFEST_NAME in there
        # With --overwrite, files of the right name and size may have wrong content, and are to be replaced.
        is_done = before.is_direct and not self._overwrite and not _not_whole(there, files)
        if replaces and is_done and self._folder.read(MANIFEST_NAME, MAX_MANIFEST_BYTES) == manifest:
            self._clean(there)  # which is all that was left to do
            return
        note = self._claim(files, old, there, before, is_direct=not replaces and (before.is_direct or not before.files))
        if replaces:
            self._upload({f"{STAGED}/{file.sha256}": file for file in files.values()}, there)
            self._folder.remove([MANIFEST_NAME])
        there = self._folder.files()
        outdated = (note.files.keys() | {*self._own_reports(there)}) - files.keys()
        self._folder.remove(sorted(there.keys() & outdated))
        staged = {name for name, file in files.items() if _is_whole(there, f"{STAGED}/{file.sha256}", file)}
        _in_threads(lambda name: self._folder.copy(f"{STAGED}/{files[name].sha256}", name), staged)
        # Where both wrote under the names of a dataset that was not there, what is there has the content of the note.
        is_right = note.is_direct and before.is_direct
        done = {name: one for name, one in there.items() if is_right and name in before.files}
        self._upload({name: file for name, file in files.items() if name not in staged}, done)
        self._check_whole(files)
        self._folder.write(MANIFEST_NAME, manifest)
        self._clean(there)

    def _clean(self, there: Files) -> None:
        """Remove what is no part of the dataset; the note last."""
        self._folder.remove(name for name in there if name.startswith(f"{STAGED}/"))
        self._folder.remove([NOTE_NAME])

    def _upload(self, files: Mapping[str, ToUpload], there: Files) -> None:
        """Upload those files that are not there."""
        missing = [name for name, file in files.items() if not _is_whole(there, name, file)]
        _in_threads(lambda name: self._folder.upload(files[name].path, name), missing)

    def _claim(
        self, files: Mapping[str, ToUpload], old: set[str], there: Files, before: _Note, *, is_direct: bool
    ) -> _Note:
        """Say on the store that this run writes, and which files are there or will be: no later run takes one of them
        for somebody else's. Files of a run that was stopped that are to have other content are removed first, so that a
        file under its name has the content that the note says.
        """
        wanted = {name: file.sha256 for name, file in files.items()}
        if is_direct:
            others = {name for name, sha256 in before.files.items() if wanted.get(name) != sha256}
            self._folder.remove(sorted(there.keys() & others))
        note = _Note(self._owner, self._config, {**dict.fromkeys([*before.files, *old], ""), **wanted}, is_direct)
        data = json.dumps(note._asdict()).encode()
        if not self._folder.create(NOTE_NAME, data):
            self._note()
            self._folder.write(NOTE_NAME, data)
        return note

    def _note(self) -> _Note:
        """What a run that writes here said, if it is this one or may be replaced. Raises OutputError for another's."""
        data = self._folder.read(NOTE_NAME, _MAX_NOTE_BYTES)
        if data is None:
            return _Note(self._owner, "", {}, False)
        note = _parsed(data)
        if note is None or not all(map(self._may_own, note.files)):
            hint = "name another folder, or remove that file if no run is to be continued"
            raise OutputError(self._folder.at(NOTE_NAME), "was not written by a run", hint)
        if note.owner != self._owner and not self._overwrite:
            what = "another run is writing into this folder, or was stopped while it did"
            hint = "wait for it, or run it again where it ran; --overwrite takes its place (in Python: overwrite=True)"
            raise OutputError(str(self._folder), what, hint)
        return note

    def _check(self, there: Files, note: _Note) -> set[str]:
        """The files of the dataset that is there. Raises OutputError where the folder may not be written to."""
        reports = {*self._own_reports(there)}
        if MANIFEST_NAME in there:
            if not self._overwrite and note.config != self._config:  # the run that was stopped may go on
                what = "holds a dataset already"
                hint = "name another folder, or replace it with --overwrite (in Python: overwrite=True)"
                raise OutputError(str(self._folder), what, hint)
            data = self._folder.read(MANIFEST_NAME, MAX_MANIFEST_BYTES)
            return {*self._files_of(data or b"")}
        known = {NOTE_NAME, *note.files, *reports}
        others = [name for name in sorted(there) if name not in known and not name.startswith(f"{STAGED}/")]
        if others:
            what = f"is not empty and holds no dataset (it has {', '.join(others[:3])})"
            raise OutputError(str(self._folder), what, "name a new folder")
        return set()

    def _check_whole(self, files: Mapping[str, ToUpload]) -> None:
        """Every file has its size, and no other run has taken this one's place: what the store shows of both."""
        data = self._folder.read(NOTE_NAME, _MAX_NOTE_BYTES)
        note = None if data is None else _parsed(data)
        if note is None or note.owner != self._owner:
            what = "another run took the place of this one while it wrote"
            raise OutputError(str(self._folder), what, "let one of them finish, and run this one again")
        for name in _not_whole(self._folder.files(), files):
            what = "is not there, or has another size, after it was written"
            raise OutputError(self._folder.at(name), what, "run the same command again")


def _parsed(data: bytes) -> _Note | None:
    """What a file says as a note of a run; None where no run can have written it."""
    try:
        said = json.loads(data)
        files = {str(name): str(text) for name, text in said["files"].items()}
        return _Note(str(said["owner"]), str(said.get("config")), files, said["is_direct"] is True)
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError):
        return None


def _in_threads(call: Callable[[str], None], names: Iterable[str]) -> None:
    """Call a function with each name, several at a time: a store answers late, but many at once."""
    with ThreadPoolExecutor(THREADS) as threads:
        for _ in threads.map(call, sorted(names)):
            pass


def _not_whole(there: Files, files: Mapping[str, ToUpload]) -> list[str]:
    """The files that are not on the store with their size."""
    return [name for name, file in files.items() if not _is_whole(there, name, file)]


def _is_whole(there: Files, name: str, file: ToUpload) -> bool:
    """Whether a file is on the store with its size."""
    return name in there and there[name].size_bytes in (None, file.size_bytes)
