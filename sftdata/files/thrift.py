"""Structs in Thrift's compact protocol, as Parquet's footers and the headers of its pages are."""

from __future__ import annotations

from typing import Any

MAX_DEPTH = 16  # of structs and lists in each other
TRUE, FALSE, BYTE, I16, I32, I64, DOUBLE, BINARY, LIST, SET, MAP, STRUCT = range(1, 13)  # kinds of values
DOUBLE_BYTES = 8
LONG_LIST = 15  # the length of a list of this many entries or more is a number of its own


def read_struct(data: bytes, at: int, depth: int = 0) -> tuple[dict[int, Any], int]:
    """The struct that starts at a position, and where it ends: values by the numbers of their fields.

    Texts are bytes, and numbers with a point are left out. Raises ValueError or IndexError if there is no such struct.
    """
    if depth > MAX_DEPTH:
        raise ValueError(f"values are nested more than {MAX_DEPTH} deep")
    fields: dict[int, Any] = {}
    number = 0
    while True:
        head = data[at]
        at += 1
        if head == 0:
            return fields, at
        kind = head & 15
        if head >> 4:
            number += head >> 4
        else:
            number, at = _zigzag(data, at)
        if kind in (TRUE, FALSE):
            fields[number] = kind == TRUE
        else:
            fields[number], at = _value(data, at, kind, depth)


def _value(data: bytes, at: int, kind: int, depth: int) -> tuple[Any, int]:
    """A value, and where it ends. A boolean is one of a list."""
    if kind in (I16, I32, I64):
        return _zigzag(data, at)
    if kind in (TRUE, FALSE, BYTE):
        return data[at], at + 1
    if kind == DOUBLE:
        return None, at + DOUBLE_BYTES
    if kind == BINARY:
        length, at = _varint(data, at)
        if length > len(data) - at:
            raise IndexError("a text is cut off")
        return data[at : at + length], at + length
    if kind in (LIST, SET):
        return _list(data, at, depth + 1)
    if kind == STRUCT:
        return read_struct(data, at, depth + 1)
    raise ValueError(f"a field has the kind {kind}")


def _list(data: bytes, at: int, depth: int) -> tuple[list[Any], int]:
    """A list, and where it ends. Each entry takes a byte at least, so that none is longer than the data."""
    if depth > MAX_DEPTH:
        raise ValueError(f"values are nested more than {MAX_DEPTH} deep")
    head = data[at]
    length, at = (head >> 4, at + 1) if head >> 4 < LONG_LIST else _varint(data, at + 1)
    if length > len(data) - at:
        raise IndexError("a list is cut off")
    values = []
    for _ in range(length):
        value, at = _value(data, at, head & 15, depth)
        values.append(value)
    return values, at


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return value, at
        if shift > 63:
            raise ValueError("a number has more than 64 bits")


def _zigzag(data: bytes, at: int) -> tuple[int, int]:
    value, at = _varint(data, at)
    return (value >> 1) ^ -(value & 1), at
