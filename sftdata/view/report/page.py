"""The report of a dataset as one HTML page: what is in it, where its rows went, and samples with what is trained.

The same dataset gives the same bytes: nothing in the page depends on the time, on the folder that it is in, or on the
machine. Each part is bounded, so that the page stays below MAX_BYTES for a dataset of any size.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from sftdata.errors import pluralize
from sftdata.store.manifest import Manifest
from sftdata.view.dataset import Dataset
from sftdata.view.html.card import card_html
from sftdata.view.html.cells import read_card
from sftdata.view.report.chats import samples_html
from sftdata.view.report.dropped import DroppedRows
from sftdata.view.report.found import contamination, private
from sftdata.view.report.gather import Ledger, read_ledger_facts
from sftdata.view.report.look import Section, whole_page
from sftdata.view.report.made import hashes_html, settings_html, template_html
from sftdata.view.report.samples import Rows, choose, shown_samples, shown_without_ledger, text_of, texts_to_search
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
    before = [Section("settings", "Settings", settings_html(manifest))]
    behind = [
        Section("template", "Template check", template_html(rows, manifest)),
        Section("hashes", "Hashes and versions", hashes_html(rows)),
    ]
    if manifest.ledger:
        ledger = read_ledger_facts(rows.path, rows.manifest)
        chosen = choose(ledger, manifest.dataset_hash, len(manifest.shards))
        shown, passed = shown_samples(rows, chosen, names, masked)
        dropped = DroppedRows(rows, ledger, names, masked, data)
        before += _of_ledger(rows.manifest, ledger, names, masked, dropped, _searched(rows, ledger, chosen, dropped))
    else:
        shown, passed = shown_without_ledger(rows, masked)
    room = MAX_BYTES - len(whole_page(title, head, [*before, *behind]).encode("utf-8", "replace"))
    samples = Section("samples", "Samples", samples_html(shown, passed, rows.num_samples, room))
    return whole_page(title, head, [*before, samples, *behind]).encode("utf-8", "backslashreplace")


def _of_ledger(
    manifest: Manifest, ledger: Ledger, names: Names, masked: Masked, dropped: DroppedRows, searched: Mapping[str, str]
) -> list[Section]:
    """What the ledger says, with the texts of rows."""
    return [
        Section("dropped", "Dropped rows", dropped.examples()),
        Section("duplicates", "Duplicates", dropped.duplicates()),
        Section("contamination", "Evaluation data", contamination(manifest, ledger, names, dropped, masked)),
        Section("private", "Personal data", private(manifest, ledger, names, masked, searched)),
    ]


def _searched(rows: Rows, ledger: Ledger, chosen: Sequence[int], dropped: DroppedRows) -> Mapping[str, str]:
    """Texts with examples of personal data, by the names of their rows: of samples, or of rows dropped for it."""
    if not rows.manifest.privacy:
        return {}
    if rows.manifest.parts.privacy.mode != "drop":
        return texts_to_search(rows, chosen)
    some = [dropped.row(number) for number in ledger.examples.get("private_data", ())]
    return {row["where"]: text_of(text.messages) for row, text in some if text.missing is None}


def title_of(names: Names, dataset: Dataset) -> str:
    """What a dataset is called: by its sources, as its folder may have any name."""
    sources = list(dict.fromkeys(names.name(source.path) for source in dataset.manifest.parts.sources))
    more = len(sources) - _NAMED_SOURCES
    named = [*sources[:_NAMED_SOURCES], *([pluralize(more, "more source")] if more > 0 else [])]
    return " and ".join(filter(None, (", ".join(named[:-1]), *named[-1:]))) or "A dataset"
