from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from sftdata.curate.split import choose_validation

HASHES = np.array([5, 1 << 63, 7, (1 << 64) - 1, 0, 7], np.uint64)
ALL = np.ones(6, bool)


def chosen(validation: float, candidates: np.ndarray = ALL) -> list[int]:
    return np.flatnonzero(choose_validation(HASHES, candidates, validation)).tolist()


def test_zero_holds_out_nothing() -> None:
    assert chosen(0) == []


def test_a_share_takes_that_share_of_the_hash_range() -> None:
    assert chosen(0.5) == [0, 2, 4, 5]
    assert chosen(0.75) == [0, 1, 2, 4, 5]


def test_a_number_takes_the_lowest_hashes_and_all_equal_to_them() -> None:
    assert chosen(1) == [4]
    assert chosen(2) == [0, 4]
    assert chosen(3) == [0, 2, 4, 5]  # two records have hash 7: both or neither
    assert chosen(100) == [0, 1, 2, 3, 4, 5]


def test_only_candidates_are_chosen() -> None:
    candidates = np.array([True, True, False, True, False, True])
    assert chosen(0.5, candidates) == [0, 5]
    assert chosen(1, candidates) == [0]
    assert chosen(5, np.zeros(6, bool)) == []


@settings(deadline=None)
@given(st.lists(st.integers(0, (1 << 64) - 1), min_size=1), st.floats(0, 1, exclude_max=True))
def test_with_a_share_a_records_side_does_not_depend_on_others(hashes: list[int], share: float) -> None:
    together = choose_validation(np.array(hashes, np.uint64), np.ones(len(hashes), bool), share)
    alone = [choose_validation(np.array([one], np.uint64), np.ones(1, bool), share)[0] for one in hashes]
    assert together.tolist() == alone
