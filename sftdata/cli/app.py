"""The command line of sftdata: one module per command."""

from __future__ import annotations

import gc

from sftdata.cli import check, inspect_dataset, prepare, templates, verify, why
from sftdata.settings.command_line import command_line

app = command_line("sftdata", "Turn instruction and chat data into tokenized, label-masked, packed shards.")

app.command()(prepare.prepare)
app.command()(check.check)
app.command()(verify.verify)
app.command()(inspect_dataset.inspect)
app.command()(why.why)
app.add_typer(templates.app, name="templates")


def main() -> None:
    """Run the command line; exits with 0, 1 after a mistake of the user's, 130 after Ctrl-C."""
    gc.set_threshold(1_000_000, 50, 50)  # modules and rows are many small objects and hardly ever cycles
    try:
        app(prog_name="sftdata")
    finally:
        gc.freeze()  # this process ends: Python need not look for garbage among all that the libraries made
