"""`sftdata templates list | show | check`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from sftdata.cli import completion
from sftdata.cli.discover import show_lines
from sftdata.cli.shared import user_errors
from sftdata.settings.help_page import Command, Group
from sftdata.settings.layout import Line, columns_of_terminal, definitions, fold

if TYPE_CHECKING:
    from sftdata.encode.record_encoder import RecordEncoder
    from sftdata.encode.template_check import TemplateCheck

app = typer.Typer(
    cls=Group,
    invoke_without_command=True,
    rich_markup_mode=None,
    help="List, show and check chat templates.",
    epilog="""
        sftdata templates list
        sftdata templates show qwen3
        sftdata templates check chatml --tokenizer HuggingFaceTB/SmolLM2-135M-Instruct
    """,
)


@app.callback()
def _alone(context: typer.Context) -> None:
    """List, show and check chat templates."""
    if context.invoked_subcommand is None:
        list_()


@app.command("list", cls=Command, epilog="sftdata templates list")
def list_() -> None:
    """List the templates that come with sftdata."""
    from sftdata.encode.template.load import template_names, template_summary

    with user_errors():
        width = min(columns_of_terminal(), 120)
        rows = [(name, template_summary(name)) for name in template_names()]
        show_lines([*definitions(rows, width, 0), Line(), *map(Line, fold(_HOW_TO_USE, width))])


_HOW_TO_USE = (
    "By default a tokenizer's own template is used. `template: NAME` in a settings file, or template=NAME behind "
    "`sftdata prepare`, takes one of these; `sftdata templates check NAME --tokenizer TOKENIZER` tries it."
)


@app.command(cls=Command, epilog="sftdata templates show qwen3")
def show(
    name: Annotated[
        str,
        typer.Argument(metavar="NAME", help="name from `templates list`, or path", autocompletion=completion.templates),
    ],
) -> None:
    """Print a template."""
    from sftdata.encode.template.load import template_source

    with user_errors():
        print(template_source(name), end="")


@app.command(
    cls=Command,
    epilog="""
        sftdata templates check HuggingFaceTB/SmolLM2-135M-Instruct
        sftdata templates check chatml --tokenizer HuggingFaceTB/SmolLM2-135M-Instruct
    """,
)
def check(
    name: Annotated[
        str,
        typer.Argument(
            metavar="TOKENIZER|TEMPLATE",
            help="tokenizer (folder or hub id), or template",
            autocompletion=completion.templates,
        ),
    ],
    tokenizer: Annotated[str | None, typer.Option(metavar="NAME", help="tokenizer to check the template with")] = None,
    date: Annotated[str, typer.Option(metavar="DATE", help="date for templates that ask for today")] = "2026-01-01",
) -> None:
    """Try a template on every shape of conversation. Exits with 1 if nothing can be trained."""
    with user_errors():
        from sftdata.encode.record_encoder import EncodeSettings, RecordEncoder
        from sftdata.encode.template.load import is_template
        from sftdata.encode.template_check import check_template
        from sftdata.encode.tokenizer.load import load_tokenizer
        from sftdata.errors import TemplateError

        if tokenizer is None and is_template(name):
            hint = "add --tokenizer FOLDER_OR_HUB_ID"
            raise TemplateError(name, "is a template; what it trains depends on the tokenizer", hint)
        template = "auto" if tokenizer is None else name
        files = load_tokenizer(tokenizer or name)
        encoder = RecordEncoder(EncodeSettings(files=files, template=template, date=date))
        result = check_template(encoder)
        print_check(result, encoder)
        if not result.trains:
            raise TemplateError(name, "no shape of conversation can be trained", "see the reasons above")


def print_check(result: TemplateCheck, encoder: RecordEncoder) -> None:
    """Print what a template does with each shape of conversation, and an example."""
    from rich.table import Table
    from rich.text import Text

    from sftdata.encode.template_check import marked, trained_parts
    from sftdata.safe.terminal import printable, safe_console

    console = safe_console()
    ends = ", ".join(map(repr, result.end_of_turn)) or "none: nothing can be trained"
    console.print(Text(f"end of turn        {ends}"))
    console.print(Text(f"generation prompt  {', '.join(map(repr, result.generation_prompts)) or 'none'}"))
    console.print(Text(f"fields it loses    {', '.join(result.lost_fields) or 'none'}"))
    console.print(
        Text(f"keeps prefixes     {'yes' if keeps_prefixes(result) else 'no: see the shapes that are split'}")
    )
    console.print(Text(f"encoder            {encoder.backend}"))
    table = Table(box=None, pad_edge=False)
    for heading in ("shape", "trained turns", "outcome"):
        table.add_column(heading, no_wrap=heading != "outcome")
    for example in result.examples:
        turns = " | ".join(",".join(str(turn + 1) for turn in sample.turns) for sample in example.samples)
        table.add_row(Text(example.name), Text(turns), Text(printable(example.outcome)))  # printable: for its width
    console.print()
    console.print(table)
    for name in ("system, multi-turn", "multi-turn", "single turn"):
        samples = next(example.samples for example in result.examples if example.name == name)
        if samples:
            console.print(Text(f"\n{name}, trained tokens in ⟦ ⟧:"))
            for sample in samples:
                console.print(Text(marked(trained_parts(sample, encoder))))
            return


def keeps_prefixes(result: TemplateCheck) -> bool:
    """Whether no shape had to be split."""
    return all(len(example.samples) <= 1 for example in result.examples)
