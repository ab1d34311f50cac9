"""The parts of a page on how a run was made: its settings, dataset, checks and versions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sftdata.errors import pluralize
from sftdata.safe.control_chars import html_safe
from sftdata.settings.written import dotted_settings
from sftdata.view.html.card import funnel_html
from sftdata.view.html.tables import (
    ALL_CHANGED,
    PAGE_SETTINGS,
    Cell,
    facts_table,
    number_cell,
    paged_table,
    settings_tables,
)
from sftdata.view.html.text import code
from sfttrain.config import TrainConfig
from sfttrain.report.dataset import counts_of
from sfttrain.report.names import Names

NO_TEXT: Mapping[str, Any] = {}


def settings_html(config: Mapping[str, Any], names: Names) -> str:
    """The settings that differ from the defaults; the others are folded."""
    if not config:
        return "<p>run.json does not have the settings.</p>"
    changed, others = ([(name, names.value(value)) for name, value in some] for some in split_settings(config))
    return settings_tables(changed, others)


def split_settings(config: Mapping[str, Any]) -> tuple[list[tuple[str, Any]], list[tuple[str, Any]]]:
    """Settings by their dotted names: those that differ from the defaults, and the others."""
    required = {"shards": "-", "model": "-", "out": "-"}
    defaults = TrainConfig.model_validate(required).model_dump(mode="json")
    changed: list[tuple[str, Any]] = []
    others: list[tuple[str, Any]] = []
    for name, value in config.items():
        is_default = name not in required and name in defaults and defaults[name] == value
        found = dotted_settings({name: value}) or [(name, value)]
        (others if is_default else changed).extend(found)
    return changed, others


def dataset_html(summary: Mapping[str, Any]) -> str:
    """The dataset: its hash, its splits, and where its rows went."""
    dataset = entry(summary, "dataset")
    facts = [("dataset hash", summary.get("dataset_hash"))]
    facts += [("tokenizer, sha256", dataset.get("tokenizer")), ("template, sha256", dataset.get("template"))]
    seq_len = dataset.get("seq_len")
    facts.append(("tokens of a sequence, at most", f"{seq_len:,}" if isinstance(seq_len, int) else None))
    parts = [facts_table([(name, code(value)) for name, value in facts if isinstance(value, str)])]
    splits = [(name, one) for name, one in entry(dataset, "splits").items() if isinstance(one, dict)]
    if splits:
        figures = ("samples", "sequences", "tokens", "trained_tokens")
        rows = [[Cell(name), *(number_cell(_whole(one.get(figure))) for figure in figures)] for name, one in splits]
        head = ("split", "samples", "sequences", "tokens", "trained tokens")
        parts.append(paged_table(head, rows, total=len(rows), noun="split"))
    counts = counts_of(dataset)
    if counts is not None:
        parts.append(f'<div class="card">{funnel_html(counts)}</div>')
    return "".join(parts)


def checks_html(summary: Mapping[str, Any], names: Names) -> str:
    """What was checked before the first step, and what was found."""
    checks = summary.get("checks")
    found = [one for one in checks if isinstance(one, dict)] if isinstance(checks, list) else []
    rows = [
        [
            Cell(text_in(one, "name")),
            Cell(text_in(one, "status"), None, _status(text_in(one, "status"))),
            Cell("", None, _found(one, names)),
        ]
        for one in found
    ]
    proof = entry(summary, "preflight")
    if proof:
        rows.append([Cell("isolation"), Cell("pass"), Cell(_proof_in_words(proof))])
    if not rows:
        return "<p>run.json does not say what was checked.</p>"
    head = ("check", "result", "what was found")
    return paged_table(head, rows, total=len(rows), noun="check", page_rows=ALL_CHANGED, wide=(2,))


def _found(check: Mapping[str, Any], names: Names) -> str:
    """What a check found, and below it what to do where it did not pass."""
    todo = text_in(check, "todo") if check.get("status") != "pass" else ""
    below = f"<br><b>To do:</b> {html_safe(names.text(todo))}" if todo else ""
    return html_safe(names.text(text_in(check, "what"))) + below


def _status(status: str) -> str:
    return f"<b class=many>{html_safe(status)}</b>" if status != "pass" else html_safe(status)


def _proof_in_words(proof: Mapping[str, Any]) -> str:
    """What was proven of a packed sequence, with what run.json says of it."""
    samples, packed, alone = (proof.get(name) for name in ("samples", "packed", "one_by_one"))
    said = "samples of a sequence are separate"
    if isinstance(samples, int):
        said += f": {pluralize(samples, 'sample')} packed"
    if isinstance(packed, float) and isinstance(alone, float):
        said += f" have loss {packed:.6f}, one by one {alone:.6f}"
    return said


def versions_html(summary: Mapping[str, Any]) -> str:
    """The versions of the programs, and the files of the model."""
    versions = [(name, version) for name, version in entry(summary, "versions").items() if isinstance(version, str)]
    rows = ([Cell(name), Cell(version)] for name, version in versions)
    parts = [paged_table(("program", "version"), rows, total=len(versions), noun="program", page_rows=PAGE_SETTINGS)]
    files = [(name, checksum) for name, checksum in entry(summary, "files").items() if isinstance(checksum, str)]
    if files:
        listed = ([Cell(name), Cell(checksum)] for name, checksum in files)
        parts.append(paged_table(("file", "sha256"), listed, total=len(files), noun="file", wide=(1,)))
    return "".join(parts)


def entry(summary: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """A group of run.json; empty where it has none."""
    found = summary.get(name)
    return found if isinstance(found, dict) else NO_TEXT


def text_in(summary: Mapping[str, Any], name: str) -> str:
    """A text of run.json; empty where it has none."""
    found = summary.get(name)
    return found if isinstance(found, str) else ""


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
