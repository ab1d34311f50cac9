"""Structs in Thrift's compact protocol, as the headers of Parquet pages are."""

from __future__ import annotations

from typing import Any

MAX_DEPTH = 8  # of structs in structs
TRUE, FALSE, BYTE, I16, I32, I64, DOUBLE, BINARY = range(1, 9)  # kinds of values
STRUCT = 12
DOUBLE_BYTES = 8


def read_struct(data: bytes, at: int, depth: int = 0) -> tuple[dict[int, Any], int]:
    """The struct that starts at a position, and where it ends.

    Integers, booleans and structs are by the numbers of their fields; texts are left out. Raises ValueError
    or IndexError if there is no such struct.
    """
    if depth > MAX_DEPTH:
        raise ValueError(f"structs are nested more than {MAX_DEPTH} deep")
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
            value, at = _value(data, at, kind, depth)
            if value is not None:
                fields[number] = value


def _value(data: bytes, at: int, kind: int, depth: int) -> tuple[Any, int]:
    """A value that is no boolean, and where it ends; None for a text."""
    if kind == BYTE:
        return None, at + 1
    if kind in (I16, I32, I64):
        return _zigzag(data, at)
    if kind == DOUBLE:
        return None, at + DOUBLE_BYTES
    if kind == BINARY:
        length, at = _varint(data, at)
        return None, at + length
    if kind == STRUCT:
        return read_struct(data, at, depth + 1)
    raise ValueError(f"a field has the kind {kind}")  # no page header has a list or a map


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
