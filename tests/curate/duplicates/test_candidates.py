"""Pairs to compare, checked against their definition on small buckets."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from sftdata.curate.duplicates import candidates
from sftdata.curate.duplicates.buckets import Banding, Buckets, sort_into_buckets
from sftdata.curate.duplicates.candidates import Candidates


def by_definition(signatures: np.ndarray, survivor: np.ndarray, label: np.ndarray) -> set[tuple[int, int]]:
    """Pairs that agree in some column (a band of one number) and are in different clusters, or both kept."""
    pairs = set()
    for own in range(len(signatures)):
        for other in range(own + 1, len(signatures)):
            together = (signatures[own] == signatures[other]).any()
            both_kept = survivor[own] < 0 and survivor[other] < 0
            if together and (both_kept or label[own] != label[other]):
                pairs.add((own, other))
    return pairs


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_every_pair_comes_once_and_in_order_with_any_limits(data: st.DataObject) -> None:
    count, columns = data.draw(st.integers(1, 30)), data.draw(st.integers(1, 4))
    numbers = st.lists(st.integers(0, 4), min_size=columns, max_size=columns)
    signatures = np.array(data.draw(st.lists(numbers, min_size=count, max_size=count)), np.uint16)
    survivor = np.array(data.draw(st.lists(st.sampled_from([-1, -1, 0]), min_size=count, max_size=count)), np.int64)
    label = np.array(data.draw(st.lists(st.integers(0, 3), min_size=count, max_size=count)), np.int64)
    limits = {name: getattr(candidates, name) for name in ("_NODES_AT_ONCE", "_PAIRS_AT_ONCE", "_LONG")}
    try:
        for name, high in (("_NODES_AT_ONCE", 8), ("_PAIRS_AT_ONCE", 20), ("_LONG", 6)):
            setattr(candidates, name, data.draw(st.integers(1, high)))
        buckets = Buckets.of(*sort_into_buckets(signatures, np.arange(count), Banding(columns, 1)), count)
        found = Candidates(buckets, survivor, label, lambda nodes: signatures[nodes], max_comparisons=30)
        pairs: list[tuple[int, int]] = []
        node = 0
        while node < count:
            own, other, after = found.pairs(node)
            assert node < after <= count
            assert all(node <= one < after for one in own.tolist())
            pairs += zip(own.tolist(), other.tolist(), strict=True)
            node = after
    finally:
        for name, limit in limits.items():
            setattr(candidates, name, limit)
    assert pairs == sorted(by_definition(signatures, survivor, label))
    assert not found.limited.any()


def count_pairs(count: int, max_comparisons: int) -> tuple[int, Candidates]:
    """The number of pairs to compare where all nodes share the first number of their signatures, and no other."""
    signatures = np.arange(8 * count, dtype=np.uint16).reshape(count, 8)
    signatures[:, 0] = 7
    buckets = Buckets.of(*sort_into_buckets(signatures, np.arange(count), Banding(1, 1)), count)
    unlike = np.full(count, -1, np.int64), np.arange(count)
    found = Candidates(buckets, *unlike, lambda nodes: signatures[nodes], max_comparisons)
    number = node = 0
    while node < count:
        own, _, node = found.pairs(node)
        number += len(own)
    return number, found


def test_the_pairs_of_a_template_grow_with_its_rows_and_not_with_their_square() -> None:
    once, some = count_pairs(2000, 20)
    four_times, more = count_pairs(8000, 20)
    # 20 for each node and those of one more node, then up to 16 neighbours; all pairs of the last 257 nodes.
    assert once <= 2000 * (20 + 1 + 16) + 257 * 256 // 2
    assert four_times <= 5 * once
    assert some.limited.sum() > 1500 and more.limited.sum() > 6000
    everything, exact = count_pairs(2000, 2000)
    assert everything == 2000 * 1999 // 2
    assert not exact.limited.any()


def test_the_most_alike_nodes_of_an_exhausted_bucket_are_compared() -> None:
    generator = np.random.default_rng(1)
    half = generator.integers(0, 1 << 16, (1000, 16)).astype(np.uint16)
    half[:, :4] = 7  # of all nodes
    signatures = np.concatenate([half, half])
    signatures[1000:, -1] = 3  # node i + 1000 differs from node i in one number
    buckets = Buckets.of(*sort_into_buckets(signatures, np.arange(2000), Banding(1, 4)), 2000)
    unlike = np.full(2000, -1, np.int64), np.arange(2000)
    found = Candidates(buckets, *unlike, lambda nodes: signatures[nodes], 1)
    pairs: set[tuple[int, int]] = set()
    node = 0
    while node < 2000:
        own, other, node = found.pairs(node)
        pairs.update(zip(own.tolist(), other.tolist(), strict=True))
    assert {(node, node + 1000) for node in range(1000)} <= pairs
    assert len(pairs) < 2000 * 30
