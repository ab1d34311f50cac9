"""Where a report goes: beside the manifest, or to any other place, and never over what is somebody else's."""

from __future__ import annotations

import os
from pathlib import Path

from sftdata.errors import OutputError
from sftdata.files.atomic import MANIFEST_NAME, file_sha256, write_bytes
from sftdata.files.inside import is_taken
from sftdata.files.report_files import REPORT_NAME, read_mark, with_mark
from sftdata.view.dataset import Dataset, open_dataset
from sftdata.view.report.page import report_page


def write_report(
    folder: str | Path,
    path: str | Path | None = None,
    *,
    data: str | Path | None = None,
    overwrite: bool = False,
) -> Path:
    """Write the report of a dataset, by default to report.html beside its manifest, and return its path.

    A report that is there is replaced; another file is, only with `overwrite`, and never one of the dataset. Raises
    OutputError where it is not written, DatasetError if the dataset is damaged.
    """
    dataset = open_dataset(folder)
    target = Path(folder, REPORT_NAME) if path is None else Path(path)
    check_target(dataset, target, REPORT_NAME, overwrite=overwrite)
    body = report_page(dataset, data)
    write_bytes(target, with_mark(REPORT_NAME, file_sha256(dataset.path / MANIFEST_NAME), body))
    return target


def check_target(dataset: Dataset, target: Path, name: str, *, overwrite: bool) -> None:
    """Raise OutputError where a report must not be written: over a file of the dataset, or what is no report.

    `name` is that of the report in a folder of a dataset, which holds no other files.
    """
    folder = dataset.path.resolve()
    place = target.parent.resolve() / target.name
    if place != folder / name and (folder in place.parents or place == folder):
        what = f"lies in the folder of the dataset, which holds only what its manifest lists, and {name}"
        raise OutputError(str(target), what, f"name a file in another folder, or leave -o out for {name} in it")
    if not is_taken(target):
        return
    if target.is_dir():
        raise OutputError(str(target), "is a folder", f"name a file, such as {target / name}")
    if not target.is_file():
        raise OutputError(str(target), "is not a regular file", "name another file")
    mark = read_mark(target)
    if (mark is None or not mark.is_unchanged) and not overwrite:
        what = "was not written by `sftdata report`" if mark is None else "was changed since `sftdata report` wrote it"
        raise OutputError(str(target), f"{what}, so it is kept", "name another file with -o, or give --overwrite")
    if not os.access(target, os.W_OK):
        raise OutputError(str(target), "is write-protected, so it is kept", "name another file with -o")
