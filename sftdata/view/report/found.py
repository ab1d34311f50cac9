"""The parts of a report on what was looked for in texts: items of evaluation files, and personal data."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping

from sftdata.curate.privacy.redact import PLACEHOLDERS
from sftdata.errors import pluralize
from sftdata.safe.control_chars import html_safe
from sftdata.store.manifest import Manifest
from sftdata.view.html.tables import Cell, number_cell, paged_table
from sftdata.view.html.text import code
from sftdata.view.report.dropped import DroppedRows
from sftdata.view.report.gather import HIT, Ledger
from sftdata.view.report.texts import Masked, Names

MAX_TABLE = 200  # rows of a table
BESIDE = 3  # rows beside the items that they hold
EXAMPLES = 3  # of a kind of personal data
_AROUND = 70  # characters on either side of it
_KINDS = re.compile("|".join(map(re.escape, PLACEHOLDERS.values())))


def contamination(manifest: Manifest, ledger: Ledger, names: Names, dropped: DroppedRows, masked: Masked) -> str:
    """Rows that hold items of evaluation files: how many of which source, and the first ones."""
    number = manifest.counts.dropped_as("contaminated")
    against = manifest.parts.decontaminate
    if against is None or not against.against:
        return f"<p>Not searched for: {code('decontaminate.against')} names no evaluation files.</p>"
    if not number:
        return "<p>No row holds an item of the evaluation files.</p>"
    counts: dict[tuple[str, str], Counter[str]] = {}
    for (source, file, how), hits in ledger.hits_by.items():
        counts.setdefault((source, file), Counter())[how] += hits
    rows = sorted(counts.items(), key=lambda item: (-item[1].total(), item[0]))
    cells = (
        [Cell(names.name(source)), Cell(names.text(file)), number_cell(how.total())]
        + [number_cell(how[kind]) for kind in ("equal", "contained", "n-grams")]
        for (source, file), how in rows[:MAX_TABLE]
    )
    head = ("source", "evaluation file", "rows", "equal", "hold an item", "share word n-grams")
    by_file = paged_table(head, cells, total=len(rows), noun="pair")
    hit_rows = [dropped.row(at)[0] for at in ledger.hits]
    listed = ([Cell(row["where"]), Cell(names.text(row["detail"] or ""))] for row in hit_rows)
    shown = paged_table(("row", "what it holds"), listed, total=number, noun="row", wide=(1,))
    pairs = "".join(_beside(dropped, names, masked, at) for at in ledger.hits[:BESIDE])
    is_are = "row was" if number == 1 else "rows were"
    return f"<p>{number:,} {is_are} dropped.</p>{by_file}{shown}{pairs}"


def _beside(dropped: DroppedRows, names: Names, masked: Masked, number: int) -> str:
    """A row beside the item of an evaluation file that it holds."""
    row, text = dropped.row(number)
    match = HIT.match(row["detail"] or "")
    if match is None:
        return ""
    item = f"{match[2]}:{match[3]}"
    other = masked.row(dropped.texts.evaluation_item(item))
    return dropped.beside((f"{row['where']} (dropped)", f"{names.text(item)} (evaluation)"), text, other)


def private(manifest: Manifest, ledger: Ledger, names: Names, masked: Masked, texts: Mapping[str, str]) -> str:
    """Personal data by kind: how much, in which rows, and what is around it; never what it is. `texts` are those in
    which examples are looked for, by the rows that they are of.
    """
    counts = manifest.privacy
    mode = manifest.parts.privacy.mode or "off"
    if mode == "off":
        return f"<p>Not searched for: {code('privacy')} is off.</p>"
    if not counts:
        return "<p>None was found.</p>"
    done = {"redact": "replaced by placeholders", "drop": "dropped with their rows"}.get(mode, "left in the texts")
    said = f"<p>Found in packed rows, and in rows dropped for it; {done}.</p>"
    cells = ([Cell(kind), number_cell(number)] for kind, number in counts.items())
    table = paged_table(("kind", "found"), cells, total=len(counts), noun="kind")
    return said + table + _rows_by_source(manifest, ledger, names) + _examples(texts, masked)


def _rows_by_source(manifest: Manifest, ledger: Ledger, names: Names) -> str:
    """Of each source the rows that were dropped, and what was found in them."""
    if not manifest.counts.dropped_as("private_data"):
        return ""
    kinds = sorted({kind for _, kind in ledger.private_by})
    rows = sorted(ledger.private_rows.items(), key=lambda item: (-item[1], item[0]))
    cells = (
        [Cell(names.name(source)), number_cell(total)]
        + [number_cell(ledger.private_by[source, kind]) for kind in kinds]
        for source, total in rows[:MAX_TABLE]
    )
    return paged_table(("source", "rows dropped", *kinds), cells, total=len(rows), noun="source")


def _examples(texts: Mapping[str, str], masked: Masked) -> str:
    """What is around some of it, which has the name of its kind in its place."""
    found: dict[str, list[tuple[str, str]]] = {}
    for where, text in texts.items():
        shown = " ".join(masked.mask(text).split())
        for match in _KINDS.finditer(shown):
            some = found.setdefault(match[0], [])
            if len(some) < EXAMPLES and where not in {one for one, _ in some}:
                some.append((where, _around(shown, match)))
    rows = [
        [Cell(kind), Cell(where), Cell("", None, shown)]
        for kind, some in sorted(found.items())
        for where, shown in some
    ]
    if not rows:
        return ""
    about = f"Up to {EXAMPLES} examples of each kind from {pluralize(len(texts), 'row')}; its kind is in its place."
    return f"<p>{about}</p>{paged_table(('kind', 'row', 'text'), rows, total=len(rows), noun='example', wide=(2,))}"


def _around(text: str, match: re.Match[str]) -> str:
    start, end = max(0, match.start() - _AROUND), min(len(text), match.end() + _AROUND)
    before = ("\u2026" if start else "") + text[start : match.start()]
    after = text[match.end() : end] + ("\u2026" if end < len(text) else "")
    return f"{html_safe(before)}<ins>{html_safe(match[0])}</ins>{html_safe(after)}"
