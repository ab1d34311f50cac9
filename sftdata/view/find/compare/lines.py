"""The difference between two datasets as lines and tables."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from sftdata.errors import pluralize
from sftdata.files.regular import shorten
from sftdata.safe.control_chars import terminal_safe
from sftdata.view.layout import BOLD, DIM, Line, Table, paragraph, width_of

if TYPE_CHECKING:
    from sftdata.view.find.compare.diff import Change, Diff, SourceChange, ValueChange

TITLES = {
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
    title, *about = headline(diff)
    lines = paragraph("", title, width, BOLD)
    if diff.is_same:
        return lines
    lines += paragraph("", about[0], width)
    for what, title in TITLES.items():
        if changes := [change for change in diff.changes if change.what == what]:
            lines += [[], *changes_table(title, changes).styled(width)]
    if are_other_sources(diff):
        lines += [[], *sources_table(diff.sources).styled(width)]
    lines += _settings(diff, width)
    return lines


def headline(diff: Diff) -> list[str]:
    """The two datasets, and how many rows changed; or that they are the same."""
    before, after = diff.names
    if diff.is_same:
        rows = pluralize(diff.same_rows, "row")
        return [f"{before} and {after} are the same: {rows}, settings, template and shards"]
    about = f"{pluralize(sum(change.rows for change in diff.changes), 'row')} changed, {diff.same_rows:,} did not"
    return [f"{before} -> {after}", about + ("; the shards have the same bytes" if diff.same_shards else "")]


def are_other_sources(diff: Diff) -> bool:
    """Whether some source has other numbers than before."""
    return any(before != after for source in diff.sources for before, after in source[1:])


def changes_table(title: str, changes: list[Change]) -> Table:
    """Changes of one kind, each with its first row."""
    rows = tuple((_fates(change), f"{change.rows:,}", change.examples[0]) for change in changes)
    return Table((title, "rows", "first"), rows, frozenset({0, 2}))


def _fates(change: Change) -> str:
    if change.before is None or change.after is None or change.before == change.after:
        return str(change.after or change.before)
    return f"{change.before} -> {change.after}"


def sources_table(sources: tuple[SourceChange, ...]) -> Table:
    """Each source before and after."""
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
        more = len(diff.settings) - _MAX_SETTINGS
        yield []
        yield from settings_table(diff.settings[:_MAX_SETTINGS]).styled(width)
        if more > 0:
            yield [(f"... and {pluralize(more, 'more setting')}", DIM)]
    if (text := tokenizers_text(diff)) is not None:
        yield []
        yield from paragraph("", text, width)
    if diff.template is not None:
        yield []
        yield [("the chat templates differ", BOLD)]
        styles = {"-": "red", "+": "green", "@": DIM}
        for line in diff.template:
            yield [("  ", ""), (_cut(terminal_safe(line), width - 2), styles.get(line[:1], ""))]
    if (text := versions_text(diff)) is not None:
        yield []
        yield from paragraph("", text, width, DIM)


def settings_table(changes: Sequence[ValueChange]) -> Table:
    """Settings before and after."""
    rows = tuple((one.key, _value(one.before), _value(one.after)) for one in changes)
    return Table(("setting", "before", "after"), rows, frozenset({0, 1, 2}))


def tokenizers_text(diff: Diff) -> str | None:
    """The names of the tokenizers, if they differ."""
    if diff.tokenizers is None:
        return None
    before, after = diff.tokenizers
    return f"the tokenizers differ: {f'{before} -> {after}' if before != after else f'both {before}'}"


def versions_text(diff: Diff) -> str | None:
    """The versions of the programs, if they differ."""
    named = ", ".join(f"{one.key} {one.before or 'none'} -> {one.after or 'none'}" for one in diff.versions)
    return f"made by other versions: {named}" if named else None


def _cut(text: str, width: int) -> str:
    """A line of a template, cut off where it is wider than this."""
    while width_of(text) > width:
        text = text[: min(len(text) - 2, width - 1)] + "\u2026"
    return text


def _value(value: Any) -> str:
    """A setting as it is written; `-` where it is not there."""
    return "-" if value is None else shorten(value if isinstance(value, str) else json.dumps(value), _VALUE_CHARS)
