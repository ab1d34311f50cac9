"""Where the report of a run goes: beside run.json, or to any other place, and never over what is somebody else's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sftdata.files.atomic import write_bytes
from sftdata.files.report_files import REPORT_NAME, check_place
from sfttrain.report.log import read_log
from sfttrain.report.mark import REPORT, check_own, with_mark
from sfttrain.report.page import run_page
from sfttrain.run_folder import METRICS
from sfttrain.summary import read_run


def write_report(run: str | Path, path: str | Path | None = None, *, overwrite: bool = False) -> Path:
    """Write the report of a run, by default to report.html beside its run.json, and return its path.

    A report that is there is replaced; another file is only with `overwrite`, and none that the run wrote. Raises
    ConfigError where the folder is that of no run, OutputError where the report is not written.
    """
    folder = Path(run)
    summary = read_run(folder)
    target = folder / REPORT_NAME if path is None else Path(path)
    _check_target(folder, target, overwrite=overwrite)
    write_bytes(target, report_bytes(summary, folder))
    return target


def report_bytes(summary: dict[str, Any], folder: Path) -> bytes:
    """The whole file."""
    return with_mark(REPORT, run_page(summary, read_log(folder / METRICS)))


def _check_target(folder: Path, target: Path, *, overwrite: bool) -> None:
    """Raise OutputError where a report must not be written: over another file of the run, or what is no report."""
    is_there = check_place(target, folder, REPORT_NAME, f"the run, which has {REPORT_NAME} for it")
    if is_there and not overwrite:
        check_own(target, REPORT, "name another file with -o, or give --overwrite")
