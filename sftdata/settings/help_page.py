"""The help of commands: options in groups, examples that can be pasted, lines folded between words."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from typer.core import TyperCommand, TyperGroup

from sftdata.settings.layout import (
    Line,
    columns_of_terminal,
    command_lines,
    definitions,
    fold,
    has_styles,
    heading,
    print_lines,
)

OTHER = "Other options"  # the last group, of what every command has
MAX_COLUMNS = 100  # longer lines are hard to read

CONTEXT: Mapping[str, Any] = {"help_option_names": ["-h", "--help"]}  # what a command gets from its parent


class Command(TyperCommand):
    """A command with a help page. Its epilog holds examples, one command a line."""

    def more_sections(self) -> list[tuple[str, list[tuple[str, str]]]]:
        """Further sections of the help page: titles, and names with their meanings."""
        return []

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help page, or print it where that can show headings."""
        _write(_page(self, ctx, columns_of_terminal(MAX_COLUMNS)), formatter)


class Group(TyperGroup):
    """Commands with a help page, in the groups of their `rich_help_panel`."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help page, or print it where that can show headings."""
        _write(_page(self, ctx, columns_of_terminal(MAX_COLUMNS)), formatter)


def _write(lines: list[Line], formatter: Any) -> None:
    if has_styles():
        print_lines(lines[:-1])  # the caller ends the page with a line break
        formatter.write(lines[-1].text)
    else:
        formatter.write("".join(f"{line.text}\n" for line in lines)[:-1])


def _page(command: Any, ctx: Any, width: int) -> list[Line]:
    """All lines of a help page."""
    usage = f"Usage: {ctx.command_path} "
    lines = [Line(line) for line in fold(" ".join(_pieces(command, ctx)), width, usage)]
    for paragraph in (command.help or "").split("\n\n"):
        lines += [Line(), *map(Line, fold(paragraph, width))]
    more = command.more_sections() if isinstance(command, Command) else []
    for title, rows in [*_sections(command, ctx), *more]:
        lines += [Line(), heading(f"{title}:"), *definitions(rows, width)]
    examples = [line.strip() for line in (command.epilog or "").splitlines() if line.strip()]
    if examples:
        lines += [Line(), heading("Examples:")]
        lines += [Line(line) for example in examples for line in command_lines(example, width)]
    return lines


def _pieces(command: Any, ctx: Any) -> list[str]:
    """What follows the name of a command."""
    arguments = [param for param in command.get_params(ctx) if param.param_type_name == "argument"]
    named = [param.metavar or param.name.upper() for param in arguments]
    return ["[OPTIONS]", *named, *(["COMMAND [ARGS]..."] if isinstance(command, TyperGroup) else [])]


def _sections(command: Any, ctx: Any) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """Groups of commands, arguments and options: titles, and names with their meanings."""
    groups: dict[str, list[tuple[str, str]]] = {}
    for name in command.list_commands(ctx) if isinstance(command, TyperGroup) else ():
        one = command.get_command(ctx, name)
        if one is not None and not one.hidden:
            title = getattr(one, "rich_help_panel", None) or "Commands"
            groups.setdefault(str(title), []).append((name, _summary(one.help or "")))
    last: list[tuple[str, str]] = []
    for param in command.get_params(ctx):
        record = param.get_help_record(ctx)
        if record is not None:
            is_argument = param.param_type_name == "argument"
            panel = getattr(param, "rich_help_panel", None)
            is_common = not is_argument and panel is None and param.name in ("help", "version", *_COMPLETION)
            title = "Arguments" if is_argument else panel or "Options"
            named = param.metavar or param.name.upper() if is_argument else _with_metavar(record[0])
            (last if is_common else groups.setdefault(str(title), [])).append((named, _meaning(param, record[1])))
    yield from groups.items()
    if last:
        yield (OTHER if groups else "Options"), last


_COMPLETION = ("install_completion", "show_completion")
_OWN = {  # what typer says in sentences of its own
    "help": "show this page",
    "install_completion": "let the Tab key complete words in this shell, from its next start on",
    "show_completion": "print the script that does so",
}


def _with_metavar(option: str) -> str:
    """`--workers <int range>` as `--workers N`."""
    return re.sub(r"<int( range)?>", "N", option).replace("<str>", "TEXT").replace("<path>", "PATH")


def _meaning(param: Any, text: str) -> str:
    """What an option is for, without what typer adds of types."""
    return _OWN.get(param.name) or re.sub(r"\s+\[(required|x[<>]=\S+|[\d.]+<=x.*)\]$", "", text)


def _summary(text: str) -> str:
    """The first sentence of a help text."""
    paragraph = " ".join(text.split("\n\n")[0].split())
    return paragraph.partition(". ")[0].rstrip(".")
