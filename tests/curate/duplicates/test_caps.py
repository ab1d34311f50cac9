"""Caps, by hand."""

from __future__ import annotations

import numpy as np

from sftdata.curate.duplicates.caps import cap_evidence, over_cap


def keys(values: list[int]) -> np.ndarray:
    return np.array([[value, 0] for value in values], np.uint64).reshape(-1, 2)


def test_rows_over_the_cap_are_numbered_within_their_value():
    values = keys([1, 2, 1, 0, 1, 0, 2, 1, 0])
    rows, numbers = over_cap(values, np.array([0, 1, 2, 4, 6, 7]), 2)  # the others have no value
    assert (rows.tolist(), numbers.tolist()) == ([4, 7], [3, 4])


def test_rows_are_counted_in_the_order_given_and_others_not_at_all():
    rows, numbers = over_cap(keys([7, 7, 7, 7]), np.array([3, 1, 0]), 1)
    assert (rows.tolist(), numbers.tolist()) == ([1, 0], [2, 3])


def test_no_rows_are_accepted():
    rows, numbers = over_cap(keys([]), np.arange(0), 2)
    assert (rows.tolist(), numbers.tolist()) == ([], [])


def test_the_evidence_does_not_name_the_value():
    assert cap_evidence("user_id", 201, 200) == "row 201 of its user_id; 200 are kept"
