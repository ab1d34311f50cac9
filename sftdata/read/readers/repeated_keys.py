"""Keys that a JSON object gives twice. A parser keeps the last value, and the others would be lost in silence.

Parsers do not say so; counting does: a quotation mark followed by a colon ends a key, or is in a text. Text that has as
many of them as its value, written again, has lost none. Only where the numbers differ is a line parsed once more, by a
slower parser that sees every key.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np
import orjson

from sftdata.records.record import Drop

_AFTER_KEY = 0x3A22  # `":` as a little-endian word
_BACKSLASH = ord("\\")
_SAMPLE = 1 << 14  # bytes of a block in which to look for what a program that writes JSON does everywhere, or never


class Repeated(dict[str, Any]):
    """An object that gives `key` more than once, with different values; it has the last one."""

    key = ""


def keys_written(block: bytes) -> int:
    """How often a quotation mark is followed by a colon, those in texts, behind one backslash, left out. -1 if keys may
    have a space between the two.
    """
    if b'" :' in block[:_SAMPLE]:
        return -1
    codes = np.frombuffer(block, np.uint8)
    number = 0
    for at in range(min(2, len(block))):
        words = np.frombuffer(block, "<u2", (len(block) - at) // 2, at)
        places = 2 * np.flatnonzero(words == _AFTER_KEY) + at
        is_key = (codes[places - 1] != _BACKSLASH) | (codes[places - 2] == _BACKSLASH)  # which may end in a backslash
        number += int(np.count_nonzero(is_key))
    return number


def find_repeated(lines: Sequence[bytes], values: Sequence[object], written: int) -> Mapping[int, Drop]:
    """The lines, by their numbers from 0, that have an object with two values for one key.

    `values` are those of the lines, or their Drops, and `written` is what `keys_written` says of them. A line without
    a value may have any that is no list and no object.
    """
    if written == _plain_keys(values):
        return {}
    numbers = [number for number, value in enumerate(values) if type(value) is dict or type(value) is list]
    if _is_whole(b"\n".join([lines[number] for number in numbers]), [values[number] for number in numbers]):
        return {}
    found = {}
    for number in numbers:
        if not _is_whole(lines[number], values[number]):
            first = next(repeated_in(_parse(lines[number])), None)
            if first is not None:
                found[number] = drop_of(first)
    return found


def mark_repeated(data: bytes, value: object) -> object:
    """The value of JSON text, with a Repeated in place of each object that gives a key twice. A value that is nested
    too deeply to be parsed again stays as it is.
    """
    return value if _is_whole(data, value) else _parse(data) or value


def first_repeated(data: bytes, value: object) -> Repeated | None:
    """The first object of JSON text, whose value this is, that gives a key twice; None if there is none."""
    return next(repeated_in(mark_repeated(data, value)), None)


def repeated_in(value: object) -> Iterator[Repeated]:
    """The objects in a value that give a key twice."""
    stack = [value]
    while stack:
        node = stack.pop()
        if isinstance(node, Repeated):
            yield node
        if isinstance(node, dict):
            stack.extend(node.values())
        elif isinstance(node, list):
            stack.extend(node)


def infinite(name: str) -> float | None:
    """What a constant that is no JSON number is read as."""
    return None if name == "NaN" else float(name)


def drop_of(repeated: Repeated) -> Drop:
    """Why a row with such an object is dropped."""
    return Drop("conflicting_fields", f"{repeated.key[:100]!r} is given twice in one object, with different values")


def _is_whole(data: bytes, value: object) -> bool:
    """Whether a value certainly has all keys of its text."""
    try:
        again = orjson.dumps(value)
    except TypeError:  # numbers of more than 64 bits, lone surrogates
        return False
    if b"\\u0022" in data[:_SAMPLE]:  # an escaped quotation mark, which is not written again as it was
        return False
    counts = keys_written(data), keys_written(again)
    if -1 not in counts:
        return counts[0] == counts[1]
    return data.count(b'":') + data.count(b'" :') == again.count(b'":') + again.count(b'" :')


def _plain_keys(values: Sequence[object]) -> int:
    """The number of keys in rows whose only objects are columns and items of columns, as in the first of them; fewer,
    or -2, where there are others.
    """
    if not values or set(map(type, values)) != {dict}:
        return -2
    rows: Sequence[dict[str, Any]] = values  # type: ignore[assignment]
    number = sum(map(len, rows))
    for name, first in rows[0].items():
        try:
            if type(first) is dict:
                objects = [row[name] for row in rows]
            elif type(first) is list and first and type(first[0]) is dict:
                objects = [*chain.from_iterable([row[name] for row in rows])]
            else:
                continue
        except (KeyError, TypeError):
            return -2
        if set(map(type, objects)) != {dict}:
            return -2
        number += sum(map(len, objects))
    return number


def _parse(data: bytes) -> object:
    """A value that has been parsed before, with a Repeated in place of each object that gives a key twice; None if it
    is nested too deeply, which no row may be.
    """
    with contextlib.suppress(RecursionError):
        return json.loads(data.decode("utf-8-sig"), object_pairs_hook=_object, parse_constant=infinite)
    return None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        for key, item in pairs:
            if json.dumps(item) != json.dumps(value[key]):
                repeated = Repeated(value)
                repeated.key = key
                return repeated
    return value
