"""What a cell of a notebook shows for a summary and for long tables, with the stylesheet and the script it needs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sftdata.errors import DatasetError
from sftdata.files.copies import name_of
from sftdata.files.parquet_file import read_row_groups
from sftdata.safe.control_chars import html_safe
from sftdata.settings.written import dotted_settings, settings_tables
from sftdata.store.ledger import LEDGER_SCHEMA, keep_columns
from sftdata.store.manifest import Manifest
from sftdata.view.figures import Figures, LedgerFigures, read_figures, read_ledger_once
from sftdata.view.html.card import CARD_CSS, card_html, head_html, mixture_html, part_html, splits_html, tiles_html
from sftdata.view.html.charts import CHART_CSS
from sftdata.view.html.style import page, scoped
from sftdata.view.html.tables import TABLE_CSS, TABLE_SCRIPT, Cell, number_cell, paged_table, table_html
from sftdata.view.outcome import Facts, LedgerFacts
from sftdata.view.summary import Subject, Summary, summarize

if TYPE_CHECKING:
    from sftdata.view.dataset import Dataset

_ENTRY = re.compile(r"^(sources)\.\d+\.")
MAX_VALUES = 200  # of a kept column, beyond which it is no name of a source

ALL_CSS = scoped(TABLE_CSS + CHART_CSS + CARD_CSS)  # beside that of style.py


def summary_html(summary: Summary, figures: Figures | None = None, note: str = "") -> str:
    """The card of a dataset, or the tables of another summary."""
    if summary.subject is not None:
        said = f'<p class="dim">{html_safe(note)}</p>' if note else ""
        return tables_page([card_html(summary, figures), said])
    parts = [f"<p><b>{html_safe(summary.title)}</b></p>"]
    parts += [f'<p class="dim">{html_safe(line)}</p>' for line in (*summary.facts, *summary.lines)]
    return tables_page([*parts, *map(table_html, summary.tables)])


def dataset_html(dataset: Dataset) -> str:
    """The card of a dataset or split, with what its ledger says; where that cannot be read, it says so."""
    facts, figures, note = None, None, ""
    try:
        facts, figures = read_card(dataset)
    except DatasetError as error:
        note = f"Only what the manifest says: {error}"
    name = name_of(dataset.path)
    return summary_html(summarize(name, dataset.manifest, dataset.split_name, facts), figures, note)


def read_card(dataset: Dataset) -> tuple[Facts | None, Figures | None]:
    """What the card of a dataset or split needs beside its manifest. Raises DatasetError if a file cannot be read."""
    path, manifest, split = dataset.path, dataset.manifest, dataset.split_name
    if not manifest.ledger or split is not None:
        return None, read_figures(path, manifest, split)
    facts, figures = LedgerFacts(path, manifest, column_to_show(dataset)), LedgerFigures(manifest)
    read_ledger_once(path, manifest, [facts, figures])
    return facts.facts(), figures.figures()


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


def manifest_html(manifest: Manifest) -> str:
    """What a manifest says: its numbers, the settings that differ from the defaults, files and versions."""
    about = Subject("manifest", manifest, None, None)
    parts = [head_html(about), tiles_html(about), splits_html(about), mixture_html(manifest)]
    parts.append(part_html("Settings") + settings_of_manifest(manifest))
    rows = [[Cell(one.path), number_cell(one.size_bytes), Cell(one.sha256)] for one in manifest.listed_files()]
    parts.append(part_html("Files") + paged_table(("file", "bytes", "sha256"), rows, total=len(rows), noun="file"))
    versions = [[Cell(name), Cell(version)] for name, version in manifest.versions.items()]
    parts.append(part_html("Versions") + paged_table(("program", "version"), versions, total=len(versions)))
    return tables_page([f'<div class="card">{"".join(parts)}</div>'])


def settings_of_manifest(manifest: Manifest) -> str:
    """The settings in a manifest: those that differ from the defaults, the others folded; without a stylesheet."""
    return f'<div class="box settings">{settings_tables(*split_settings(manifest))}</div>'


def split_settings(manifest: Manifest) -> tuple[list[tuple[str, Any]], list[tuple[str, Any]]]:
    """The settings in a manifest by their dotted names: those that differ from the defaults, and the others."""
    from sftdata.config import parse_config

    required = parse_config({"tokenizer": "", "sources": [""], "out": ""}).model_dump(mode="json")
    defaults = dict(dotted_settings(required))
    changed: list[tuple[str, Any]] = []
    others: list[tuple[str, Any]] = []
    for name, value in dotted_settings(manifest.config):
        same = _ENTRY.sub(r"\1.0.", name)  # all sources have the same defaults
        is_default = same in defaults and defaults[same] == value and not same.endswith(".path")
        (others if is_default else changed).append((name, value))
    return changed, others


def tables_page(parts: Sequence[str]) -> str:
    """Parts below each other, with stylesheet and, where a table pages, the script."""
    has_pages = any('class="paged"' in part for part in parts)
    script = f"<script>{TABLE_SCRIPT}</script>" if has_pages else ""
    return f"<style>{ALL_CSS}</style>{page(parts)}{script}"
