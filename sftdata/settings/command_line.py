"""What the command lines of both packages share: --version, and one sentence and exit code 1 for a wrong argument."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import typer

from sftdata.safe.addresses import mask_credentials
from sftdata.safe.terminal import safe_output
from sftdata.settings.help_page import CONTEXT, Command, Group
from sftdata.settings.layout import columns_of_terminal, fold_message

if TYPE_CHECKING:
    from pydantic import BaseModel

_OF_OPTION = re.compile(r"(?:Invalid value for |Option )(?:'[^']*?(?=-))?(--?[\w-]+)[^ ]*?'?:? (.*)", re.DOTALL)


class CommandLine(Group):
    """A group of commands that says what is wrong with its arguments in one sentence on stderr. Its help page lists
    them as `order` does, and others behind these.
    """

    order: ClassVar[Sequence[str]] = ()

    def settings(self) -> type[BaseModel] | None:
        """What can be set besides the options, for messages on options that do not exist."""
        return None

    def list_commands(self, ctx: Any) -> list[str]:
        """The names of the commands, in their order."""
        names = super().list_commands(ctx)
        return sorted(names, key=lambda name: self.order.index(name) if name in self.order else len(self.order))

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        """Run a command. Exits with 1 where an argument is wrong, else as the command says. What it prints is
        printable: see sftdata/safe/terminal.py.
        """
        with safe_output():
            return self._main(args, prog_name, complete_var, standalone_mode, windows_expand_args, **extra)

    def _main(
        self,
        args: Sequence[str] | None,
        prog_name: str | None,
        complete_var: str | None,
        standalone_mode: bool,
        windows_expand_args: bool,
        **extra: Any,
    ) -> Any:
        try:
            code = super().main(args, prog_name, complete_var, False, windows_expand_args, **extra)
        except typer.Abort:  # Ctrl-C before a command has started
            sys.exit(130)
        except Exception as error:  # the exceptions of click, which typer has a copy of, share no public base class
            if not (standalone_mode and hasattr(error, "format_message")):
                raise  # a bug, which keeps its traceback
            if "NoArgs" in type(error).__name__:  # the help text
                error.show()  # type: ignore[attr-defined]
                sys.exit(error.exit_code)  # type: ignore[attr-defined]
            said = f"{prog_name or self.name}: {_sentence(error, self.settings)}"
            print(fold_message(said, columns_of_terminal()) if sys.stderr.isatty() else said, file=sys.stderr)
            command = getattr(getattr(error, "ctx", None), "command", None)
            sys.exit(getattr(command, "trouble_code", 1))
        if standalone_mode:
            sys.exit(code if isinstance(code, int) else 0)
        return code


def command_line(name: str, about: str, kind: type[CommandLine] = CommandLine) -> typer.Typer:
    """The command line of a package, without its commands. `about` is its help text."""
    app = typer.Typer(
        name=name,
        cls=kind,
        context_settings=dict(CONTEXT),
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )
    app.callback(help=about)(_options)
    return app


def add_command(
    app: typer.Typer,
    name: str,
    function: Callable[..., Any],
    panel: str | None,
    examples: str,
    help: str | None = None,
    cls: type[Command] = Command,
) -> None:
    """Give a command to the command line: in which group of its help page it is, and examples, one command a line."""
    app.command(name, cls=cls, rich_help_panel=panel, epilog=examples, help=help)(function)


def _version(context: typer.Context, value: bool) -> None:
    if value:
        from sftdata import __version__

        print(f"{context.info_name} {__version__}")
        raise typer.Exit


def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="print the version")
    ] = False,
) -> None:
    """The options before a command."""


def _sentence(error: Any, settings: Callable[[], type[BaseModel] | None]) -> str:
    """What is wrong, and where to read what is right."""
    what = " ".join(error.format_message().split()).rstrip(".?")
    if match := _OF_OPTION.fullmatch(what):
        reason = match[2].partition(", unable to")[0]
        what = f"{match[1]}: {reason[:1].lower()}{reason[1:]}"
    context = getattr(error, "ctx", None)
    what = f"{what[:1].lower()}{what[1:]}"
    option = getattr(error, "option_name", None) if "NoSuchOption" in type(error).__name__ else None
    if option and context is not None and any("KEY=VALUE" in str(one.metavar) for one in context.command.params):
        from sftdata.settings.unknown_keys import option_hint

        root = settings()
        hint = option_hint(option, root) if root is not None else None
        what = f"{what.partition(' (Possible')[0]}; {hint}" if hint else what
    return mask_credentials(what) + (f"; see {context.command_path} --help" if context is not None else "")
