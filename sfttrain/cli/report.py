"""`sfttrain report`: a run as one page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sftdata.errors import SftDataError
from sfttrain.cli.run import fail

HELP = """Write the report of a run: one HTML file that needs no network, with the curves of its losses and speed.

It also has the settings that differ from the defaults, the dataset and its funnel, what was checked before the first
step, and versions. A run writes it into its folder by itself, after each validation and at its end.
"""
EXAMPLES = """
sfttrain report run
sfttrain report run -o run.html
"""


def report(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="the folder of a run, its setting out")],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="where to write it [default: report.html in RUN]"),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="replace a file that `sfttrain report` did not write")
    ] = False,
) -> None:
    """Write the report, and say where it is."""
    try:
        from sfttrain.report.write import write_report

        written = write_report(run, output, overwrite=overwrite)
        print(f"{written}: {written.stat().st_size / 1e6:,.2f} MB, to open in a browser", flush=True)
    except SftDataError as error:
        fail(str(error), 1)
    except OSError as error:
        fail(f"{error.filename or run}: {error.strerror or error}", 1)
