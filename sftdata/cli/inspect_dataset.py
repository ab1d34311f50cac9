"""`sftdata inspect`: show a dataset and its packed rows on the terminal."""

from __future__ import annotations

from typing import Annotated

import typer

from sftdata.cli.shared import DatasetFolder, user_errors


def inspect(
    folder: DatasetFolder,
    row: Annotated[
        int | None, typer.Option(help="packed row to show, counted from 0 [default: the summary and row 0]")
    ] = None,
    split: Annotated[str | None, typer.Option(help="show only this split")] = None,
    max_tokens: Annotated[int, typer.Option(min=1, help="maximum number of tokens to show")] = 4096,
) -> None:
    """Show a dataset and its packed rows. Trained tokens are marked."""
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
