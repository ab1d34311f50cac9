"""What the summary says of columns that nothing uses, those with content of their own first, a line for each; and of
tool calls in texts.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from sftdata.safe.control_chars import terminal_safe

MAX_LINES = 8  # for single columns; the others share a line
# Columns of bookkeeping, which no one expects in a conversation.
_BOOKKEEPING = re.compile(
    r"""ids? | idx | index | uu?id | guid | hash | sha256 | md5 | sources? | dataset | origin | split | subset | config
    | domain | category | categories | topic | tags? | labels? | type | task | lang | languages? | locale | licen[sc]e
    | url | link | scores? | rating | reward | quality | difficulty | level | rank | weight | date | time | timestamp
    | created | version | model | generator | author | user | username | length | count | tokens | turns | meta
    | metadata | extra | info | row
    | (num | n)_.* | .*[_. -](ids? | at | hash | score | date | time | type | url | count | length | len | tokens | name
    | number | level | model)""",
    re.VERBOSE,
)


def unused_lines(entries: Iterable[tuple[str, str, int]]) -> list[str]:
    """Lines for columns that hold something unused, each given with its source and its number of rows."""
    entries = list(entries)
    by_column: dict[str, int] = {}
    for _, column, rows in entries:
        by_column[column] = by_column.get(column, 0) + rows
    ordered = sorted(by_column.items(), key=lambda item: (-item[1], item[0]))
    own = [(name, rows) for name, rows in ordered if not is_bookkeeping(name)]
    rest = own[MAX_LINES:] + [(name, rows) for name, rows in ordered if is_bookkeeping(name)]
    lines = [f"{_rows(rows)} {_place(name)} that is not used" for name, rows in own[:MAX_LINES]]
    if len(rest) == 1:
        lines.append(f"{_rows(rest[0][1])} {_place(rest[0][0])} that is not used")
    elif rest:
        lines.append("also not used: " + ", ".join(f"`{terminal_safe(name)}` ({rows:,})" for name, rows in rest))
    return lines


_FATES = {
    "parsed": "or results, read out of their texts ({}); tool_calls_in_text: keep would leave them there",
    "kept": "left in their texts ({}), by tool_calls_in_text: keep",
    "unwritten": "left in their texts ({}), because the template writes no tool calls; tool_calls_in_text: drop would "
    "drop these rows",
    "unread": "left in their texts, in a form or a place that is not certain ({}); tool_calls_in_text: drop would drop "
    "these rows",
}


def calls_lines(entries: Iterable[tuple[str, Sequence[str], int]]) -> list[str]:
    """Lines for tool calls in texts, given with what became of them, their forms, and the number of rows."""
    entries = list(entries)
    lines = []
    for fate, sentence in _FATES.items():
        forms: dict[str, int] = {}
        for _, names, number in (entry for entry in entries if entry[0] == fate):
            for name in names:
                forms[name] = forms.get(name, 0) + number
        rows = sum(entry[2] for entry in entries if entry[0] == fate)
        ordered = sorted(forms.items(), key=lambda item: (-item[1], item[0]))
        named = ", ".join(f"{terminal_safe(name)} {number:,}" for name, number in ordered)
        have = "has what looks like tool calls" if rows == 1 else "have what looks like tool calls"
        what = f"{_rows(rows)} tool calls" if fate != "unread" else f"{rows:,} {'row' if rows == 1 else 'rows'} {have}"
        if rows:
            lines.append(f"{what} {sentence.format(named)}")
    return lines


def is_bookkeeping(column: str) -> bool:
    """Whether a column, or a key of a turn, has the name of an id, a date, a score and the like."""
    return _BOOKKEEPING.fullmatch(column.rpartition("[].")[2].lower()) is not None


def _rows(rows: int) -> str:
    return f"{rows:,} row has" if rows == 1 else f"{rows:,} rows have"


def _place(column: str) -> str:
    """`a column `thinking``, or `a key `timestamp` in its `messages``."""
    name = terminal_safe(column)
    outer, inside, key = name.rpartition("[].")
    if inside:
        return f"a key `{key}` in `{outer}`"
    return f"a column `{name}`"
