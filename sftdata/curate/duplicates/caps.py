"""A maximum number of rows per value of a column, as InstructGPT kept 200 prompts per user (arXiv 2203.02155, 3.2)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc


def over_cap(values: pa.Array, preference: npt.NDArray[np.int64], max_records: int) -> npt.NDArray[np.int64]:
    """For every row over the cap, its number among the rows of its value (from 1); 0 for rows that are kept.

    Rows are counted in the order of `preference`. Rows that are not in it, and rows without a value, are neither
    counted nor dropped.
    """
    number = np.zeros(len(values), np.int64)
    codes = pc.fill_null(pc.dictionary_encode(values).indices, -1).to_numpy(zero_copy_only=False)
    rows = preference[codes[preference] >= 0]
    order = np.argsort(codes[rows], kind="stable")
    grouped = codes[rows][order]
    starts = np.flatnonzero(np.diff(grouped, prepend=-1))
    sizes = np.diff(np.append(starts, len(grouped)))
    place = np.arange(len(grouped)) - np.repeat(starts, sizes) + 1
    number[rows[order]] = np.where(place > max_records, place, 0)
    return number


def cap_evidence(column: str, number: int, max_records: int) -> str:
    """Why a row is over its cap. The value itself is left out: it may be personal data."""
    return f"row {number} of its {column}; {max_records} are kept"
