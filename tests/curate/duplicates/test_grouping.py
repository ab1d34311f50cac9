"""Equal hashes and repeated keys, against simple loops."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sftdata.curate.duplicates.grouping import find_repeats, groups_of_equal

HIGH = 1 << 40  # hashes that differ by less may be taken for equal: bits beside this are given to the node
hashes = st.lists(st.integers(0, 9) | st.integers(0, (1 << 24) - 1), max_size=40)


@given(hashes, st.sampled_from([None, 1, 2, 64]))
@settings(max_examples=300, deadline=None)
def test_groups_are_those_of_a_simple_loop_in_any_number_of_passes(numbers: list[int], passes: int | None) -> None:
    members, sizes = groups_of_equal(np.array([number * HIGH for number in numbers], np.uint64), passes)
    found = [part.tolist() for part in np.split(members, np.cumsum(sizes)[:-1])] if len(sizes) else []
    places: dict[int, list[int]] = {}
    for place, number in enumerate(numbers):
        places.setdefault(number, []).append(place)
    assert found == [places[number] for number in sorted(places) if len(places[number]) > 1]


def test_more_bits_are_compared_in_more_passes() -> None:
    # 200 nodes take 8 bits of 64; in 16 passes, 4 more bits of the hashes are left to tell nodes apart.
    close = np.arange(200, dtype=np.uint64) << np.uint64(4)
    assert len(groups_of_equal(close.copy(), 1)[1]) > 0
    assert len(groups_of_equal(close.copy(), 16)[1]) == 0


def test_more_nodes_than_numbers_are_refused() -> None:
    many = np.broadcast_to(np.uint64(0), 1 << 31)
    with pytest.raises(ValueError, match="2,147,483,648 nodes are too many"):
        groups_of_equal(many)


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), max_size=30), st.data())
@settings(max_examples=300, deadline=None)
def test_repeats_are_those_of_a_simple_loop(pairs: list[tuple[int, int]], data: st.DataObject) -> None:
    rows = data.draw(st.permutations(range(len(pairs))))[: data.draw(st.integers(0, len(pairs)))]
    found = find_repeats(np.array(pairs, np.uint64).reshape(-1, 2), np.array(rows, np.int64))
    expected = []
    for place, row in enumerate(rows):
        earlier = [other for other in rows[:place] if pairs[other] == pairs[row]]
        if earlier:
            expected.append((row, earlier[0], len(earlier)))
    assert list(zip(found.row.tolist(), found.first.tolist(), found.number.tolist())) == expected
