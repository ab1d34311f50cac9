"""What a cell of a notebook shows for a summary and for long tables, with the stylesheet and the script it needs."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

from sftdata.errors import DatasetError
from sftdata.files.parquet_file import read_row_groups
from sftdata.safe.control_chars import terminal_safe
from sftdata.store.ledger import LEDGER_SCHEMA, keep_columns
from sftdata.view.figures import Figures, read_figures
from sftdata.view.html.card import CARD_CSS, card_html
from sftdata.view.html.charts import CHART_CSS
from sftdata.view.html.style import page, scoped
from sftdata.view.html.tables import TABLE_CSS, TABLE_SCRIPT, table_html
from sftdata.view.outcome import Facts, read_facts
from sftdata.view.summary import Summary, summarize

if TYPE_CHECKING:
    from sftdata.view.dataset import Dataset

MAX_VALUES = 200  # of a kept column, beyond which it is no name of a source

ALL_CSS = "".join(map(scoped, (TABLE_CSS, CHART_CSS, CARD_CSS)))  # beside that of style.py


def summary_html(summary: Summary, figures: Figures | None = None, note: str = "") -> str:
    """The card of a dataset, or the tables of another summary."""
    if summary.subject is not None:
        said = f'<p class="dim">{escape(terminal_safe(note))}</p>' if note else ""
        return tables_page([card_html(summary, figures), said])
    parts = [f"<p><b>{escape(terminal_safe(summary.title))}</b></p>"]
    parts += [f'<p class="dim">{escape(terminal_safe(line))}</p>' for line in (*summary.facts, *summary.lines)]
    return tables_page([*parts, *map(table_html, summary.tables)])


def dataset_html(dataset: Dataset) -> str:
    """The card of a dataset or split, with what its ledger says; where that cannot be read, it says so."""
    facts, figures, note = None, None, ""
    try:
        facts, figures = read_card(dataset)
    except DatasetError as error:
        note = f"Only what the manifest says: {error}"
    name = dataset.path.resolve().name
    return summary_html(summarize(name, dataset.manifest, dataset.split_name, facts), figures, note)


def read_card(dataset: Dataset) -> tuple[Facts | None, Figures | None]:
    """What the card of a dataset or split needs beside its manifest. Raises DatasetError if a file cannot be read."""
    path, manifest, split = dataset.path, dataset.manifest, dataset.split_name
    facts = read_facts(path, manifest, column_to_show(dataset)) if manifest.ledger and split is None else None
    return facts, read_figures(path, manifest, split)


def column_to_show(dataset: Dataset) -> str | None:
    """Of a dataset with one source, the first kept column with a few values, which may name where rows come from."""
    sources, ledger = dataset.manifest.parts.sources, dataset.manifest.ledger
    if len(sources) != 1 or not ledger or not ledger[0].rows:
        return None
    for name, column in keep_columns(sources[0].keep).items():
        (table,) = read_row_groups(dataset.path / ledger[0].path, LEDGER_SCHEMA, [column], [0])
        if 1 < len(table[column].unique()) <= min(MAX_VALUES, table.num_rows // 2):
            return name
    return None


def tables_page(parts: Sequence[str]) -> str:
    """Parts below each other, with stylesheet and, where a table pages, the script."""
    has_pages = any('class="paged"' in part for part in parts)
    script = f"<script>{TABLE_SCRIPT}</script>" if has_pages else ""
    return f"<style>{ALL_CSS}</style>{page(parts)}{script}"
