"""Loss, accuracy, perplexity and bits per byte from sums, with answers by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from sfttrain.evaluate.figures import Sums, figures_of


def test_figures_are_ratios_of_sums_over_tokens_and_bytes():
    # Source a: first turn 2 tokens (1 nat each, one right), second turn 1 token (4 nats). Source b: later 1 token, 0.
    cells = np.array([0, 0, 1, 5])
    sums = Sums.of(cells, np.array([1.0, 1.0, 4.0, 0.0]), np.array([True, False, False, True]), 6)
    found = figures_of(sums, np.array([10, 2, 0, 0, 0, 4]), ["a", "b"])
    assert found["loss"] == 1.5  # 6 nats over 4 tokens
    assert found["accuracy"] == 0.5
    assert found["perplexity"] == pytest.approx(math.e**1.5)
    assert found["bits_per_byte"] == pytest.approx(6 / math.log(2) / 16)
    assert (found["tokens"], found["bytes"]) == (4, 16)
    assert {name: one["loss"] for name, one in found["sources"].items()} == {"a": 2.0, "b": 0.0}
    assert {name: one["tokens"] for name, one in found["turns"].items()} == {"first": 2, "second": 1, "later": 1}
    assert found["turns"]["second"]["bits_per_byte"] == pytest.approx(4 / math.log(2) / 2)


def test_what_has_no_tokens_has_no_figures_and_text_of_no_bytes_no_bits():
    found = figures_of(Sums.of(np.array([0]), np.array([900.0]), np.array([False]), 3), np.array([0, 0, 0]), [])
    assert list(found["turns"]) == ["first"]
    assert found["sources"] == {}
    assert found["bits_per_byte"] is None
    assert found["perplexity"] is None  # larger than any float


def test_sums_of_two_processes_add_up_to_those_of_one():
    one = Sums.of(np.array([0, 1]), np.array([1.0, 2.0]), np.array([True, False]), 3)
    other = Sums.of(np.array([1]), np.array([3.0]), np.array([True]), 3)
    both = Sums.from_rows((one + other).as_rows())
    assert (both.loss.tolist(), both.correct.tolist(), both.tokens.tolist()) == ([1, 5, 0], [1, 1, 0], [1, 2, 0])
