"""`sftdata report`: a dataset as one page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sftdata.cli.shared import DatasetFolder, as_json_text, user_errors

Data = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER",
        help="folder that the paths of the sources start from, for texts of dropped rows [default: this one, or those "
        "above the dataset]",
    ),
]


def report(
    folder: DatasetFolder,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="FILE", help="where to write it [default: report.html, or README.md, in DATASET]"
        ),
    ] = None,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="write a dataset card for the Hugging Face Hub: README.md")
    ] = False,
    license: Annotated[
        str | None,
        typer.Option("--license", metavar="ID", help="license for the card, as the Hub names it: apache-2.0"),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="replace a file that `sftdata report` did not write")
    ] = False,
    data: Data = None,
    as_json: Annotated[bool, typer.Option("--json", help="print where it is as JSON")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="print errors only")] = False,
) -> None:
    """Write a report: one HTML file that needs no network, to look at a dataset in a browser and to hand it on.

    It has what is packed, warnings, examples of dropped rows and duplicates, personal data by kind, and samples with
    what is trained, to search and filter.
    """
    with user_errors():
        from sftdata.errors import with_known_names
        from sftdata.view.report.write import write_report

        written = write_report(folder, output, data=data, overwrite=overwrite, markdown=markdown, license=license)
        size, shown = written.stat().st_size, with_known_names(str(written))
        if as_json:
            facts = {"schema_version": 1, "dataset": folder, "report": shown, "size_bytes": size}
            print(as_json_text(facts))
        elif not quiet:
            from sftdata.safe.control_chars import terminal_safe

            about = f"{size:,} bytes, a dataset card" if markdown else f"{size / 1e6:,.2f} MB, to open in a browser"
            print(terminal_safe(f"{shown}: {about}"))
