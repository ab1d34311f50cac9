"""JSON text -> value: with orjson where it is exact, otherwise with json."""

from __future__ import annotations

import json

import numpy as np
import orjson

from sftdata.read.readers.repeated_keys import first_repeated, infinite
from sftdata.records.record import Drop

MAX_NESTED = 100  # levels of objects and lists in a row, so that no step of a run depends on how deep Python may go
# orjson reads integers above 64 bits as floats; only text with this many consecutive digits can hold one.
_LONG_NUMBER = b"0" * 19
_DIGITS = bytes(48 if 48 <= byte <= 57 else 32 for byte in range(256))


def may_hold_long_number(data: bytes) -> bool:
    """Whether JSON text, or lines of it, may contain a number that orjson does not read exactly.

    Of that many consecutive digits, at least three are at multiples of six. So first only every sixth byte is checked,
    and the bytes between only around those.
    """
    codes = np.frombuffer(data, np.uint8)
    is_digit = codes[::6] - np.uint8(48) < 10
    places = 6 * np.flatnonzero(is_digit[:-2] & is_digit[1:-1] & is_digit[2:])
    for offset in (3, 9, 2, 8, 4, 10, 1, 7, 5, 11):
        places = places[codes[places + offset] - np.uint8(48) < 10]
    return len(places) > 0 and _holds_long_number(data)


def _holds_long_number(data: bytes) -> bool:
    return _LONG_NUMBER in data.translate(_DIGITS)


def parse_json(data: bytes, allow_infinite: bool = False) -> object:
    """The value of UTF-8 JSON text. NaN is read as null, because pandas writes missing values as NaN.

    Integers keep all their digits, and strings keep lone surrogates. An infinite number is read with `allow_infinite`:
    a table may hold one too, and whoever uses the value refuses it. Raises UnicodeDecodeError if the bytes are not
    UTF-8, json.JSONDecodeError with the position if they are not JSON, and another ValueError for other infinite
    numbers, numbers of thousands of digits and values nested too deeply.
    """
    try:
        value: object = orjson.loads(data)
        if not _holds_long_number(data):
            return value
    except orjson.JSONDecodeError:
        pass
    try:
        constant = infinite if allow_infinite else _constant
        value = json.loads(data.decode("utf-8-sig"), parse_constant=constant)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    return value


def parse_line(line: bytes, may_be_long: bool = True) -> object:
    """The JSON value of a line, or a Drop with the reason why it has none. `may_be_long`: see may_hold_long_number."""
    if not may_be_long:
        try:
            return orjson.loads(line)
        except orjson.JSONDecodeError:
            pass
    try:
        return parse_json(line, allow_infinite=True)
    except UnicodeDecodeError as error:
        problem = Drop("bad_encoding", f"byte 0x{line[error.start]:02X} at byte {error.start + 1} of the line")
    except json.JSONDecodeError as error:
        what = f"{error.msg[0].lower()}{error.msg[1:]}"
        if error.msg == "Extra data":
            rest = error.doc[error.pos :].strip()
            what = "a comma behind the object" if rest == "," else "more text behind the end of the value"
        problem = Drop("bad_json", f"column {error.colno}: {what}")
    except ValueError as error:
        problem = Drop("bad_json", str(error))
    if b"\0" in line:
        return Drop("null_byte", f"byte {line.index(0) + 1} of the line")
    return problem


def parse_text(text: str) -> object:
    """The value of JSON in a string, such as the arguments of a tool call. Raises ValueError, also where it is nested
    too deeply, and for an object that gives one key two values.
    """
    try:
        data = text.encode()
    except UnicodeEncodeError as error:
        raise ValueError("it holds a lone surrogate") from error
    value = parse_json(data)
    if text.count("[") + text.count("{") > MAX_NESTED and is_deep(value):
        raise ValueError(f"it is nested more than {MAX_NESTED} levels deep")
    repeated = first_repeated(data, value)
    if repeated is not None:
        raise ValueError(f"{repeated.key[:40]!r} is given twice in one object, with different values")
    return value


def is_deep(value: object) -> bool:
    """Whether objects and lists are nested more than MAX_NESTED levels deep. Takes no recursion."""
    level = [value] if isinstance(value, (dict, list)) else []
    for _ in range(MAX_NESTED):
        if not level:
            return False
        level = [
            below
            for item in level
            for below in (item.values() if isinstance(item, dict) else item)
            if isinstance(below, (dict, list))
        ]
    return bool(level)


def _constant(name: str) -> None:
    if name != "NaN":
        raise ValueError(f"{name} is no JSON number")
