"""Bytes as text."""

from __future__ import annotations

import numpy as np

from sftdata.records.ids import hex_strings


def test_bytes_are_written_in_hex_and_null_where_they_are_not_valid() -> None:
    values = np.array([[0, 255], [1, 16], [170, 7]], np.uint8)
    valid = np.array([True, False, True])
    assert hex_strings(values, valid).to_pylist() == ["00ff", None, "aa07"]
    assert hex_strings(values[:0], valid[:0]).to_pylist() == []
