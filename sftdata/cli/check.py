"""`sftdata check`: audit raw data and print the findings."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sftdata.cli.shared import (
    Columns,
    Format,
    Items,
    Split,
    System,
    as_json_text,
    config_of,
    fail_for_faults,
    show,
    shown_progress,
    source_settings,
    user_errors,
)
from sftdata.safe.addresses import mask_credentials

if TYPE_CHECKING:
    from sftdata.config import Config, EvaluationConfig


_HOW_TO_USE = (
    "The settings that were given, and those that handle what was found. Take out what you do not want; "
    "`--write prepare.yaml` writes them to a file."
)
_WRITTEN = "The settings file to write"


def check(
    items: Items,
    against: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FILE",
            help="an evaluation file, or {path: FILE, columns: {prompt: COLUMN, completion: COLUMN}}; "
            "may be given several times",
        ),
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="exit with code 1 if anything is found")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
    columns: Columns = None,
    format: Format = None,
    system: System = None,
    split: Split = None,
    write: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="write the recommended settings, such as to prepare.yaml", rich_help_panel=_WRITTEN
        ),
    ] = None,
    tokenizer: Annotated[
        str | None, typer.Option(metavar="NAME", help="tokenizer to write into it", rich_help_panel=_WRITTEN)
    ] = None,
    out: Annotated[
        str | None,
        typer.Option(
            metavar="FOLDER", help="output folder to write into it [default: shards]", rich_help_panel=_WRITTEN
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="replace an existing settings file", rich_help_panel=_WRITTEN)
    ] = False,
) -> None:
    """Audit raw data and suggest settings. Shows what is wrong and where; writes no file but the one that is asked for.

    The tokenizer and the output folder are not needed.
    """
    with user_errors():
        from sftdata.audit import UNUSED_SETTINGS, audit
        from sftdata.audit.settings_file import check_new, recommended_file
        from sftdata.audit.summary import summarize
        from sftdata.records.faults import INTERNAL_ERROR

        if write is not None:
            check_new(write, overwrite=overwrite)
        options = {"tokenizer": tokenizer, "out": out}
        config = config_of(items, options, UNUSED_SETTINGS, source_settings(columns, format, system, split))
        with shown_progress() as progress:
            found = audit(config, against=[_evaluation(text) for text in against or ()], progress=progress)
        if as_json:
            print(as_json_text(found.to_dict()))
        else:
            show(summarize(found))
            if found.settings and write is None:
                base = Path(config.resolve_path(""))
                print(f"\n{recommended_file(config, found.settings, base, _HOW_TO_USE)}", end="")
        if write is not None:
            _write_settings(config, found.settings, write, items, overwrite=overwrite, is_quiet=as_json)
        fail_for_faults(sum(one.rows for one in found.findings if one.kind == INTERNAL_ERROR), found.rows, "see above")
        if strict and found.findings:
            raise typer.Exit(1)


def _write_settings(
    config: Config, found: str, path: Path, items: list[str], *, overwrite: bool, is_quiet: bool
) -> None:
    """Write the recommended settings, and say so."""
    from sftdata.audit.settings_file import recommended_file, write_new
    from sftdata.cli.init import report_written

    command = mask_credentials(shlex.join(["sftdata", "check", *items]))
    head = f"Written by `{command}`: the settings that were given, and those that handle what was found. "
    head += "Take out what you do not want; `sftdata settings NAME` explains a setting."
    write_new(path, recommended_file(config, found, path.parent, head), overwrite=overwrite)
    if not is_quiet:
        print()
        report_written(path, has_tokenizer=bool(config.tokenizer))


def _evaluation(text: str) -> str | EvaluationConfig:
    """An evaluation file from the command line: a path, or settings in braces."""
    import yaml

    from sftdata.config import EvaluationConfig
    from sftdata.errors import ConfigError
    from sftdata.settings.groups import check_settings
    from sftdata.settings.yaml_text import parse_yaml

    if not text.startswith("{"):
        return text
    try:
        settings = parse_yaml(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError("--against", f"{text} is not YAML", "write {path: FILE, columns: {...}}") from error
    return check_settings(EvaluationConfig, settings, "--against")
