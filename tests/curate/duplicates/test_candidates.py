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
        found = Candidates(buckets, survivor, label)
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
