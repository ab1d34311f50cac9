"""`sftdata why`: show what happened to one input row."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from sftdata.cli.shared import DatasetFolder, user_errors


def why(
    folder: DatasetFolder,
    row: Annotated[
        str,
        typer.Argument(
            metavar="ROW", help="an input row: FILE:LINE, such as chats.jsonl:17, its record id, or the beginning of it"
        ),
    ],
    data: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="folder that the paths of the sources start from [default: this one, or those above the dataset]",
        ),
    ] = None,
) -> None:
    """Show what happened to an input row and why: its text, and beside it that of the row it repeats, with the
    differences marked.
    """
    with user_errors():
        from sftdata.remote.mirror import local_folder
        from sftdata.safe.terminal import safe_console
        from sftdata.store.manifest import Manifest
        from sftdata.view.terminal import print_lines
        from sftdata.view.why import explain_rows

        place = local_folder(folder)
        console = safe_console()
        width = console.width if sys.stdout.isatty() else None  # a pipe gets the lines of texts as they are
        for number, one in enumerate(explain_rows(place, Manifest.load(place), row, data)):
            print_lines([*([[]] if number else []), *one.lines(width)], console)
