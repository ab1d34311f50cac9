"""Tables and sentences laid out to a width: the same lines on a terminal, in a pipe and in a repr.

A line is a list of pieces, each a text and its style; what shows no styles joins the texts. Lines are folded between
words, never inside one: a word that is wider than its column gets a line of its own.

    reason     rows  first row                    where a column does not fit beside     reason     rows
    duplicate   412  data/chats.jsonl:1532        the others, it goes below them         duplicate   412
                                                                                             first row: data/chats...
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sftdata.safe.control_chars import terminal_safe

PLAIN_WIDTH = 100  # of what goes to no terminal: a pipe, a file, a repr
GAP = 2  # between columns
MIN_FOLDED = 24  # of a column; one that would be narrower goes below the others
MIN_REMARK = 44  # of a column of remarks
BAR_WIDTHS = (20, 14, 8)
INDENT = 4  # of what is below a row
DIM, BOLD = "dim", "bold"

_NAME = re.compile(r"[./:\\]\w", re.ASCII)  # of a file, a place in one, a setting

Line = list[tuple[str, str]]  # texts and their styles


def width_of(text: str) -> int:
    """The columns that a text takes on a terminal."""
    if text.isascii():
        return len(text)
    return sum(_char_width(char) for char in text)


def _char_width(char: str) -> int:
    if unicodedata.category(char) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def fold(text: str, width: int) -> list[str]:
    """The words of a text on lines of at most this width. Only a word that is wider is longer than its line; one of
    wide characters, as Chinese writes them without spaces, is broken between two of these, unless it is a name.
    """
    lines: list[str] = []
    line, used = "", 0
    for word in (part for whole in text.split() for part in _parts(whole, width)):
        size = width_of(word)
        if line and used + 1 + size > width:
            lines.append(line)
            line, used = word, size
        else:
            line, used = (f"{line} {word}", used + 1 + size) if line else (word, size)
    return [*lines, line] if line or not lines else lines


def _parts(word: str, width: int) -> Iterator[str]:
    """The word itself; or if it is wider than a line, its parts between wide characters."""
    if width_of(word) <= width or word.isascii() or _NAME.search(word):
        yield word
        return
    start = used = 0
    for at, char in enumerate(word):
        size = _char_width(char)
        if used + size > width and at > start and size == 2 and _char_width(word[at - 1]) == 2:
            yield word[start:at]
            start, used = at, 0
        used += size
    yield word[start:]


def shortened(text: str, width: int) -> str:
    """A text on one line, cut behind a word where it is wider than this, with an ellipsis."""
    text = " ".join(text.split())
    if width_of(text) <= width:
        return text
    room, end = width - 1, 0
    for char in text:
        room -= _char_width(char)
        if room < 0:
            break
        end += 1
    cut = text[:end]
    return (cut.rpartition(" ")[0] if " " in cut[end // 2 :] and text[end] != " " else cut).rstrip() + "\u2026"


def first_few(items: Sequence[str], limit: int = 5) -> str:
    """The first items, and the number of others."""
    more = len(items) - limit
    return ", ".join(items[:limit]) + (f" and {more} more" if more > 0 else "")


def paragraph(label: str, text: str, width: int, style: str = "", label_style: str | None = None) -> list[Line]:
    """A text behind a label, its further lines below its first one."""
    text, indent = terminal_safe(text), width_of(label)
    lines = fold(text, max(1, width - indent))
    first: Line = [(label, style if label_style is None else label_style), (lines[0], style)]
    return [first, *([(" " * indent, ""), (line, style)] for line in lines[1:])]


def plain(lines: Iterable[Line]) -> list[str]:
    """Lines without their styles."""
    return ["".join(text for text, _ in line).rstrip() for line in lines]


def bar(share: float, width: int) -> str:
    """A share as blocks: never nothing where there is something, nor full where something is missing."""
    eighths = round(min(max(share, 0.0), 1.0) * width * 8)
    eighths = max(eighths, 1) if share > 0 else 0
    eighths = min(eighths, width * 8 - 1) if share < 1 else eighths
    return "\u2588" * (eighths // 8) + " \u258f\u258e\u258d\u258c\u258b\u258a\u2589"[eighths % 8].strip()


# In place of the blocks where an encoding lacks them.
ASCII_BARS = str.maketrans("\u2588\u2589\u258a\u258b\u258c\u258d\u258e\u258f", "#####...")


class _Plan(NamedTuple):
    """How a table is laid out."""

    widths: tuple[int, ...]
    gap: int = GAP
    bar: int = 0  # the width of its bars; 0: none
    folded: int = -1  # the column whose cells are folded; -1: none
    below: frozenset[int] = frozenset()  # columns that are below the others
    hidden: frozenset[int] = frozenset()  # columns that are not shown
    is_first_above: bool = False  # whether the first column is on a line of its own

    @property
    def aside(self) -> frozenset[int]:
        """The columns that are not side by side."""
        return self.below | self.hidden | ({0} if self.is_first_above else frozenset())

    @property
    def bar_space(self) -> int:
        """The width of a bar and the gap before it."""
        return self.bar + self.gap if self.bar else 0


@dataclass(frozen=True, slots=True)
class Table:
    """Cells as they are shown. `text_columns` are left-aligned, the others right-aligned.

    Of each row, if given: `shares` are drawn as bars behind the column `bar_after`; `notes` are shown below it, and
    `styles` is that of the row and its bar. If the last column is of remarks (`has_remarks`), it is dimmed, and stays
    beside the others only where it has much room. `optional` columns of numbers are left out where there is little.
    """

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    text_columns: frozenset[int]
    title: str = ""
    shares: tuple[float | None, ...] = ()
    bar_after: int = 1
    notes: tuple[tuple[str, ...], ...] = ()
    styles: tuple[tuple[str, str], ...] = ()
    has_head: bool = True
    has_remarks: bool = False
    optional: frozenset[int] = frozenset()

    def lines(self, width: int = PLAIN_WIDTH) -> list[str]:
        """The table as plain text of at most this width, wherever its words allow that; header first."""
        return plain(self.styled(width))

    def styled(self, width: int = PLAIN_WIDTH) -> list[Line]:
        """The same as lines of pieces."""
        cells = [[terminal_safe(cell) for cell in row] for row in (self.head, *self.rows)]
        plan = _plan(self, cells, width)
        lines: list[Line] = [[(terminal_safe(self.title), BOLD)]] if self.title else []
        if self.has_head:
            lines += _head_lines(self, cells[0], plan)
        for number, row in enumerate(cells[1:]):
            lines += _row_lines(self, number, row, plan, width)
        return lines


def _plan(table: Table, cells: Sequence[Sequence[str]], width: int) -> _Plan:
    """The first layout that fits of these: all columns side by side; a column of text folded, or if that is too narrow,
    columns of text below the others; smaller gaps; no optional columns; the first column above the others. Of each the
    one with the longest bars, and with names of columns on one line before folded ones.
    """
    texts = _below_first(table, cells)
    nothing: frozenset[int] = frozenset()
    layouts = [(frozenset(texts[:moved]), nothing, False, GAP) for moved in range(len(texts) + 1)]
    below = frozenset(texts)
    layouts += [(below, hidden, False, gap) for hidden in (nothing, table.optional) for gap in (GAP, 1)][1:]
    layouts += [(below, hidden, True, gap) for hidden in (nothing, table.optional) for gap in (GAP, 1)]
    plan = None
    for below, hidden, is_first_above, gap in layouts:
        for bar_width in _bars(table, is_last=len(below) == len(texts)):
            for is_folded in (False, True):
                shape = _Plan((), gap, bar_width, -1, below, hidden, is_first_above)
                plan, fits = _fitted(table, cells, shape, width, is_folded=is_folded)
                if fits:
                    return plan
    return plan or _Plan(())


def _bars(table: Table, *, is_last: bool) -> tuple[int, ...]:
    """The widths of bars to try; without any if nothing else makes room."""
    if all(share is None for share in table.shares):
        return (0,)
    return (*BAR_WIDTHS, 0) if is_last else BAR_WIDTHS


def _below_first(table: Table, cells: Sequence[Sequence[str]]) -> list[int]:
    """The columns of text that may be below the others: remarks first, then those with the longest cells."""
    last = len(table.head) - 1
    longest = {at: max((width_of(row[at]) for row in cells[1:]), default=0) for at in table.text_columns}
    return sorted(table.text_columns - {0}, key=lambda at: (not (table.has_remarks and at == last), -longest[at], -at))


def _fitted(
    table: Table, cells: Sequence[Sequence[str]], shape: _Plan, width: int, *, is_folded: bool
) -> tuple[_Plan, bool]:
    """A layout with the widths of its columns, and whether it fits. `is_folded`: names of columns may take lines."""
    columns = range(len(table.head))
    widths = [max((width_of(row[at]) for row in cells[1:]), default=0) for at in columns]
    names = [_longest_word([text]) if is_folded else width_of(text) for text in cells[0]]
    widths = [max(pair) for pair in zip(widths, names)] if table.has_head else widths
    shown = [at for at in columns if at not in shape.aside]
    used = sum(widths[at] for at in shown) + shape.gap * (len(shown) - 1 + shape.is_first_above) + shape.bar_space
    plan = shape._replace(widths=tuple(widths))
    if used <= width:
        return plan, True
    flexible = max((at for at in shown if at in table.text_columns and at > 0), default=-1)
    if flexible < 0:
        return plan, False
    widths[flexible] += width - used
    least = MIN_REMARK if table.has_remarks and flexible == len(table.head) - 1 else MIN_FOLDED
    least = max(least, _longest_word([row[flexible] for row in cells]))
    return shape._replace(widths=tuple(widths), folded=flexible), widths[flexible] >= least


def _longest_word(texts: Iterable[str]) -> int:
    return max((width_of(word) for text in texts for word in text.split()), default=0)


def _head_lines(table: Table, head: Sequence[str], plan: _Plan) -> list[Line]:
    """The names of the columns, in as many lines as the longest needs, their last words on the lowest."""
    folded = [fold(text, max(1, width)) for text, width in zip(head, plan.widths)]
    depth = max((len(lines) for at, lines in enumerate(folded) if at not in plan.aside), default=0)
    rows = ([lines[at - depth] if at - depth >= -len(lines) else "" for lines in folded] for at in range(depth))
    halves = (_halves(table, row, plan) for row in rows)
    return [[(left + " " * plan.bar_space + right, BOLD)] for left, right in halves]


def _row_lines(table: Table, number: int, row: Sequence[str], plan: _Plan, width: int) -> list[Line]:
    """The lines of one row, with what is below it."""
    style, bar_style = table.styles[number] if table.styles else ("", "")
    lines: list[Line] = [[(row[0], style)]] if plan.is_first_above else []
    more: list[str] = []
    if plan.folded >= 0:
        first, *more = fold(row[plan.folded], plan.widths[plan.folded])
        row = [first if at == plan.folded else cell for at, cell in enumerate(row)]
    share = table.shares[number] if table.shares else None
    drawn = bar(share, plan.bar) if share is not None and plan.bar else ""
    lines.append(_line(table, row, plan, drawn, (style, bar_style)))
    for text in more:
        cells = ["" if at != plan.folded else text for at in range(len(row))]
        lines.append(_line(table, cells, plan, "", (style, "")))
    below = [
        (table.head[at], row[at], table.has_remarks and at == len(row) - 1) for at in sorted(plan.below) if row[at]
    ]
    if len(below) > 1 and below[-1][2]:  # what is remarked shares the lines of what it is beside
        name, cell, _ = below[-2]
        below[-2:] = [("", f"{name}: {cell}; {below[-1][1]}" if name else f"{cell}; {below[-1][1]}", True)]
    for name, cell, is_remark in below:
        label = " " * INDENT + (f"{name}: " if name else "")
        lines += paragraph(label, cell, width, DIM if is_remark else style, DIM)
    for text in table.notes[number] if table.notes else ():
        lines += paragraph(" " * INDENT, text, width, DIM)
    return lines


def _line(table: Table, row: Sequence[str], plan: _Plan, drawn: str, styles: tuple[str, str]) -> Line:
    """A line of cells with its bar."""
    style, bar_style = styles
    is_remark = table.has_remarks and len(row) - 1 not in plan.aside
    left, right = _halves(table, row[:-1] if is_remark else row, plan)
    gap = " " * plan.gap
    space = " " * (plan.bar_space - len(drawn) - plan.gap * bool(drawn))
    line = [(left, style), *([(gap, ""), (drawn, bar_style)] if drawn else []), (space + right, style)]
    return [*line, (gap + row[-1], DIM)] if is_remark else line


def _halves(table: Table, row: Sequence[str], plan: _Plan) -> tuple[str, str]:
    """The cells of a row before and behind its bar, each as wide as its column."""
    parts: tuple[list[str], list[str]] = ([], [])
    for at, cell in enumerate(row):
        if at not in plan.aside:
            pad = " " * (plan.widths[at] - width_of(cell))
            parts[at > table.bar_after].append(cell + pad if at in table.text_columns else pad + cell)
    gap = " " * plan.gap
    left = gap * plan.is_first_above + gap.join(parts[0])
    return left, "".join(gap + text for text in parts[1])
