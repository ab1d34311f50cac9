"""`sftdata why`: show what happened to one input row."""

from __future__ import annotations

from typing import Annotated

import typer

from sftdata.cli.shared import DatasetFolder, user_errors


def why(
    folder: DatasetFolder,
    where: Annotated[str, typer.Argument(metavar="FILE:LINE", help="an input row, such as chats.jsonl:17")],
) -> None:
    """Show what happened to an input row, and why."""
    with user_errors():
        from sftdata.view.why import explain

        print(explain(folder, where))
