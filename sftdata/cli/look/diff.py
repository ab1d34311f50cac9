"""`sftdata diff`: what two datasets made of their rows."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from sftdata.cli.shared import as_json_text, user_errors
from sftdata.settings.help_page import Command

SAME, DIFFERS, TROUBLE = 0, 1, 2  # exit codes, as those of diff


class DiffCommand(Command):
    """A mistake in its arguments is not a difference."""

    trouble_code = TROUBLE


def diff(
    before: Annotated[str, typer.Argument(metavar="BEFORE", help="a folder written by prepare, or its address")],
    after: Annotated[str, typer.Argument(metavar="AFTER", help="another one, such as a later one")],
    as_json: Annotated[bool, typer.Option("--json", help="print JSON, with every row that changed")] = False,
    no_pager: Annotated[bool, typer.Option("--no-pager", help="print everything at once on a terminal too")] = False,
) -> None:
    """Show what two datasets made of their rows: which came, went, or have another fate, tokens per source, settings
    and templates that differ.

    Rows are the same if their content is, in whichever line they are. Exits with 0 if the datasets are the same, with 1
    if they differ, and with 2 if one cannot be read, as diff does.
    """
    with user_errors(TROUBLE):
        from sftdata.view.dataset import open_dataset

        found = open_dataset(before).diff(open_dataset(after))
        if as_json:
            print(as_json_text(found.to_dict()))
        else:
            from sftdata.safe.pager import paged
            from sftdata.view.find.compare.lines import diff_lines
            from sftdata.view.layout import PLAIN_WIDTH
            from sftdata.view.terminal import print_lines

            with paged(not no_pager) as console:
                print_lines(diff_lines(found, console.width if sys.stdout.isatty() else PLAIN_WIDTH), console)
        if not found.is_same:
            raise typer.Exit(DIFFERS)
