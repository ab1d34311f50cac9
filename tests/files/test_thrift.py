"""sftdata.files.thrift: structs as the specification of Thrift's compact protocol writes them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sftdata.files.thrift import read_struct


@pytest.mark.parametrize(
    ("data", "fields"),
    [
        (b"\x00", {}),
        (b"\x15\x04\x00", {1: 2}),  # field 1, a 32-bit 2, zigzag 4
        (b"\x15\x03\x00", {1: -2}),
        (b"\x16\xac\x02\x00", {1: 150}),  # a 64-bit 150, zigzag 300
        (b"\x11\x12\x00", {1: True, 2: False}),
        (b"\x58\x03abc\x00", {5: b"abc"}),
        (b"\x05\x28\x02\x00", {20: 1}),  # field 20, written as a number of its own
        (b"\x19\x35\x02\x04\x06\x00", {1: [1, 2, 3]}),  # a list of three 32-bit numbers
        (b"\x1c\x15\x02\x00\x00", {1: {1: 1}}),
        (b"\x17" + bytes(8) + b"\x15\x02\x00", {1: None, 2: 1}),  # a number with a point
    ],
)
def test_a_struct_is_read(data: bytes, fields: dict[int, object]) -> None:
    assert read_struct(data + b"more", 0) == (fields, len(data))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x15",
        b"\x18\x05abc",
        b"\x19\xf5\xff\xff\xff\xff\x0f",  # a list of four billion numbers
        b"\x19\xf3\xff\xff\xff\xff\x0f",
        b"\x1c" * 1000,
        b"\x19\x19" + b"\x19" * 1000,
        b"\x16" + b"\xff" * 20,
        b"\x1d\x00",
    ],
)
def test_what_is_no_struct_is_refused(data: bytes) -> None:
    with pytest.raises((ValueError, IndexError)):
        read_struct(data, 0)


@given(data=st.binary(max_size=100))
def test_any_bytes_are_a_struct_or_refused(data: bytes) -> None:
    try:
        _, end = read_struct(data, 0)
    except (ValueError, IndexError):
        return
    assert end > 0
