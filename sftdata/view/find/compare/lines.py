"""The difference between two datasets as lines and tables."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from sftdata.errors import pluralize
from sftdata.files.regular import shorten
from sftdata.safe.control_chars import terminal_safe
from sftdata.view.layout import BOLD, DIM, Line, Table, paragraph, width_of

if TYPE_CHECKING:
    from sftdata.view.find.compare.diff import Change, Diff, SourceChange

_TITLES = {
    "fate": "rows with another fate",
    "content": "rows of other content in the same place",
    "tokens": "rows packed with other numbers of tokens",
    "came": "rows that came",
    "went": "rows that went",
}
_MAX_SETTINGS = 20  # that are shown
_VALUE_CHARS = 60


def diff_lines(diff: Diff, width: int) -> list[Line]:
    """What differs, in lines of at most this width wherever the words allow that."""
    before, after = diff.names
    if diff.is_same:
        rows = pluralize(diff.same_rows, "row")
        return paragraph("", f"{before} and {after} are the same: {rows}, settings, template and shards", width, BOLD)
    lines = paragraph("", f"{before} -> {after}", width, BOLD)
    changed = sum(change.rows for change in diff.changes)
    about = f"{pluralize(changed, 'row')} changed, {diff.same_rows:,} did not"
    about += "; the shards have the same bytes" if diff.same_shards else ""
    lines += paragraph("", about, width)
    for what, title in _TITLES.items():
        if changes := [change for change in diff.changes if change.what == what]:
            lines += [[], *_changes(title, changes).styled(width)]
    if any(before != after for source in diff.sources for before, after in source[1:]):
        lines += [[], *_sources(diff.sources).styled(width)]
    lines += _settings(diff, width)
    return lines


def _changes(title: str, changes: list[Change]) -> Table:
    rows = tuple((_fates(change), f"{change.rows:,}", change.examples[0]) for change in changes)
    return Table((title, "rows", "first"), rows, frozenset({0, 2}))


def _fates(change: Change) -> str:
    if change.before is None or change.after is None or change.before == change.after:
        return str(change.after or change.before)
    return f"{change.before} -> {change.after}"


def _sources(sources: tuple[SourceChange, ...]) -> Table:
    head = ("source", "rows", "packed", "tokens", "trained")
    rows = [(source.source, *(_pair(*pair) for pair in source[1:])) for source in sources]
    if len(rows) > 1:
        totals = [tuple(map(sum, zip(*(source[at] for source in sources)))) for at in range(1, 5)]
        rows.append(("all", *(_pair(*pair) for pair in totals)))
    return Table(head, tuple(rows), frozenset({0}))


def _pair(before: int, after: int) -> str:
    """`1,200 (+34)`: the later number, and the difference."""
    return f"{after:,} ({after - before:+,})" if after != before else f"{after:,}"


def _settings(diff: Diff, width: int) -> Iterator[Line]:
    """Settings, tokenizer, template and versions that differ."""
    if diff.settings:
        shown = [(one.key, _value(one.before), _value(one.after)) for one in diff.settings[:_MAX_SETTINGS]]
        more = len(diff.settings) - len(shown)
        yield []
        yield from Table(("setting", "before", "after"), tuple(shown), frozenset({0, 1, 2})).styled(width)
        if more > 0:
            yield [(f"... and {pluralize(more, 'more setting')}", DIM)]
    if diff.tokenizers is not None:
        before, after = diff.tokenizers
        names = f"{before} -> {after}" if before != after else f"both {before}"
        yield []
        yield from paragraph("", f"the tokenizers differ: {names}", width)
    if diff.template is not None:
        yield []
        yield [("the chat templates differ", BOLD)]
        styles = {"-": "red", "+": "green", "@": DIM}
        for line in diff.template:
            yield [("  ", ""), (_cut(terminal_safe(line), width - 2), styles.get(line[:1], ""))]
    if diff.versions:
        named = ", ".join(f"{one.key} {one.before or 'none'} -> {one.after or 'none'}" for one in diff.versions)
        yield []
        yield from paragraph("", f"made by other versions: {named}", width, DIM)


def _cut(text: str, width: int) -> str:
    """A line of a template, cut off where it is wider than this."""
    while width_of(text) > width:
        text = text[: min(len(text) - 2, width - 1)] + "\u2026"
    return text


def _value(value: Any) -> str:
    """A setting as it is written; `-` where it is not there."""
    return "-" if value is None else shorten(value if isinstance(value, str) else json.dumps(value), _VALUE_CHARS)
