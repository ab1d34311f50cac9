"""The folder of an export: complete or absent, and replaced only where it is an export to which nothing was added."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sftdata
from sftdata.errors import OutputError
from sftdata.files.atomic import file_sha256, output_errors, sync_folder, write_bytes
from sftdata.files.inside import is_link, is_taken, refuse_link

RECORD = "export.json"


@contextmanager
def whole_folder(out: Path, *, overwrite: bool) -> Iterator[Path]:
    """A folder to write to, which is renamed to `out` when the block ends without an error, and else removed.

    Raises OutputError where `out` is there already: without `overwrite` always, with it where it is no export, or
    where a file in it was added or changed since.
    """
    with output_errors(out):
        check_free(out, overwrite=overwrite)
        out.parent.mkdir(parents=True, exist_ok=True)
        made = out.parent / f".{out.name}.{os.getpid()}.tmp"
        made.mkdir()
        try:
            yield made
            check_free(out, overwrite=overwrite)  # nothing was written there meanwhile
            _replace(made, out)
        finally:
            shutil.rmtree(made, ignore_errors=True)


def check_free(out: Path, *, overwrite: bool) -> None:
    """Raise OutputError where `out` may not be written, or not replaced."""
    refuse_link(out)
    if not is_taken(out) or (out.is_dir() and not any(out.iterdir())):
        return
    if not out.is_dir():
        raise OutputError(str(out), "is a file", "choose another --out")
    if not overwrite:
        raise OutputError(str(out), "exists already", "choose another --out, or replace an earlier export: --overwrite")
    _check_ours(out)


def write_record(folder: Path, what: Mapping[str, Any]) -> None:
    """Write export.json: what was exported, and every file with its checksum."""
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    files = {name: file_sha256(folder / name) for name in names}
    record = {"sfttrain": sftdata.__version__, **what, "files": files}
    write_bytes(folder / RECORD, (json.dumps(record, indent=2, ensure_ascii=False) + "\n").encode())


def _check_ours(out: Path) -> None:
    """Raise OutputError where a folder has something that no export wrote."""
    try:
        files = json.loads((out / RECORD).read_bytes())["files"]
        names = set(files) | {RECORD}
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        what = f"was not written by sfttrain export: it has no {RECORD} that can be read"
        raise OutputError(str(out), what, "move it away, or choose another --out") from error
    for path in sorted(out.rglob("*")):
        if path.is_dir() and not is_link(path):
            continue
        name = path.relative_to(out).as_posix()
        if name not in names or is_link(path) or (name != RECORD and file_sha256(path) != files[name]):
            what = "was added to an earlier export, or changed in it"
            raise OutputError(str(path), what, "move it away, or choose another --out")


def _replace(made: Path, out: Path) -> None:
    """Put a folder into its place; an earlier one is removed when the new one is there."""
    old = out.parent / f".{out.name}.{os.getpid()}.old"
    if out.exists():
        out.rename(old)
    try:
        made.rename(out)
    except BaseException:
        if old.exists():
            old.rename(out)
        raise
    sync_folder(out.parent)
    shutil.rmtree(old, ignore_errors=True)
