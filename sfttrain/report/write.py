"""Where the report of a run goes: beside run.json, or to any other place, and never over what is somebody else's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from sftdata.errors import ConfigError, OutputError
from sftdata.files.atomic import write_bytes
from sftdata.files.inside import is_file, is_taken
from sftdata.files.report_files import REPORT_NAME, check_place
from sfttrain.report.log import read_log
from sfttrain.report.mark import is_own_report, with_mark
from sfttrain.report.page import run_page
from sfttrain.run_folder import METRICS, RUN_JSON

_MAX_BYTES = 32 << 20  # far above what a run.json has


def write_report(run: str | Path, path: str | Path | None = None, *, overwrite: bool = False) -> Path:
    """Write the report of a run, by default to report.html beside its run.json, and return its path.

    A report that is there is replaced; another file is only with `overwrite`, and none that the run wrote. Raises
    ConfigError where the folder is that of no run, OutputError where the report is not written.
    """
    folder = Path(run)
    summary = read_summary(folder)
    target = folder / REPORT_NAME if path is None else Path(path)
    _check_target(folder, target, overwrite=overwrite)
    write_bytes(target, report_bytes(summary, folder))
    return target


def report_bytes(summary: dict[str, Any], folder: Path) -> bytes:
    """The whole file."""
    return with_mark(run_page(summary, read_log(folder / METRICS)))


def read_summary(folder: Path) -> dict[str, Any]:
    """The content of a run's run.json. Raises ConfigError where there is none, or it is damaged."""
    path, todo = folder / RUN_JSON, "give the folder that `sfttrain run` wrote (its setting out)"
    if not folder.is_dir():
        raise ConfigError(str(folder), "is not a folder" if is_taken(folder) else "does not exist", todo)
    try:
        data = path.read_bytes() if is_file(path) and path.stat().st_size <= _MAX_BYTES else None
    except OSError as error:
        raise ConfigError(str(path), f"cannot be read: {error.strerror}", "make it readable") from error
    if data is None:
        raise ConfigError(str(folder), f"has no {RUN_JSON}, so it is not the folder of a run", todo)
    try:
        summary = json.loads(data)
    except (ValueError, RecursionError):
        summary = None
    if not isinstance(summary, dict) or not isinstance(summary.get("status"), str) or "dataset_hash" not in summary:
        raise ConfigError(str(path), "was not written by sfttrain, or is damaged", "restore it")
    return summary


def _check_target(folder: Path, target: Path, *, overwrite: bool) -> None:
    """Raise OutputError where a report must not be written: over another file of the run, or what is no report."""
    is_there = check_place(target, folder, REPORT_NAME, f"the run, which has {REPORT_NAME} for it")
    if is_there and not overwrite and not is_own_report(target):
        what = "was not written by `sfttrain report`, or has changed since, so it is kept"
        raise OutputError(str(target), what, "name another file with -o, or give --overwrite")
