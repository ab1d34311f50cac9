"""`sftdata check`: audit raw data and print the findings."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from sftdata.cli.shared import config_of, fail_for_faults, shown_progress, user_errors

if TYPE_CHECKING:
    from sftdata.config import EvaluationConfig


_HOW_TO_USE = """\
# The settings that were given, and those that handle what was found. Take out what you do not want, save the rest
# beside the settings file that was checked (or in this folder, if data files were), add `tokenizer` and `out` if they
# are not there, and run `sftdata prepare FILE`."""


def check(
    items: Annotated[
        list[str],
        typer.Argument(
            metavar="CONFIG.yaml|FILE... [KEY=VALUE]...",
            help="as for prepare; tokenizer and out are not needed",
        ),
    ],
    against: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FILE",
            help="an evaluation file, or {path: FILE, columns: {prompt: COLUMN, completion: COLUMN}}; "
            "may be given several times",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="exit with code 1 if anything is found")] = False,
) -> None:
    """Audit raw data and suggest settings. Shows what is wrong and where; writes no files."""
    with user_errors():
        from sftdata.audit import UNUSED_SETTINGS, audit
        from sftdata.audit.summary import summarize
        from sftdata.records.faults import INTERNAL_ERROR
        from sftdata.view.terminal import print_summary_of

        config = config_of(items, {}, UNUSED_SETTINGS)
        with shown_progress() as progress:
            found = audit(config, against=[_evaluation(text) for text in against or ()], progress=progress)
        if as_json:
            print(as_json_text(found.to_dict()))
        else:
            print_summary_of(summarize(found))
            if found.settings:
                print(f"\n{_HOW_TO_USE}\n\n{found.settings}", end="")
        fail_for_faults(sum(one.rows for one in found.findings if one.kind == INTERNAL_ERROR), found.rows, "see above")
        if strict and found.findings:
            raise typer.Exit(1)


def as_json_text(value: object) -> str:
    """A value as JSON, in which every character that controls a terminal is written as an escape."""
    return json.dumps(value, indent=2).replace("\x7f", "\\u007f")  # the only one that json leaves


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
