"""The command line of sfttrain: one module per command."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sftdata.settings.command_line import CommandLine, command_line
from sftdata.settings.help_page import Command
from sfttrain.cli import chat, check, evaluate, export, find_lr, presets, report, run

if TYPE_CHECKING:
    from sfttrain.config import TrainConfig


class Training(CommandLine):
    """The commands, which take the settings of training."""

    def settings(self) -> type[TrainConfig]:
        """The settings of `sfttrain run`."""
        from sfttrain.config import TrainConfig

        return TrainConfig


app = command_line("sfttrain", "Train a causal language model on shards written by sftdata.", Training)

app.command(cls=run.RunCommand, help=run.HELP, epilog=run.EXAMPLES)(run.run)
app.command(cls=run.RunCommand, help=check.HELP, epilog=check.EXAMPLES)(check.check)
app.command("find-lr", cls=run.RunCommand, help=find_lr.HELP, epilog=find_lr.EXAMPLES)(find_lr.find_lr)
app.command("eval", cls=Command, help=evaluate.HELP, epilog=evaluate.EXAMPLES)(evaluate.evaluate)
app.command(cls=Command, help=chat.HELP, epilog=chat.EXAMPLES)(chat.chat)
app.command(cls=Command, help=export.HELP, epilog=export.EXAMPLES)(export.export)
app.command(cls=Command, help=report.HELP, epilog=report.EXAMPLES)(report.report)
app.command(cls=Command, help=presets.HELP, epilog=presets.EXAMPLES)(presets.presets)


def main() -> None:
    """Run the command line. Exit codes: 0 on success, 1 for a user error, 130 after Ctrl-C."""
    app(prog_name="sfttrain")
