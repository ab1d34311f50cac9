"""`sftdata why`: what happened to one row of the input."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sftdata.cli.shared import user_errors


def why(
    folder: Annotated[Path, typer.Argument(metavar="DATASET", help="a folder that prepare wrote")],
    where: Annotated[str, typer.Argument(metavar="FILE:LINE", help="a row of the input, such as chats.jsonl:17")],
) -> None:
    """Show what happened to a row of the input, and why."""
    with user_errors():
        from sftdata.view.why import explain

        print(explain(folder, where))
