"""A maximum number of rows per value of a column, as InstructGPT kept 200 prompts per user (arXiv 2203.02155, 3.2)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sftdata.curate.duplicates.grouping import Ints, find_repeats


def over_cap(keys: npt.NDArray[np.uint64], rows: Ints, max_records: int) -> tuple[Ints, Ints]:
    """The rows over the cap, in the order in which rows are given, and the number of each among the rows of its value,
    from 1.

    Given are the rows that have a value and are to be counted; `keys` are hashes of the values of all rows, [rows, 2].
    """
    repeats = find_repeats(keys, rows)
    is_over = repeats.number >= max_records
    return repeats.row[is_over], repeats.number[is_over] + 1


def cap_evidence(column: str, number: int, max_records: int) -> str:
    """Why a row is over its cap. The value itself is left out: it may be personal data."""
    return f"row {number} of its {column}; {max_records} are kept"
