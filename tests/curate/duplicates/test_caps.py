"""Caps, by hand."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from sftdata.curate.duplicates.caps import cap_evidence, over_cap


def test_rows_over_the_cap_are_numbered_within_their_value():
    values = pa.array(["ann", "bob", "ann", None, "ann", None, "bob", "ann", None])
    assert over_cap(values, np.arange(9), 2).tolist() == [0, 0, 0, 0, 3, 0, 0, 4, 0]


def test_rows_are_counted_in_the_order_of_preference_and_dropped_ones_not_at_all():
    values = pa.array([7, 7, 7, 7])
    assert over_cap(values, np.array([3, 1, 0]), 1).tolist() == [3, 2, 0, 0]


def test_no_rows_and_no_values_are_accepted():
    assert over_cap(pa.array([], pa.string()), np.arange(0), 2).tolist() == []
    assert over_cap(pa.array([None, None], pa.string()), np.arange(2), 1).tolist() == [0, 0]


def test_the_evidence_does_not_name_the_value():
    assert cap_evidence("user_id", 201, 200) == "row 201 of its user_id; 200 are kept"
