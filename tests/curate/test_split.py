from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from sftdata.curate.split import choose_validation, joined_hashes

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


records = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9), st.integers(0, 9)), max_size=20)


@given(records)
@settings(max_examples=300, deadline=None)
def test_records_linked_by_hashes_or_groups_get_one_hash_and_all_others_keep_theirs(
    rows: list[tuple[int, ...]],
) -> None:
    hashes, *groupings = np.array(rows, np.int64).reshape(-1, 3).T
    found = joined_hashes(hashes.astype(np.uint64) << np.uint64(60), groupings).tolist()
    linked = [{row} for row in range(len(rows))]
    for one in range(len(rows)):
        for other in range(one):
            if any(a == b for a, b in zip(rows[one], rows[other])):
                linked[one] |= linked[other]
                for row in linked[one]:
                    linked[row] = linked[one]
    for row, group in enumerate(linked):
        assert {found[other] for other in group} == {found[row]}
        assert sum(hash_ == found[row] for hash_ in found) == len(group)
        if len({rows[other][0] for other in group}) == 1:
            assert found[row] == rows[row][0] << 60
