"""Found samples and dropped rows on a terminal."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sftdata.errors import pluralize, with_known_names
from sftdata.safe.control_chars import terminal_safe
from sftdata.view.find.beside import alone
from sftdata.view.find.search import Query, first_place
from sftdata.view.find.texts import RowText
from sftdata.view.layout import BOLD, DIM, Line, paragraph, width_of

if TYPE_CHECKING:
    from rich.console import Console

    from sftdata.view.dataset import Dataset
    from sftdata.view.find.samples import SampleTable
    from sftdata.view.sample import Sample

SAMPLE_TOKENS = 1024  # of a found sample that are shown
_CONTEXT = 40  # characters around a place that was found


def print_found(
    table: SampleTable, console: Console, query: Query | None = None, max_tokens: int | None = None
) -> None:
    """Print samples, each below its place, with its tokens marked; where a query was found in it, if one is given."""
    from sftdata.view.terminal import print_legend, print_lines, print_tokens

    width = console.width if console.is_terminal else None
    empty: Line = []
    print_legend(console)
    is_spaced = False
    for sample in table:
        print_lines([*([] if is_spaced else [empty]), *sample_head(sample, width)], console)
        if query is not None and (line := excerpt(sample, query, width)) is not None:
            print_lines([line], console)
        limit = max_tokens or SAMPLE_TOKENS
        print_tokens(sample, console, limit)
        is_spaced = sample.num_tokens <= limit and sample.text.endswith("\n")
    if not is_spaced:
        print_lines([empty], console)


def sample_head(sample: Sample, width: int | None) -> list[Line]:
    """Where a sample comes from and where it is, in lines of at most this width."""
    place = sample.where or f"record {sample.record_id}"
    number = None if sample.dataset is None else sample.dataset.row_number(sample.shard, sample.row)
    about = f"sequence {number}, sample {sample.index} of {sample.split} \u00b7 {sample.counts}"
    title = f"\u2500\u2500 {terminal_safe(place)} \u2500\u2500"
    lines: list[Line] = [[(title, BOLD)], *paragraph("   ", about, width or width_of(about) + 3, DIM)]
    return [*lines, *([[(f"   record {terminal_safe(sample.record_id)}", DIM)]] if sample.where else [])]


def excerpt(sample: Sample, query: Query, width: int | None = None) -> Line | None:
    """A line with the first place where a query is in a sample, of at most this width if what was found is no wider."""
    place = first_place(sample, query)
    if place is None:
        return None
    text, (start, end) = sample.text, place
    room = _CONTEXT if width is None else max(0, min(_CONTEXT, (width - 14 - width_of(text[start:end])) // 2))
    before, after = text[max(0, start - room) : start], text[end : end + room]
    if start > room:
        before = "\u2026" + before.partition(" ")[2]
    if end + room < len(text):
        after = after.rpartition(" ")[0] + "\u2026"
    pieces = [(before, ""), (f"\u00ab{text[start:end]}\u00bb", BOLD), (after, "")]
    return [("   found: ", DIM), *((terminal_safe(" ".join(part.split("\n"))), style) for part, style in pieces)]


def print_dropped(rows: Sequence[Mapping[str, Any]], texts: Sequence[RowText], console: Console) -> None:
    """Print rows that were dropped, each with the reason, and its text or why that is not shown."""
    from sftdata.view.terminal import print_lines

    width = console.width if console.is_terminal else None
    for row, text in zip(rows, texts, strict=True):
        print_lines([[], *_dropped(row, text, width)], console)


def _dropped(row: Mapping[str, Any], text: RowText, width: int | None) -> Iterator[Line]:
    yield [(f"\u2500\u2500 {terminal_safe(row['where'])} \u2500\u2500", BOLD)]
    about = [f"dropped by {row['stage']} as {row['reason']}"]
    if row["duplicate_of"] is not None:
        similar = "" if row["similarity"] is None else f" (similarity {row['similarity']:.3f})"
        about[0] += f" of {row['duplicate_of']}{similar}"
    about += [row["detail"]] if row["detail"] is not None else []
    about += [f"its text is not shown: {text.missing}"] if text.missing is not None else []
    for one in about:
        yield from paragraph("   ", one, width or width_of(one) + 3, DIM)
    if text.missing is None:
        yield from alone("", text.messages, width)


def next_line(dataset: Dataset, command: str, *arguments: str) -> Line:
    """A command that shows more."""
    place = with_known_names(str(dataset.path))
    shown = " ".join(shlex.quote(part) for part in ("sftdata", command, place, *arguments))
    return [("next:  ", DIM), (terminal_safe(shown), "")]


def counted(found: int, of: int, noun: str) -> str:
    """`3 of 2,197 samples`."""
    return f"{found:,} of {pluralize(of, noun)}"
