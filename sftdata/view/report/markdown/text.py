"""Text of a dataset as Markdown: it stays text, and cannot leave the place that it is put into.

A sentence is escaped, a name or a setting is a code span, a longer text is a fenced block. Characters that cannot be
seen, or that turn the direction of a line, become visible ones.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from sftdata.safe.control_chars import INVISIBLE, terminal_safe, visible_char

# What Markdown, GitHub's tables and formulas, and HTML read; as entities where a backslash is read by something else.
_ENTITIES = {char: f"&#{ord(char)};" for char in "\\$|`:."} | {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
_SPECIAL = re.compile(r"[&<>\\$|`]|[*_\[\]~]|:(?=//)|(?<=www)\.")  # an address must not become a link
_SPACES = re.compile(r"[ \t\n]+")
_OPENS = re.compile(r"[#+\-=]|\d+(?=[.)](?: |$))")  # at the beginning of a line: headings, lists, lines
_HIDDEN = re.compile(f"(?!\n|\t)[{INVISIBLE}]")


def sentence(text: str) -> str:
    """A text on one line of a paragraph, a list or a table."""
    text = terminal_safe(_SPACES.sub(" ", text).strip(" "))
    opens = _OPENS.match(text)
    shown = _SPECIAL.sub(_escaped, text)
    if opens is None:
        return shown
    return f"{opens[0]}\\{shown[opens.end() :]}" if opens[0].isdigit() else f"\\{shown}"


def _escaped(match: re.Match[str]) -> str:
    return _ENTITIES.get(match[0], f"\\{match[0]}")


def code(text: str) -> str:
    """A name, a hash, a setting or a command as a code span, outside of tables."""
    text = terminal_safe(text)
    if not text.strip(" "):
        return "-"
    ticks = "`" * (_longest_run(text) + 1)
    pad = " " if text[0] in "` " or text[-1] in "` " else ""
    return f"{ticks}{pad}{text}{pad}{ticks}"


def cell(text: str) -> str:
    """The same in a table, where `\\|` is a bar; a text with a backslash before a bar is no code span there."""
    return sentence(text) if "\\|" in text else code(text).replace("|", "\\|")


def block(text: str, kind: str = "") -> str:
    """Lines of text as a fenced block."""
    text = _HIDDEN.sub(lambda match: visible_char(match[0]), text)
    fence = "`" * max(3, _longest_run(text) + 1)
    return f"{fence}{kind}\n{text}\n{fence}\n"


def _longest_run(text: str) -> int:
    """The most backticks next to each other."""
    return max(map(len, re.findall("`+", text)), default=0)


def table(head: Sequence[str], rows: Iterable[Sequence[str]], numbers: Iterable[int] = ()) -> str:
    """A table of cells that are Markdown already; those in the columns `numbers` are right-aligned."""
    right = set(numbers)
    lines = [head, ["---:" if at in right else "---" for at in range(len(head))], *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
