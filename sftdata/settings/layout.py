"""Text laid out for a terminal of any width: paragraphs, lists of names with their meanings, tables.

A line is folded between words, never inside one; a word that is longer than its place sticks out.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import textwrap
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from sftdata.safe.terminal import printable, raw_stream

MIN_COLUMNS, MAX_COLUMNS = 40, 160
_GAP = 2  # columns between two cells
_MIN_TEXT = 30  # columns for the last cell of a row, below which the cells are put under each other
_MAX_NAME = 26  # columns for the names of a list, above which a name has a line of its own
_MIN_INDENT = 4  # of meanings where every name has


class Line(NamedTuple):
    """A line of output; headings are bold on a terminal."""

    text: str = ""
    is_heading: bool = False


def heading(text: str) -> Line:
    """A line that is bold on a terminal."""
    return Line(text, True)


def columns_of_terminal(limit: int = MAX_COLUMNS) -> int:
    """The width to lay out for: that of the terminal or of COLUMNS, 80 where there is none, at most `limit`."""
    return max(MIN_COLUMNS, min(shutil.get_terminal_size().columns, limit))


def fold(text: str, width: int, first: str = "", rest: str | None = None) -> list[str]:
    """A paragraph as lines of at most `width` columns. `first` begins the first one, `rest` (or as many spaces) the
    others. A text without words is one empty line.
    """
    rest = " " * len(first) if rest is None else rest
    lines = textwrap.wrap(
        text,
        width,
        initial_indent=first,
        subsequent_indent=rest,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return [line.rstrip() for line in lines] or [first.rstrip()]


def fold_message(text: str, width: int) -> str:
    """A message with its lines folded between words. What is in backticks is to be pasted, and stays in one piece; so
    do lines of a file, which have a | in front of them.
    """
    lines: list[str] = []
    for line in text.splitlines():
        if len(line) <= width or re.match(r" *\d* \|", line):
            lines.append(line)
            continue
        indent = " " * (len(line) - len(line.lstrip(" -")) + (0 if line.startswith(" ") else 2))
        lines.append("")
        for word in re.findall(r"\s*(?:[^\s`]*`[^`]*`[^\s`]*|\S+)", line):
            if lines[-1].strip() and len(lines[-1]) + len(word) > width:
                lines.append(indent + word.lstrip())
            else:
                lines[-1] += word
    return "\n".join(lines)


def definitions(rows: Sequence[tuple[str, str]], width: int, indent: int = 2) -> list[Line]:
    """Names with their meanings beside them. The meaning of a long name begins on the next line."""
    if not rows:
        return []
    cap = max(_MAX_NAME, width // 3) if width >= 80 else min(_MAX_NAME, width // 3)
    room = max((len(name) for name, _ in rows if len(name) <= cap), default=_MIN_INDENT)
    lines: list[Line] = []
    margin = " " * (indent + room + _GAP)
    for name, meaning in rows:
        head = " " * indent + name
        if not meaning:
            lines.append(Line(head))
        elif len(name) <= room:
            lines += map(Line, fold(meaning, width, head.ljust(len(margin)), margin))
        else:
            lines += [Line(head), *map(Line, fold(meaning, width, margin))]
    return lines


def table(head: Sequence[str], rows: Sequence[Sequence[str]], width: int, caps: Sequence[int]) -> list[Line] | None:
    """A table whose last column takes the rest of the width. `caps` are the most columns of the others, which are wider
    only for a longer word. None if less than a readable width is left for the last column.
    """
    cells = [head, *rows]
    widths = [
        max(min(max(len(row[at]) for row in cells), cap), *(_longest_word(row[at]) for row in cells))
        for at, cap in enumerate(caps)
    ]
    last = width - 2 - sum(widths) - _GAP * len(widths)
    if last < _MIN_TEXT:
        return None
    lines = []
    for number, row in enumerate(cells):
        folded = [fold(cell, size) for cell, size in zip(row, [*widths, last], strict=True)]
        for at in range(max(map(len, folded))):
            parts = [column[at] if at < len(column) else "" for column in folded]
            padded = [part.ljust(size) for part, size in zip(parts, widths)]
            lines.append(Line(f"  {(' ' * _GAP).join([*padded, parts[-1]])}".rstrip(), number == 0))
    return lines


def command_lines(command: str, width: int, indent: int = 2) -> list[str]:
    """A command for a shell on lines that can be pasted together: all but the last end in a backslash."""
    words: list[str] = []
    for word in command.split(" "):  # a text in quotation marks stays in one piece
        if words and (words[-1].count("'") % 2 or words[-1].count('"') % 2):
            words[-1] += f" {word}"
        elif words and words[-1].startswith("--") and " " not in words[-1] and not word.startswith("-"):
            words[-1] += f" {word}"  # an option and its value
        else:
            words.append(word)
    lines, margin = [" " * indent + words[0]], " " * (indent + 4)
    for word in words[1:]:
        if len(lines[-1]) + 1 + len(word) + 2 <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(margin + word)
    return [*(f"{line} \\" for line in lines[:-1]), lines[-1]]


def print_lines(lines: Iterable[Line]) -> None:
    """Print lines to stdout, headings in bold where it is a terminal with styles."""
    if not has_styles():
        for line in lines:
            print(line.text)
        return
    sys.stdout.flush()
    raw = raw_stream(sys.stdout)  # what is not printable is shown as by print; the two sequences for bold are ours
    for line in lines:
        text = printable(line.text)
        raw.write(f"\x1b[1m{text}\x1b[0m\n" if line.is_heading else f"{text}\n")
    raw.flush()


def has_styles() -> bool:
    """Whether stdout is a terminal that shows styles, and the user has not turned them off."""
    is_plain = "NO_COLOR" in os.environ or os.environ.get("TERM") in ("dumb", "unknown")
    return sys.stdout.isatty() and not is_plain and os.name != "nt"


def _longest_word(text: str) -> int:
    return max(map(len, text.split()), default=0)
