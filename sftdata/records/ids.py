"""Ids of records and digests, as bytes and as text."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa


def hex_strings(values: npt.NDArray[np.uint8], valid: npt.NDArray[np.bool_]) -> pa.Array:
    """Rows of bytes as hex strings; null if not valid."""
    codes = values[valid]
    digits = np.frombuffer(b"0123456789abcdef", np.uint8)
    text = np.stack([digits[codes >> 4], digits[codes & 15]], axis=-1)
    offsets = np.concatenate([[0], np.cumsum(valid * (2 * values.shape[1]))])
    validity = pa.py_buffer(np.packbits(valid, bitorder="little").tobytes())
    buffers = [validity, pa.py_buffer(offsets.astype(np.int64)), pa.py_buffer(np.ascontiguousarray(text))]
    return pa.Array.from_buffers(pa.large_string(), len(valid), buffers)
