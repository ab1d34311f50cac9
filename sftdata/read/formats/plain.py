"""The rows that nearly all data is made of, read without a long look: a list of turns of one role and one text each.

What a row means and what is wrong with it is for formats.py, turns.py and validate.py to say. Of such a row they look
at the roles alone, and at whether each text is one; so they are asked once for each list of roles.
"""

from __future__ import annotations

from functools import lru_cache

from sftdata.read.formats.convert import BESIDES
from sftdata.read.formats.structure import check_structure, find_flaw
from sftdata.read.formats.turns import RefusedError, turns_of
from sftdata.records.record import PlainRecord, Record, is_plain

_FIELDS = {"messages": ("messages",), "sharegpt": ("conversations",), "auto": ("messages", "conversations")}


def plain_record(value: object, format: str) -> PlainRecord | None:
    """The record of a row that is a sound conversation of plain turns, where that can be seen at once; else None.

    `format` is that of a source without mapped columns or a system prompt of its own.
    """
    if type(value) is not dict or not BESIDES.isdisjoint(value):
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
            said = tuple([turn["role"] for turn in turns])
            texts = [turn["content"] for turn in turns]
        else:
            said = tuple([turn["from"] for turn in turns])
            texts = [turn["value"] for turn in turns]
        roles = _roles(said)
        if roles is None or "" in texts or any(map(str.isspace, texts)):
            return None
    except (TypeError, LookupError):
        return None
    for text in texts:
        if (not text.isascii() or "\0" in text) and find_flaw(text) is not None:
            return None
    return PlainRecord(roles, texts)


@lru_cache(maxsize=1 << 12)
def _roles(said: tuple[object, ...]) -> tuple[str, ...] | None:
    """The roles meant, where a conversation of such turns is sound whatever its texts say; else None."""
    try:
        messages = turns_of([{"role": word, "content": "x"} for word in said], "")
    except RefusedError:
        return None
    if not all(is_plain(message) and message.role != "tool" for message in messages):
        return None  # a text decides whether it calls a tool
    return None if check_structure(Record(messages)) else tuple(message.role for message in messages)
