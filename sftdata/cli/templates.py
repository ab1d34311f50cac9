"""`sftdata templates list | show | check`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from sftdata.cli.shared import user_errors

if TYPE_CHECKING:
    from sftdata.encode.record_encoder import RecordEncoder
    from sftdata.encode.template_check import TemplateCheck

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="List, show and check chat templates.")


@app.command("list")
def list_() -> None:
    """List the templates that come with sftdata."""
    from sftdata.encode.template.load import template_names, template_summary

    names = template_names()
    width = max(map(len, names))
    for name in names:
        print(f"{name:<{width}}  {template_summary(name)}")


@app.command()
def show(name: Annotated[str, typer.Argument(help="name from `templates list`, or path")]) -> None:
    """Print a template."""
    from sftdata.encode.template.load import template_source

    with user_errors():
        print(template_source(name), end="")


@app.command()
def check(
    name: Annotated[
        str, typer.Argument(metavar="TOKENIZER|TEMPLATE", help="tokenizer (folder or hub id), or template")
    ],
    tokenizer: Annotated[str | None, typer.Option(help="tokenizer to check the template with")] = None,
    date: Annotated[str, typer.Option(help="date for templates that ask for today")] = "2026-01-01",
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
    for heading in ("shape", "outcome", "turns trained"):
        table.add_column(heading)
    for example in result.examples:
        turns = " | ".join(",".join(str(turn + 1) for turn in sample.turns) for sample in example.samples)
        table.add_row(Text(example.name), Text(printable(example.outcome)), Text(turns))  # printable: for its width
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
