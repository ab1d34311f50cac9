"""The report of a dataset as one HTML page: what is in it, where its rows went, and samples with what is trained.

The same dataset gives the same bytes: nothing in the page depends on the time, on the folder that it is in, or on the
machine. Each part is bounded, so that the page stays below MAX_BYTES for a dataset of any size.
"""

from __future__ import annotations

from pathlib import Path

from sftdata.errors import pluralize
from sftdata.view.dataset import Dataset
from sftdata.view.html.card import card_html
from sftdata.view.html.cells import read_card
from sftdata.view.report.chats import samples_html
from sftdata.view.report.gather import read_ledger_facts
from sftdata.view.report.look import Section, whole_page
from sftdata.view.report.samples import Rows, shown_samples, shown_without_ledger
from sftdata.view.report.texts import Masked, Names
from sftdata.view.summary import summarize

MAX_BYTES = 1_900_000  # of a page
_NAMED_SOURCES = 3  # in the title


def report_page(dataset: Dataset, data: str | Path | None = None) -> bytes:
    """The page without its doctype. Texts of dropped rows are read again from the files of the sources, which are
    looked for as `Dataset.why` does. Raises DatasetError if a file of the dataset is damaged.
    """
    rows = Rows(dataset)
    names, masked = Names(rows.manifest), Masked(rows.manifest)
    manifest = names.manifest(rows.manifest)
    facts, figures = read_card(rows)
    facts = names.facts(facts) if facts is not None else None
    title = title_of(names, rows)
    head = card_html(summarize(title, manifest, facts=facts), figures)
    if manifest.ledger:
        shown, passed = shown_samples(rows, read_ledger_facts(rows.path, rows.manifest), names, masked)
    else:
        shown, passed = shown_without_ledger(rows, masked)
    sections: list[Section] = []
    room = MAX_BYTES - len(whole_page(title, head, sections).encode("utf-8", "replace"))
    sections.append(Section("samples", "Samples", samples_html(shown, passed, rows.num_samples, room)))
    return whole_page(title, head, sections).encode("utf-8", "backslashreplace")


def title_of(names: Names, dataset: Dataset) -> str:
    """What a dataset is called: by its sources, as its folder may have any name."""
    sources = list(dict.fromkeys(names.name(source.path) for source in dataset.manifest.parts.sources))
    more = len(sources) - _NAMED_SOURCES
    named = [*sources[:_NAMED_SOURCES], *([pluralize(more, "more source")] if more > 0 else [])]
    return " and ".join(filter(None, (", ".join(named[:-1]), *named[-1:]))) or "A dataset"
