"""sftdata.store.pack: exact best-fit decreasing, for few and many samples per length."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sftdata.store.pack import best_fit_decreasing, one_per_row, pack


def by_the_rule(lengths: list[int], seq_len: int) -> list[tuple[int, int]]:
    """Best-fit decreasing in the simplest form: row and index of each sample."""
    room: list[int] = []
    num_samples: list[int] = []
    places = [(-1, -1)] * len(lengths)
    for sample in sorted(range(len(lengths)), key=lambda sample: (-lengths[sample], sample)):
        fitting = [row for row in range(len(room)) if room[row] >= lengths[sample]]
        if fitting:
            row = min(fitting, key=lambda row: (room[row], row))
        else:
            row = len(room)
            room.append(seq_len)
            num_samples.append(0)
        places[sample] = (row, num_samples[row])
        room[row] -= lengths[sample]
        num_samples[row] += 1
    return places


def places_of(lengths: list[int], seq_len: int) -> list[tuple[int, int]]:
    packing = best_fit_decreasing(np.array(lengths, np.int64), seq_len)
    return list(zip(packing.row.tolist(), packing.index.tolist(), strict=True))


@st.composite
def few_per_length(draw: st.DrawFn) -> tuple[list[int], int]:
    seq_len = draw(st.integers(1, 200))
    return draw(st.lists(st.integers(1, seq_len), max_size=120)), seq_len


@st.composite
def many_per_length(draw: st.DrawFn) -> tuple[list[int], int]:
    seq_len = draw(st.integers(1, 60))
    counts = draw(st.lists(st.tuples(st.integers(1, seq_len), st.integers(1, 60)), min_size=1, max_size=8))
    lengths = [length for length, count in counts for _ in range(count + 16)]
    return draw(st.permutations(lengths)), seq_len


@given(few_per_length())
@settings(max_examples=300, deadline=None)
def test_few_samples_per_length_are_packed_by_the_rule(case: tuple[list[int], int]) -> None:
    assert places_of(*case) == by_the_rule(*case)


@given(many_per_length())
@settings(max_examples=150, deadline=None)
def test_many_samples_per_length_are_packed_by_the_rule(case: tuple[list[int], int]) -> None:
    assert places_of(*case) == by_the_rule(*case)


@pytest.mark.parametrize("seq_len", [40, 70_000])
def test_five_samples_are_packed_as_computed_by_hand(seq_len: int) -> None:
    # room 10: the 7 opens row 0, the 6 row 1; 4 fills row 1 and 3 row 0; the 2 opens row 2.
    unit = seq_len // 10
    lengths = np.array([2, 7, 4, 3, 6]) * unit
    packing = best_fit_decreasing(lengths, seq_len)
    assert packing.row.tolist() == [2, 0, 1, 0, 1]
    assert packing.index.tolist() == [0, 0, 1, 1, 0]
    assert packing.order().tolist() == [1, 3, 4, 2, 0]
    assert packing.row_starts().tolist() == [0, 2, 4, 5]
    assert packing.num_rows == 3


def test_a_sample_goes_into_the_fullest_row_with_room_not_the_first() -> None:
    # rows with 7 and 8 tokens are open; 2 more fit into both, and the row with 8 is fuller
    assert best_fit_decreasing(np.array([7, 8, 2]), 10).row.tolist() == [1, 0, 0]


@given(st.lists(st.integers(1, 300), max_size=400))
@settings(deadline=None)
def test_no_row_is_overfilled_and_no_place_is_given_twice(lengths: list[int]) -> None:
    packing = best_fit_decreasing(np.array(lengths, np.int64), 300)
    filled = np.bincount(packing.row, weights=np.array(lengths, float), minlength=packing.num_rows)
    assert (filled <= 300).all()
    assert len({*zip(packing.row.tolist(), packing.index.tolist(), strict=True)}) == len(lengths)
    assert sorted(packing.order().tolist()) == list(range(len(lengths)))


def test_a_million_ordinary_lengths_fill_rows_to_more_than_99_5_percent() -> None:
    random = np.random.default_rng(0)
    lengths = np.clip(random.lognormal(5.3, 0.9, 1_000_000).astype(np.int64), 1, 2048)
    packing = best_fit_decreasing(lengths, 2048)
    filled = np.bincount(packing.row, weights=lengths, minlength=packing.num_rows)
    assert filled.max() <= 2048
    assert lengths.sum() / (packing.num_rows * 2048) > 0.995


def test_one_per_row_keeps_the_order() -> None:
    packing = pack(np.array([3, 1, 2]), 3, "none")
    assert packing.row.tolist() == [0, 1, 2]
    assert packing.index.tolist() == [0, 0, 0]
    assert packing.order().tolist() == [0, 1, 2]


def test_no_samples_give_no_rows() -> None:
    packing = best_fit_decreasing(np.array([], np.int64), 8)
    assert (packing.num_rows, packing.order().tolist(), packing.row_starts().tolist()) == (0, [], [0])


@pytest.mark.parametrize("length", [0, -1, 9])
def test_a_length_that_fits_no_row_is_rejected(length: int) -> None:
    for packer in (best_fit_decreasing, one_per_row):
        with pytest.raises(ValueError, match="lengths must be 1 to 8"):
            packer(np.array([4, length]), 8)
