"""Where a report goes: beside the manifest, or to any other place, and never over what is somebody else's."""

from __future__ import annotations

import os
import re
from pathlib import Path

from sftdata.errors import ConfigError, OutputError
from sftdata.files.atomic import MANIFEST_NAME, file_sha256, write_bytes
from sftdata.files.copies import ensure, send
from sftdata.files.report_files import CARD_NAME, REPORT_NAME, check_place, read_mark, with_mark
from sftdata.view.dataset import Dataset, open_dataset
from sftdata.view.report.markdown.card import dataset_card
from sftdata.view.report.page import report_page

_LICENSE = re.compile(r"[a-z0-9][a-z0-9.+-]{0,60}")  # how the Hub writes the ids of licenses


def write_report(
    folder: str | Path,
    path: str | Path | None = None,
    *,
    data: str | Path | None = None,
    overwrite: bool = False,
    markdown: bool = False,
    license: str | None = None,
) -> Path:
    """Write the report of a dataset, by default to report.html beside its manifest, and return its path. `markdown`
    makes it a card for the Hugging Face Hub, by default README.md.

    A report that is there is replaced; another file is, only with `overwrite`, and never one of the dataset. Raises
    OutputError where it is not written, DatasetError if the dataset is damaged, ConfigError for arguments that do not
    belong together, and a license that cannot be an id of the Hub.
    """
    _check_arguments(data, license, markdown=markdown)
    dataset = open_dataset(folder)
    name = CARD_NAME if markdown else REPORT_NAME
    target = Path(dataset.path, name) if path is None else Path(path)
    ensure(target)  # of a dataset on a store
    check_target(dataset, target, name, overwrite=overwrite)
    if markdown:
        card = dataset_card(dataset, license.lower() if license else None)
        body = card.removeprefix("---\n").encode("utf-8", "backslashreplace")
    else:
        body = report_page(dataset, data)
    write_bytes(target, with_mark(name, file_sha256(dataset.path / MANIFEST_NAME), body))
    send(target)
    return target


def _check_arguments(data: str | Path | None, license: str | None, *, markdown: bool) -> None:
    """Raise ConfigError for arguments that have no effect, or none that the Hub knows."""
    if data is not None and markdown:
        what = "is for the texts of dropped rows, which a report as Markdown does not have"
        raise ConfigError("data", what, "leave it out, or leave out markdown")
    if license and not markdown:
        raise ConfigError("license", "is written into a report as Markdown only", "give --markdown too")
    if license and _LICENSE.fullmatch(license.lower()) is None:
        what = f"{license[:60]!r} is no id of a license"
        raise ConfigError("license", what, "write it as the Hub does, such as apache-2.0, cc-by-4.0 or other")


def check_target(dataset: Dataset, target: Path, name: str, *, overwrite: bool) -> None:
    """Raise OutputError where a report must not be written: over a file of the dataset, or what is no report.

    `name` is that of the report in a folder of a dataset, which holds no other files.
    """
    holds = f"the dataset, which holds only what its manifest lists, and {name}"
    if not check_place(target, dataset.path, name, holds):
        return
    mark = read_mark(target)
    if (mark is None or not mark.is_unchanged) and not overwrite:
        what = "was not written by `sftdata report`" if mark is None else "was changed since `sftdata report` wrote it"
        raise OutputError(str(target), f"{what}, so it is kept", "name another file with -o, or give --overwrite")
    if not os.access(target, os.W_OK):
        raise OutputError(str(target), "is write-protected, so it is kept", "name another file with -o")
