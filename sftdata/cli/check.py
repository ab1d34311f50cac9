"""`sftdata check`: audit raw data and print the findings."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from sftdata.cli.shared import config_of, fail_for_faults, shown_progress, user_errors

if TYPE_CHECKING:
    from sftdata.audit import Audit, SourceStats, WordStats
    from sftdata.config import EvaluationConfig
    from sftdata.view.summary import Summary, Table


_MAX_CHARS = 80  # of a setting in the table
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


def summarize(audit: Audit) -> Summary:
    """The findings of an audit as a title, lines and tables."""
    from sftdata.errors import pluralize
    from sftdata.view.summary import Summary
    from sftdata.view.unused import calls_lines, unused_lines

    title = f"{pluralize(audit.rows, 'row')}, {audit.rows_with_findings:,} with findings"
    lines = [f"compared with {pluralize(audit.evaluation_items, 'evaluation item')}"] if audit.evaluation_items else []
    if any(one.default_rows is not None for one in audit.findings):
        lines.append("by default: rows that `filters: default` drops; whether to drop the others is your decision")
    lines += audit.notes
    lines += unused_lines((one.path, name, rows) for one in audit.sources for name, rows in one.unused.items())
    calls = [(*text.partition(": ")[::2], rows) for one in audit.sources for text, rows in one.calls.items()]
    lines += calls_lines((fate, forms.split(", "), rows) for fate, forms, rows in calls)
    if not audit.findings:
        return Summary(title, (*lines, "no findings"), (_sources_table(audit),))
    return Summary(title, tuple(lines), (_sources_table(audit), _findings_table(audit), _examples_table(audit)))


def _sources_table(audit: Audit) -> Table:
    from sftdata.view.summary import Table

    head = ("source", "rows", "valid", "words in prompts: median, p95, max", "in answers", "formats")
    return Table(head, tuple(_source_row(source) for source in audit.sources), frozenset({0, 5}))


def _source_row(source: SourceStats) -> tuple[str, ...]:
    formats = ", ".join(f"{name} {rows:,}" for name, rows in source.formats.items())
    words = (_words(source.prompt_words), _words(source.answer_words))
    return source.path, f"{source.rows:,}", f"{source.sound:,}", *words, formats


def _words(words: WordStats | None) -> str:
    return "-" if words is None else f"{words.median:,}, {words.p95:,}, {words.max:,}"


def _findings_table(audit: Audit) -> Table:
    from sftdata.view.summary import Table

    rows = [
        (
            one.kind,
            f"{one.rows:,}",
            _share(one.share),
            "" if one.default_rows is None else f"{one.default_rows:,}",
            _short(one.setting) or "(always dropped)",
            one.meaning,
        )
        for one in audit.findings
    ]
    head = ("finding", "rows", "share", "by default", "setting", "")
    return Table(head, tuple(rows), frozenset({0, 4, 5}))


def _short(setting: str | None) -> str | None:
    """A setting that is too long for a table is in the file below it only."""
    return setting if setting is None or len(setting) <= _MAX_CHARS else f"{setting.partition(':')[0]}: see below"


def _share(share: float) -> str:
    """`1.2%`; a share above 0 is never shown as 0.0%."""
    return f"{share:.1%}" if share >= 0.0005 else "<0.1%"


def _examples_table(audit: Audit) -> Table:
    """The first row of each kind of finding, and the evidence."""
    from sftdata.view.summary import Table

    rows = [(one.kind, one.examples[0].where, one.examples[0].text) for one in audit.findings]
    return Table(("finding", "first row", "evidence"), tuple(rows), frozenset({0, 1, 2}))
