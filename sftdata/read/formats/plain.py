"""A fast path for plain rows, which most data consists of: a list of turns with only a role and a text each.

convert.py, turns.py and structure.py define what a row means and whether it is valid. For plain rows, this depends only
on the roles and on whether the texts are valid, so the result is cached for each sequence of roles. Which other columns
a row has is worked out once for each set of names.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Any, NamedTuple

from sftdata.read.formats.convert import RowFormat
from sftdata.read.formats.media import FILE_HEADS, is_file_text, is_media, strength
from sftdata.read.formats.reasoning import is_reasoning_name
from sftdata.read.formats.shapes.known import CONVERSATION, EXTRA_FIELDS, plain_names
from sftdata.read.formats.structure import check_structure, find_bad_character
from sftdata.read.formats.turns import TurnFormat, parse_turns
from sftdata.read.formats.values import ConversionError, is_given
from sftdata.read.marks.calls_in_text import may_hold_call
from sftdata.records.record import PlainRecord, Record, is_plain

_FIELDS = {"messages": ("messages",), "sharegpt": ("conversations",), "auto": ("messages", "conversations")}


class _Shape(NamedTuple):
    """What the names of a row's columns and of its turns' roles decide."""

    roles: tuple[str, ...]
    answers: tuple[int, ...]  # the turns of the assistant
    others: tuple[str, ...]  # the columns besides the turns and those that `keep` names


def plain_row(value: object, how: RowFormat) -> tuple[PlainRecord, tuple[str, ...]] | None:
    """The record of a row if it is plainly a valid conversation of only roles and texts, and the columns that hold
    something which is not used; otherwise None: the row has to take the normal path.
    """
    if type(value) is not dict or not how.is_default:
        return None
    turns, column = None, ""
    for column in _FIELDS.get(how.format, ()):
        turns = value.get(column)
        if turns is not None:
            break
    if type(turns) is not list:
        return None
    try:
        role, content = ("role", "content") if "role" in turns[0] else ("from", "value")
        names, texts = [], []
        for turn in turns:
            text = turn[content]
            if len(turn) != 2 or not text or text.isspace():
                return None
            if (not text.isascii() or "\0" in text) and find_bad_character(text) is not None:
                return None
            names.append(turn[role])
            texts.append(text)
        own = tuple(how.roles.items()) if how.roles else ()
        shape = _shape(tuple(names), tuple(value), column, how.keep, own, how.merge_same_role)
        if shape is None:
            return None
    except (TypeError, LookupError, AttributeError):
        return None
    roles, answers, others = shape
    for at in answers:
        if may_hold_call(texts[at]):
            return None
    if not others:
        return PlainRecord(roles, texts), ()
    try:
        unused = _unused(value, others, turns, texts)
    except RecursionError:
        return None
    return None if unused is None else (PlainRecord(roles, texts), unused)


@lru_cache(maxsize=1 << 12)
def _shape(
    names: tuple[object, ...],
    columns: tuple[str, ...],
    turns: str,
    keep: tuple[str, ...],
    own: tuple[tuple[str, str], ...],
    merge_same_role: str,
) -> _Shape | None:
    """The shape of a row with these roles and columns if it is plain; otherwise None."""
    roles, others = _roles(names, own, merge_same_role), _other_columns(columns, turns, keep)
    if roles is None or others is None:
        return None
    return _Shape(roles, tuple([at for at, role in enumerate(roles) if role == "assistant"]), others)


@lru_cache(maxsize=1 << 12)
def _roles(names: tuple[object, ...], own: tuple[tuple[str, str], ...], merge_same_role: str) -> tuple[str, ...] | None:
    """The roles of these names if a conversation with them is valid whatever its texts say; otherwise None.

    `own` are the roles that the source names.
    """
    try:
        messages = parse_turns([{"role": name, "content": "x"} for name in names], "", TurnFormat(roles=dict(own)))
    except ConversionError:
        return None
    if not all(is_plain(message) and message.role != "tool" for message in messages):
        return None  # whether a tool result is valid depends on the text of the call
    if merge_same_role == "merge" and any(first.role == second.role for first, second in pairwise(messages)):
        return None
    is_wrong = check_structure(Record(messages), allow_same_role=merge_same_role == "allow") is not None
    return None if is_wrong else tuple(message.role for message in messages)


@lru_cache(maxsize=1 << 12)
def _other_columns(names: tuple[str, ...], turns: str, keep: tuple[str, ...]) -> tuple[str, ...] | None:
    """The columns of a row besides its turns and those that `keep` names; None if one of them may mean something."""
    if not EXTRA_FIELDS.isdisjoint(names) or any(path not in names for path in keep):
        return None
    if any(is_reasoning_name(name) or name in CONVERSATION for name in names if name != turns) or plain_names(names):
        return None
    others = tuple([name for name in names if name != turns and name not in keep])
    return None if any(map(strength, others)) else others


def _unused(
    row: Mapping[str, Any], names: Sequence[str], turns: object, texts: Sequence[str]
) -> tuple[str, ...] | None:
    """Those of these columns that hold something which the turns do not say too; None if one may hold a picture."""
    found = []
    for name in names:
        value = row[name]
        if value is None:
            continue
        if type(value) is not str:
            if is_media(name, value):
                return None
            if is_given(value) and value != turns:
                found.append(name)
        elif value[:4] in FILE_HEADS and is_file_text(value):
            return None
        elif value and value not in texts and not value.isspace():
            found.append(name)
    return tuple(found)
