"""The command line of sftdata: one module per command."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

from sftdata.cli import check, discover, init, prepare, templates, verify
from sftdata.cli.look import diff, inspect_dataset, report, why
from sftdata.settings.command_line import CommandLine, add_command, command_line

if TYPE_CHECKING:
    from pydantic import BaseModel

_TOKENIZER = "HuggingFaceTB/SmolLM2-135M-Instruct"
_MAKE, _LOOK, _KNOW = "From files to a dataset", "Look at a dataset", "What can be said"


class Story(CommandLine):
    """The commands in the order in which they are needed."""

    order = (
        *("init", "check", "prepare", "verify", "inspect", "report", "why", "diff"),
        *("templates", "formats", "settings", "reasons", "schema"),
    )

    def settings(self) -> type[BaseModel]:
        """The settings of prepare."""
        from sftdata.config import Config

        return Config


_ABOUT = "Turn instruction and chat data into tokenized, label-masked, packed shards."
app = command_line("sftdata", _ABOUT, Story)

# The examples of the first ones work in turn, where chats.jsonl is.
add_command(
    app,
    "init",
    init.init,
    _MAKE,
    f"""
    sftdata init chats.jsonl --tokenizer {_TOKENIZER}
    sftdata init questions.csv --columns prompt=question,completion=answer --write questions.yaml
""",
)
add_command(
    app,
    "check",
    check.check,
    _MAKE,
    """
    sftdata check chats.jsonl
    sftdata check chats.jsonl --write checked.yaml
    sftdata check prepare.yaml --against exam.jsonl
""",
)
add_command(
    app,
    "prepare",
    prepare.prepare,
    _MAKE,
    f"""
    sftdata prepare chats.jsonl --tokenizer {_TOKENIZER} --out shards
    sftdata prepare prepare.yaml --out longer pack.seq_len=4096 split.validation=0.01
    sftdata prepare questions.csv --columns prompt=question,completion=answer --tokenizer {_TOKENIZER} --out answers
""",
)
add_command(app, "verify", verify.verify, _MAKE, "sftdata verify shards")
add_command(
    app,
    "inspect",
    inspect_dataset.inspect,
    _LOOK,
    """
    sftdata inspect shards
    sftdata inspect shards --row 3
    sftdata inspect shards --where chats.jsonl:1
    sftdata inspect shards --search "HTTP 404"
    sftdata inspect shards --longest
    sftdata inspect shards --dropped duplicate
""",
    cls=inspect_dataset.InspectCommand,
)
add_command(
    app,
    "report",
    report.report,
    _LOOK,
    """
    sftdata report shards
    sftdata report shards -o chats.html
    sftdata report shards --markdown --license apache-2.0
""",
)
add_command(app, "diff", diff.diff, _LOOK, "sftdata diff shards later-shards", cls=diff.DiffCommand)
add_command(app, "why", why.why, _LOOK, "sftdata why shards chats.jsonl:3")
app.add_typer(templates.app, name="templates", rich_help_panel=_KNOW)
add_command(
    app,
    "formats",
    discover.formats,
    _KNOW,
    """
    sftdata formats
    sftdata formats alpaca
""",
)
add_command(
    app,
    "settings",
    discover.settings,
    _KNOW,
    """
    sftdata settings
    sftdata settings dedup.near
    sftdata settings max_length
""",
)
add_command(
    app,
    "reasons",
    discover.reasons,
    _KNOW,
    """
    sftdata reasons
    sftdata reasons overlong
""",
)
add_command(app, "schema", discover.schema, _KNOW, "sftdata schema > prepare.schema.json")


def main() -> None:
    """Run the command line; exits with 0, 1 after a mistake of the user's, 130 after Ctrl-C."""
    gc.set_threshold(1_000_000, 50, 50)  # modules and rows are many small objects and hardly ever cycles
    try:
        app(prog_name="sftdata")
    finally:
        gc.freeze()  # this process ends: Python need not look for garbage among all that the libraries made
