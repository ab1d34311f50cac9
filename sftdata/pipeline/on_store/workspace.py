"""The workspace of a run whose dataset goes to a store, or whose work is elsewhere than beside its dataset.

For a store, the dataset is made in a folder of this machine, whole, and uploaded from there: WORK/NAME/dataset. WORK is
the folder `out.work`, or one in the user's cache. Where `out.work` is an address, the work is there, and the cache has
a copy of it, for a store in WORK/NAME/copy, which other machines have too: see `work_copy`.
"""

from __future__ import annotations

import contextlib
import secrets
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from sftdata.config import Config
from sftdata.errors import OutputError, SftDataError
from sftdata.files.atomic import MANIFEST_NAME, output_errors, write_bytes
from sftdata.files.inside import refuse_link, remove_if_empty, remove_inside
from sftdata.files.report_files import MAX_REPORT_BYTES, REPORT_NAME, REPORT_NAMES, read_mark
from sftdata.pipeline.on_store.work_copy import WorkCopy
from sftdata.pipeline.workspace import Workspace, files_of_dataset, is_of_dataset
from sftdata.remote.cache import cache_folder, name_for
from sftdata.remote.folder import RemoteFolder
from sftdata.remote.publish import Files, Publication, ToUpload
from sftdata.remote.stores import is_url

if TYPE_CHECKING:
    from sftdata.store.manifest import Manifest

_OWNER_NAME = "run"


@contextlib.contextmanager
def open_workspace(config: Config, *, overwrite: bool, fresh: bool, keep_work: bool) -> Iterator[Workspace]:
    """The workspace of a run, to be used with `with`. Raises OutputError as Workspace does."""
    out, given = config.resolve_path(config.out.path), config.out.work
    flags: dict[str, Any] = {"overwrite": overwrite, "fresh": fresh, "keep_work": keep_work}
    is_remote = given is not None and is_url(given)
    root = Path(config.resolve_path(given)) if given is not None and not is_remote else None
    cache = cache_folder() / "work"
    cache = cache.resolve() if is_remote else cache
    own = name_for(out if is_url(out) else str(Path(out).resolve()))
    workspace: Workspace
    if is_url(out):
        home = (root or cache) / own
        workspace = StoreWorkspace(config, out, home, bulk=home / "copy" if is_remote else None, **flags)
    else:
        folder = cache if is_remote else root
        workspace = Workspace(config, bulk=None if folder is None else folder / own, **flags)
    if not is_remote or given is None:
        with workspace:
            yield workspace
        return
    _refuse_work_in(out, given)
    with workspace, _on_store(f"{given.rstrip('/')}/{own}", workspace, fresh=fresh, keep_work=keep_work):
        yield workspace


@contextlib.contextmanager
def _on_store(address: str, workspace: Workspace, *, fresh: bool, keep_work: bool) -> Iterator[None]:
    """Have the work of a run at an address, and what the workspace has of it on this machine as a copy of that."""
    copy = WorkCopy(address, workspace.pieces.parent)
    workspace.attach, workspace.clear = copy.attach, copy.clear
    is_done = False
    try:
        copy.begin(fresh=fresh)
        yield
        is_done = True
    finally:
        with contextlib.suppress(SftDataError):  # the dataset is whole, or there is an error that says more
            copy.end(keep=("pieces",) if is_done and keep_work else () if is_done else ("pieces", "shards"))


def _refuse_work_in(out: str, work: str) -> None:
    """Raise OutputError where the work would be in the output folder."""
    if f"{work.rstrip('/')}/".startswith(f"{out.rstrip('/')}/"):
        raise OutputError(work, f"lies in the output folder {out}", "name another folder on the store as out.work")


class StoreWorkspace(Workspace):
    """Where a run works whose dataset goes to a store: see Workspace, and `remote.publish` for what is promised there.

    If the store fails, what was made stays in `home`, and the same run uploads what is missing.
    """

    def __init__(
        self,
        config: Config,
        address: str,
        home: Path,
        *,
        bulk: Path | None,
        overwrite: bool,
        fresh: bool,
        keep_work: bool,
    ) -> None:
        self._folder = RemoteFolder(address, OutputError)
        self._home = home
        self._may_replace = overwrite
        # What is in the local folder is of an earlier run to the same address, or of this one.
        super().__init__(config, overwrite=True, fresh=fresh, keep_work=keep_work, out=home / "dataset", bulk=bulk)

    def __enter__(self) -> Workspace:
        with output_errors(self._home):
            refuse_link(self._home)
            refuse_link(self.out)
            is_new = not self._home.exists()
            self._home.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            self._publication().check_free()
        except BaseException:
            if is_new:  # nothing was made here that a later run could use
                (self._home / _OWNER_NAME).unlink(missing_ok=True)
                remove_if_empty(self._home)
            raise
        return super().__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        is_done = kind is None and not self._keep_work
        if is_done:  # while the lock is held: once it is released, this may be the work of another run
            (self._home / _OWNER_NAME).unlink(missing_ok=True)
        super().__exit__(kind, error, trace)
        if is_done:
            with contextlib.suppress(OSError):  # another run is making its work here
                for folder in (*sorted(self.out.glob("*/")), self.out, self._home):
                    remove_if_empty(folder)

    def refuse_sources(self, paths: Iterable[str]) -> None:
        """Raise OutputError where a file that is read lies in the output folder."""
        paths = [*paths]
        inside = next((path for path in paths if path.startswith(f"{self._folder.address}/")), None)
        if inside is not None:
            raise OutputError(str(self._folder), f"{inside}, a file of the sources, lies in it", "name another folder")
        super().refuse_sources(paths)

    def publish(self, manifest: Manifest) -> None:
        """Make the dataset whole here, and write it to the store, its manifest last. Raises OutputError."""
        if not manifest.shards and self._folder.get(MANIFEST_NAME) is not None:
            what = "no row was packed, so the dataset that is there is kept"
            raise OutputError(str(self._folder), what, "see the reasons above")
        super().publish(manifest)
        entries = manifest.listed_files()
        files = {
            entry.path: ToUpload(self.out / entry.path, entry.size_bytes, entry.sha256)
            for entry in sorted(entries, key=lambda entry: entry.path)
        }
        self._publication().publish(files, (self.out / MANIFEST_NAME).read_bytes())
        with output_errors(self.out):
            remove_inside(self.out, [MANIFEST_NAME, *files])

    def _clear(self) -> None:
        """A dataset that an earlier run made here, and did not upload, is made of its shards again."""
        (self.out / MANIFEST_NAME).unlink(missing_ok=True)
        super()._clear()

    def _publication(self) -> Publication:
        return Publication(
            self._folder,
            self._owner(),
            self._config,
            overwrite=self._may_replace,
            files_of=self._files_of,
            may_own=lambda name: name in REPORT_NAMES or is_of_dataset(name),
            own_reports=self._own_reports,
        )

    def _owner(self) -> str:
        """What tells this run from those of others: chosen once, and kept while its work is."""
        path = self._home / _OWNER_NAME
        with output_errors(path):
            if not path.exists():
                write_bytes(path, secrets.token_hex(16).encode())
            return path.read_text()

    def _files_of(self, manifest: bytes) -> list[str]:
        """The files that a manifest on the store lists. Raises OutputError where it is not that of a dataset."""
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, MANIFEST_NAME).write_bytes(manifest)
            return files_of_dataset(Path(folder), str(self._folder))

    def _own_reports(self, there: Files) -> list[str]:
        """The reports that `sftdata report` wrote there. Raises OutputError for a page that somebody changed."""
        found = []
        for name in REPORT_NAMES:
            data = self._folder.read(name, MAX_REPORT_BYTES) if name in there else None
            if data is None:
                continue
            with tempfile.TemporaryDirectory() as folder:
                Path(folder, name).write_bytes(data)
                mark = read_mark(Path(folder, name))
            if mark is not None and mark.is_unchanged:
                found.append(name)
            elif name == REPORT_NAME:
                what = "was changed, or was not written by `sftdata report`, so it is not removed with the old dataset"
                raise OutputError(self._folder.at(name), what, "move it away, and run the same command again")
        return found
