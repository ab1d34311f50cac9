"""In which order the sequences are trained, by hand: each once an epoch, also where processes do not divide them."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sfttrain.trainer.order import EpochOrder, WithBlanks, epoch_order


def test_the_first_epoch_is_in_the_order_of_the_shards_whatever_the_seed():
    assert epoch_order(5, 0, seed=0).tolist() == [0, 1, 2, 3, 4]
    assert epoch_order(5, 0, seed=7).tolist() == [0, 1, 2, 3, 4]


def test_each_later_epoch_has_another_order_which_the_seed_draws():
    # From splitmix64 in Python's own numbers: sorted(range(8), key=lambda row: mix(mix(mix(seed) + epoch) + row)).
    assert epoch_order(8, 1, seed=0).tolist() == [7, 0, 1, 6, 3, 4, 5, 2]
    assert epoch_order(8, 2, seed=0).tolist() == [0, 3, 2, 6, 4, 7, 1, 5]
    assert epoch_order(8, 1, seed=1).tolist() == [6, 1, 2, 5, 0, 4, 3, 7]


def test_sorted_by_length_the_shortest_come_first_and_equal_ones_in_the_order_of_the_epoch():
    lengths = [9, 3, 9, 3, 1]
    assert epoch_order(5, 0, seed=0, lengths=lengths).tolist() == [4, 1, 3, 0, 2]
    order = epoch_order(5, 1, seed=0).tolist()
    expected = [4, *(row for row in order if row in (1, 3)), *(row for row in order if row in (0, 2))]
    assert epoch_order(5, 1, seed=0, lengths=lengths).tolist() == expected


def test_blanks_fill_the_last_round_of_several_processes_and_no_sequence_is_repeated():
    order = EpochOrder(5, rows_per_round=4)
    assert list(order) == [0, 1, 2, 3, 4, 5, 6, 7]
    assert len(order) == 8
    rows = [{"input_ids": [number, 3], "labels": [-100, 3], "seq_lengths": [2]} for number in range(5)]

    class Rows(list):  # type: ignore[type-arg]
        def __getitems__(self, numbers: list[int]) -> list[object]:
            return [self[number] for number in numbers]

    data = WithBlanks(Rows(rows), len(order), 2)
    blank = {"input_ids": [2], "labels": [-100], "seq_lengths": [1]}
    assert data.__getitems__([2, 4, 5]) == [rows[2], rows[4], blank]
    assert data[7] == blank
    assert data[3] == rows[3]


@given(rows=st.integers(0, 300), epoch=st.integers(0, 5), seed=st.integers(0, 2**70), per_round=st.integers(1, 9))
def test_every_sequence_is_trained_once_an_epoch(rows: int, epoch: int, seed: int, per_round: int):
    order = EpochOrder(rows, per_round, seed, epoch=epoch)
    numbers = list(order)
    assert sorted(numbers) == list(range(len(order)))
    assert len(order) % per_round == 0
    assert 0 <= len(order) - rows < per_round
    assert numbers[rows:] == list(range(rows, len(order)))


def test_a_sort_by_length_changes_nothing_but_the_order():
    lengths = np.arange(50)[::-1].tolist()
    assert list(EpochOrder(50, 1, 3, lengths, epoch=4)) == list(range(50))[::-1]
