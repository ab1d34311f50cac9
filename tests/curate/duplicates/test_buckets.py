"""Buckets of signatures, and parts of rows that share no bucket, against components found by joining sets."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sftdata.curate.duplicates.buckets import (
    Banding,
    Buckets,
    band_keys,
    choose_banding,
    component_parts,
    sort_into_buckets,
)
from sftdata.curate.duplicates.near import NUM_HASHES


@pytest.mark.parametrize("threshold", [0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0])
def test_bands_miss_few_pairs_at_the_threshold(threshold: float):
    bands, width = choose_banding(threshold, NUM_HASHES)
    assert bands * width <= NUM_HASHES
    assert 1 - (1 - threshold**width) ** bands >= 0.99


def test_nodes_with_equal_signatures_share_every_bucket_and_others_none():
    signatures = np.arange(4 * 6, dtype=np.uint16).reshape(4, 6)
    signatures[3] = signatures[1]
    signatures[2, :2] = signatures[0, :2]
    buckets = Buckets.of(*sort_into_buckets(signatures, np.arange(4), Banding(bands=3, width=2)), 4)
    members, ends = buckets.members.tolist(), buckets.ends.tolist()
    groups = sorted(tuple(members[start:end]) for start, end in {(ends.index(end), end) for end in ends})
    assert groups == [(0, 2), (1, 3), (1, 3), (1, 3)]
    for node in range(4):
        places = buckets.places[buckets.firsts[node] : buckets.firsts[node + 1]].tolist()
        assert [members[place] for place in places] == [node] * members.count(node)


@st.composite
def signatures(draw: st.DrawFn) -> np.ndarray:
    """Some rows of numbers that are often equal, or linked in long chains."""
    columns = draw(st.integers(1, 3))
    if draw(st.booleans()):
        rows = st.lists(st.integers(0, 12), min_size=columns, max_size=columns)
        return np.array(draw(st.lists(rows, min_size=1, max_size=30)), np.uint16).reshape(-1, columns)
    order = np.array(draw(st.permutations(range(draw(st.integers(1, 40))))))
    return np.stack([order // 2, (order + 1) // 2], axis=1).astype(
        np.uint16
    )  # each shares a number with the ones before and after


def parts_of(numbers: np.ndarray, rows: np.ndarray, parts: int) -> np.ndarray:
    """The parts, with a band for each column."""
    keys = band_keys(numbers, Banding(numbers.shape[1], 1))
    return component_parts([partial(np.take, band, rows) for band in keys], len(rows), parts)


def linked(rows: np.ndarray) -> list[set[int]]:
    """For each row, the rows of its component: linked by rows that agree in a column."""
    groups = [{row} for row in range(len(rows))]
    for one in range(len(rows)):
        for other in range(one):
            if (rows[one] == rows[other]).any() and groups[one] is not groups[other]:
                groups[one] |= groups[other]
                for row in groups[other]:
                    groups[row] = groups[one]
    return groups


@given(signatures(), st.integers(1, 6), st.data())
@settings(max_examples=300, deadline=None)
def test_nodes_linked_by_a_chain_of_buckets_share_a_part_and_lone_nodes_have_none(
    numbers: np.ndarray, parts: int, data: st.DataObject
) -> None:
    rows = np.array(data.draw(st.permutations(range(len(numbers)))))
    found = parts_of(numbers, rows, parts)
    part_of = dict(zip(rows.tolist(), found.tolist(), strict=True))
    for row, group in enumerate(linked(numbers)):
        assert {part_of[other] for other in group} == {part_of[row]}
        assert (part_of[row] == -1) == (len(group) == 1)
    assert max(part_of.values()) < parts


@given(signatures(), st.integers(1, 6))
@settings(max_examples=300, deadline=None)
def test_no_two_nodes_that_share_a_bucket_are_in_different_parts(numbers: np.ndarray, parts: int) -> None:
    banding, rows = Banding(numbers.shape[1], 1), np.arange(len(numbers))
    part = parts_of(numbers, rows, parts)
    members, sizes = sort_into_buckets(numbers, rows, banding)
    for bucket in np.split(members, np.cumsum(sizes)[:-1]):
        assert len(set(part[bucket].tolist())) <= 1


def test_parts_have_about_as_many_pairs_each() -> None:
    numbers = np.repeat(np.arange(100, dtype=np.uint16), 3)[:, None]  # a hundred buckets of three
    part = parts_of(numbers, np.arange(300), 10)
    assert np.bincount(part).tolist() == [30] * 10


def test_a_component_is_never_cut_however_large_it_is() -> None:
    numbers = np.array([0] * 50 + [1, 1, 2], np.uint16)[:, None]
    part = parts_of(numbers, np.arange(53), 10)
    assert len(set(part[:50].tolist())) == 1
    assert part[50] == part[51] != part[0]
    assert part[52] == -1
