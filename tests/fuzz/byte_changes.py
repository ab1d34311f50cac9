"""Changes anywhere in the bytes of a file."""

from __future__ import annotations

from hypothesis import strategies as st

Changes = list[tuple[int, str, int]]
MAX_AT = 1 << 20
CHANGES: st.SearchStrategy[Changes] = st.lists(
    st.tuples(
        st.integers(0, MAX_AT - 1),  # where, as a part of the file
        st.sampled_from(["flip", "set", "word", "cut", "insert", "copy", "end"]),
        st.sampled_from([0, 1, 2, 10, 13, 16, 34, 44, 91, 123, 127, 128, 192, 255]),
    ),
    max_size=4,
)


def changed_bytes(data: bytes, changes: Changes) -> bytes:
    """The bytes after some changes."""
    array = bytearray(data)
    for share, how, value in changes:
        at = share * len(array) // MAX_AT
        if how == "insert":
            array[at:at] = bytes([value]) * (value or 4)
        elif how == "copy":
            array[at:at] = array[max(0, at - 40 - value) : at]
        elif how == "end":
            del array[at:]
        elif at < len(array):
            if how == "flip":
                array[at] ^= value or 4
            elif how == "set":
                array[at] = value
            elif how == "word":
                array[at - at % 4 : at - at % 4 + 4] = bytes([255, 255, 255, value])
            else:
                del array[at : at + 1 + value]
    return bytes(array)
