"""A fast path for plain rows, which most data consists of: a list of turns with only a role and a text each.

convert.py, turns.py and structure.py define what a row means and whether it is valid. For plain rows, this depends only
on the roles and on whether the texts are valid, so the result is cached for each sequence of roles.
"""

from __future__ import annotations

from functools import lru_cache

from sftdata.read.formats.convert import EXTRA_FIELDS
from sftdata.read.formats.structure import check_structure, find_bad_character
from sftdata.read.formats.turns import ConversionError, parse_turns
from sftdata.records.record import PlainRecord, Record, is_plain

_FIELDS = {"messages": ("messages",), "sharegpt": ("conversations",), "auto": ("messages", "conversations")}


def plain_record(value: object, format: str) -> PlainRecord | None:
    """The record of a row if it is plainly a valid conversation of only roles and texts; otherwise None: the row has to
    take the normal path.

    `format` is the format of a source without mapped columns or a system prompt.
    """
    if type(value) is not dict or not EXTRA_FIELDS.isdisjoint(value):
        return None
    turns = None
    for name in _FIELDS.get(format, ()):
        turns = value.get(name)
        if turns is not None:
            break
    if type(turns) is not list:
        return None
    try:
        if list(map(len, turns)).count(2) != len(turns):
            return None
        if "role" in turns[0]:
            names = tuple([turn["role"] for turn in turns])
            texts = [turn["content"] for turn in turns]
        else:
            names = tuple([turn["from"] for turn in turns])
            texts = [turn["value"] for turn in turns]
        roles = _roles(names)
        if roles is None or "" in texts or any(map(str.isspace, texts)):
            return None
    except (TypeError, LookupError):
        return None
    for text in texts:
        if (not text.isascii() or "\0" in text) and find_bad_character(text) is not None:
            return None
    return PlainRecord(roles, texts)


@lru_cache(maxsize=1 << 12)
def _roles(names: tuple[object, ...]) -> tuple[str, ...] | None:
    """The roles of these names if a conversation with them is valid whatever its texts say; otherwise None."""
    try:
        messages = parse_turns([{"role": name, "content": "x"} for name in names], "")
    except ConversionError:
        return None
    if not all(is_plain(message) and message.role != "tool" for message in messages):
        return None  # whether a tool result is valid depends on the text of the call
    return None if check_structure(Record(messages)) else tuple(message.role for message in messages)
