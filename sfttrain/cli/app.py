"""The command line of sfttrain: one module per command."""

from __future__ import annotations

from typing import Annotated

import typer

from sftdata import __version__
from sftdata.settings.command_line import CommandLine
from sfttrain.cli import run

app = typer.Typer(
    cls=CommandLine,
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _version(value: bool) -> None:
    if value:
        print(f"sfttrain {__version__}")
        raise typer.Exit


@app.callback()
def _sfttrain(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="print the version")
    ] = False,
) -> None:
    """Train a causal language model on shards written by sftdata."""


app.command(help=run.HELP)(run.run)


def main() -> None:
    """Run the command line. Exit codes: 0 on success, 1 for a user error, 130 after Ctrl-C."""
    app(prog_name="sfttrain")
