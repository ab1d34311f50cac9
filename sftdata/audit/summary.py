"""The findings of an audit as a title, lines and tables: for the terminal, for notebooks and for Python."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sftdata.errors import pluralize
from sftdata.view.summary import Summary, Table, short_names
from sftdata.view.unused import calls_lines, unused_lines

if TYPE_CHECKING:
    from sftdata.audit.findings import Audit, SourceStats, WordStats

_MAX_CHARS = 80  # of a setting in the table


def summarize(audit: Audit) -> Summary:
    """The findings of an audit as a title, lines and tables."""
    title = f"{pluralize(audit.rows, 'row')}, {audit.rows_with_findings:,} with findings"
    lines = [f"compared with {pluralize(audit.evaluation_items, 'evaluation item')}"] if audit.evaluation_items else []
    if any(one.default_rows is not None for one in audit.findings):
        lines.append("by default: rows that `filters: default` drops; whether to drop the others is your decision")
    if any(one.answer_words is not None for one in audit.sources):
        lines.append("words: the median, the 95th percentile and the maximum, of the prompts of a row and of an answer")
    lines += audit.notes
    lines += unused_lines((one.path, name, rows) for one in audit.sources for name, rows in one.unused.items())
    calls = [(*text.partition(": ")[::2], rows) for one in audit.sources for text, rows in one.calls.items()]
    lines += calls_lines((fate, forms.split(", "), rows) for fate, forms, rows in calls)
    if not audit.findings:
        return Summary(title, (*lines, "no findings"), (_sources_table(audit),))
    return Summary(title, tuple(lines), (_sources_table(audit), _findings_table(audit), _examples_table(audit)))


def _sources_table(audit: Audit) -> Table:
    names = short_names([source.path for source in audit.sources])
    head = ("source", "rows", "valid", "prompt words", "answer words", "formats")
    return Table(head, tuple(map(_source_row, audit.sources, names)), frozenset({0, 5}))


def _source_row(source: SourceStats, name: str) -> tuple[str, ...]:
    formats = ", ".join(f"{name} {rows:,}" for name, rows in source.formats.items())
    words = (_words(source.prompt_words), _words(source.answer_words))
    return name, f"{source.rows:,}", f"{source.sound:,}", *words, formats


def _words(words: WordStats | None) -> str:
    return "-" if words is None else f"{words.median:,}, {words.p95:,}, {words.max:,}"


def _findings_table(audit: Audit) -> Table:
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
    rows = [(one.kind, one.examples[0].where, one.examples[0].text) for one in audit.findings]
    return Table(("finding", "first row", "evidence"), tuple(rows), frozenset({0, 1, 2}))
