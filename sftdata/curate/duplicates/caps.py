"""A maximum number of rows per value of a column, as InstructGPT kept 200 prompts per user (arXiv 2203.02155, 3.2)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from sftdata.curate.duplicates.exact import first_occurrences


def over_cap(values: pa.Array, preference: npt.NDArray[np.int64], max_records: int) -> npt.NDArray[np.int64]:
    """For every row over the cap, its number among the rows of its value (from 1); 0 for rows that are kept.

    Rows are counted in the order of `preference`. Rows that are not in it, and rows without a value, are neither
    counted nor dropped.
    """
    numbers = np.zeros(len(values), np.int64)
    _, earlier = first_occurrences(values.take(pa.array(preference)))
    numbers[preference] = np.where(earlier >= max_records, earlier + 1, 0)
    return numbers


def cap_evidence(column: str, number: int, max_records: int) -> str:
    """Why a row is over its cap. The value itself is left out: it may be personal data."""
    return f"row {number} of its {column}; {max_records} are kept"
