"""Nodes cut into parts that share no bucket, held against components found by joining sets."""

from __future__ import annotations

from collections import Counter

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from sftdata.curate.duplicates.buckets import Banding, Buckets, sort_by_component
from sftdata.curate.duplicates.near import find_near_duplicates, sign
from sftdata.curate.duplicates.settings import NearConfig
from sftdata.curate.words import shingles_in


@st.composite
def signatures(draw: st.DrawFn) -> np.ndarray:
    """Some rows of numbers that are often alike, or linked in long chains."""
    columns = draw(st.integers(1, 3))
    if draw(st.booleans()):
        rows = st.lists(st.integers(0, 12), min_size=columns, max_size=columns)
        return np.array(draw(st.lists(rows, min_size=1, max_size=30)), np.uint16).reshape(-1, columns)
    order = np.array(draw(st.permutations(range(draw(st.integers(1, 40))))))
    return np.stack([order // 2, (order + 1) // 2], axis=1).astype(np.uint16)  # each is like the ones before and after


def linked(rows: np.ndarray) -> list[set[int]]:
    """For each row those that it is linked with, by rows that agree in a column."""
    groups = [{row} for row in range(len(rows))]
    for one in range(len(rows)):
        for other in range(one):
            if (rows[one] == rows[other]).any() and groups[one] is not groups[other]:
                groups[one] |= groups[other]
                for row in groups[other]:
                    groups[row] = groups[one]
    return groups


def sets_of(buckets: Buckets) -> Counter[tuple[int, ...]]:
    """Each bucket's nodes."""
    starts = np.unique(np.concatenate([[0], buckets.ends])).tolist()
    return Counter(tuple(buckets.members[a:b].tolist()) for a, b in zip(starts, starts[1:]))


@given(signatures(), st.integers(1, 6), st.data())
@settings(max_examples=300, deadline=None)
def test_parts_hold_whole_components_in_order_with_all_their_buckets(numbers: np.ndarray, parts: int, data) -> None:
    rows = np.array(data.draw(st.permutations(range(len(numbers)))))
    order, buckets, cuts = sort_by_component(numbers, rows, Banding(numbers.shape[1], 1), parts)
    assert sorted(order.tolist()) == list(range(len(numbers)))
    assert cuts[0] == 0 and cuts[-1] == len(rows) and sorted(set(cuts)) == list(cuts)
    groups = linked(numbers)
    place = {row: number for number, row in enumerate(rows.tolist())}
    for start, stop in zip(cuts, cuts[1:]):
        here = order[start:stop].tolist()
        assert all(groups[row] <= set(here) for row in here)
        for row in here:  # a component keeps the order that its rows came in
            own = [other for other in here if other in groups[row]]
            assert own == sorted(own, key=place.__getitem__)
        expected: Counter[tuple[int, ...]] = Counter()
        for column in numbers[here].T.tolist():
            alike = {value: tuple(i for i, other in enumerate(column) if other == value) for value in column}
            expected.update(nodes for nodes in alike.values() if len(nodes) > 1)
        assert sets_of(buckets.between(start, stop)) == expected


def test_many_parts_are_made_where_nothing_is_linked_to_all() -> None:
    numbers = np.repeat(np.arange(100, dtype=np.uint16), 3)[:, None]
    _, _, cuts = sort_by_component(numbers, np.arange(300), Banding(1, 1), 10)
    assert np.diff(cuts).tolist() == [30] * 10


def test_the_verdict_does_not_depend_on_who_compares_the_parts_and_when() -> None:
    rng = np.random.default_rng(5)
    texts = []
    for _ in range(60):
        words = rng.integers(0, 10_000, 40)
        for _ in range(int(rng.integers(1, 5))):
            words[rng.integers(0, 40)] = rng.integers(0, 10_000)
            texts.append(" ".join(map(str, words)))
    signed = sign(texts, 3)

    def backwards(function, calls):
        assert len(calls) > 10
        return ((number, function(*calls[number])) for number in reversed(range(len(calls))))

    def verdict(*spread):
        given = (signed.signatures, signed.is_signed, np.arange(len(texts))[::-1])
        fetch = lambda rows: shingles_in([texts[row] for row in rows], 3)  # noqa: E731
        return find_near_duplicates(*given, fetch, NearConfig(threshold=0.6), *spread)

    one, other = verdict(), verdict(backwards)
    assert np.count_nonzero(one.duplicate_of >= 0) > 40
    for name in ("duplicate_of", "similarity", "cluster"):
        assert np.array_equal(getattr(one, name), getattr(other, name), equal_nan=name == "similarity")
