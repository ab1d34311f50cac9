"""The summary of a dataset as HTML."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from sftdata.view.html.style import page
from sftdata.view.html.tables import table_html

if TYPE_CHECKING:
    from sftdata.view.summary import Summary


def summary_html(summary: Summary) -> str:
    """The summary of a dataset: its splits, and the counts from rows read to rows packed."""
    parts = [f"<p><b>{escape(summary.title)}</b></p>"]
    parts += [f"<p><b>warning:</b> {escape(one.text)}</p>" for one in summary.warnings]
    parts += [f'<p class="dim">{escape(line)}</p>' for line in (*summary.facts, *summary.lines)]
    parts += [table_html(table) for table in summary.tables]
    return page(parts)
