"""`sftdata inspect`: a dataset and its packed rows on the terminal."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sftdata.cli.shared import user_errors


def inspect(
    folder: Annotated[Path, typer.Argument(metavar="DATASET", help="a folder that prepare wrote")],
    row: Annotated[int | None, typer.Option(help="a packed row to show, from 0; else the summary and row 0")] = None,
    split: Annotated[str | None, typer.Option(help="only this split")] = None,
    max_tokens: Annotated[int, typer.Option(min=1, help="tokens of the row to show")] = 4096,
) -> None:
    """Show a dataset, and a packed row with its trained tokens marked."""
    with user_errors():
        from sftdata.view.dataset import open_dataset
        from sftdata.view.terminal import print_row, print_summary

        dataset = open_dataset(folder)
        if split is not None:
            dataset = dataset.split(split)
        if row is None:
            print_summary(dataset)
            print()
        if row is not None or len(dataset):
            print_row(dataset, row or 0, max_tokens=max_tokens)
