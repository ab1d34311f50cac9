"""Tables of samples, of rows of the ledger and of what two datasets differ in, which page, search and sort."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from sftdata.errors import pluralize
from sftdata.safe.control_chars import html_safe
from sftdata.view.find.compare.lines import (
    TITLES,
    are_other_sources,
    changes_table,
    headline,
    settings_table,
    sources_table,
    tokenizers_text,
    versions_text,
)
from sftdata.view.html.cells import tables_page
from sftdata.view.html.tables import MAX_ROWS, Cell, number_cell, paged_table, table_html
from sftdata.view.layout import shortened
from sftdata.view.outcome import share_text
from sftdata.view.summary import short_names

if TYPE_CHECKING:
    from sftdata.view.find.compare.diff import Diff
    from sftdata.view.find.ledger_rows import LedgerRow, LedgerRows
    from sftdata.view.find.samples import SampleTable

MAX_SAMPLES = 200  # each is read and decoded
_TEXT = 100  # characters of a text


def samples_index(table: SampleTable) -> str:
    """A row for each of the first samples: its number, where it comes from, its lengths, what it asks and answers."""
    if len(table) < 2:
        return ""
    head = ("number", "from", "tokens", "trained", "share", "asked", "answered")
    more = "samples.to_pandas() has all, samples.search(TEXT) finds some"
    rows = paged_table(head, _samples(table), total=len(table), noun="sample", more=more, wide=(5, 6))
    return tables_page([rows])


def _samples(table: SampleTable) -> Iterator[list[Cell]]:
    for number, sample in enumerate(table[:MAX_SAMPLES]):
        trained = sample.num_trained_tokens
        texts = {"user": "", "assistant": ""}
        for message in sample.messages:
            if message.role in texts and not texts[message.role]:
                texts[message.role] = message.content
        if not any(texts.values()):
            texts["assistant"] = sample.text
        yield [
            number_cell(number),
            Cell(sample.place or sample.record_id),
            number_cell(sample.num_tokens),
            number_cell(trained),
            Cell(share_text(trained, sample.num_tokens), trained / max(1, sample.num_tokens)),
            Cell(shortened(texts["user"], _TEXT)),
            Cell(shortened(texts["assistant"], _TEXT)),
        ]


def ledger_html(rows: LedgerRows) -> str:
    """Rows of the input with what happened to them, and how many there are of each reason."""
    title = (
        f"<p><b>{html_safe(pluralize(len(rows), 'row'))} of the ledger of {html_safe(rows.path.resolve().name)}</b></p>"
    )
    counts = ", ".join(f"{reason} {number:,}" for reason, number in rows.counts().items())
    about = f"<p>dropped: {html_safe(counts)}</p>" if counts else ""
    shown = rows[:MAX_ROWS]
    sources = list(dict.fromkeys(row.source for row in shown))
    names = dict(zip(sources, short_names(sources), strict=True))
    has_several = len(sources) > 1
    head = ("row", *(["source"] if has_several else []), "fate", "what", "tokens", "trained")
    cells = (_ledger_row(row, names[row.source] if has_several else None) for row in shown)
    more = "to_pandas() has all, where(reason=...) chooses some"
    table = paged_table(head, cells, total=len(rows), more=more, wide=(2 + has_several,))
    return tables_page([title, about, table])


def _ledger_row(row: LedgerRow, source: str | None) -> list[Cell]:
    about = [row.detail] if row.detail else []
    if row.duplicate_of:
        similar = "" if row.similarity is None else f" (similarity {row.similarity:.3f})"
        about.append(f"of {row.duplicate_of}{similar}")
    fate = row.fate if row.reason is None else f"{row.fate} as {row.reason}"
    fate += f" in {row.split}" if row.split else ""
    return [
        Cell(row.where),
        *([Cell(source)] if source is not None else []),
        Cell(fate),
        Cell("; ".join(about)),
        number_cell(row.num_tokens),
        number_cell(row.num_trained_tokens),
    ]


def diff_html(diff: Diff) -> str:
    """What differs between two datasets."""
    title, *about = headline(diff)
    parts = [f"<p><b>{html_safe(title)}</b></p>", *(f"<p>{html_safe(text)}</p>" for text in about)]
    if diff.is_same:
        return tables_page(parts)
    for what, name in TITLES.items():
        if changes := [change for change in diff.changes if change.what == what]:
            parts.append(table_html(changes_table(name, changes)))
    parts += [table_html(sources_table(diff.sources))] if are_other_sources(diff) else []
    parts += [table_html(settings_table(diff.settings))] if diff.settings else []
    parts += [f"<p>{html_safe(text)}</p>" for text in (tokenizers_text(diff),) if text is not None]
    if diff.template is not None:
        lines = "\n".join(map(_template_line, diff.template))
        parts.append(f'<p><b>the chat templates differ</b></p><div class="pre">{lines}</div>')
    parts += [f'<p class="dim">{html_safe(text)}</p>' for text in (versions_text(diff),) if text is not None]
    if changed := sum(change.rows for change in diff.changes):
        parts.append("<p><b>rows that changed</b></p>")
        parts.append(paged_table(("row", "what", "before", "after"), _changed(diff), total=changed, more="to_pandas()"))
    return tables_page(parts)


def _changed(diff: Diff) -> Iterator[list[Cell]]:
    for row in diff.pairs.table(MAX_ROWS).to_pylist():
        where = row["where_after"] or row["where_before"]
        yield [Cell(where), Cell(row["what"]), Cell(row["before"] or "-"), Cell(row["after"] or "-")]


def _template_line(line: str) -> str:
    tag = {"-": "del", "+": "ins"}.get(line[:1])
    return f"<{tag}>{html_safe(line)}</{tag}>" if tag else html_safe(line)
