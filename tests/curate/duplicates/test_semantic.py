"""Semantic duplicates, with an encoder whose vectors are written by hand."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pytest

from sftdata.curate.duplicates import semantic
from sftdata.curate.duplicates.embedding import embed
from sftdata.curate.duplicates.near import Verdict
from sftdata.curate.duplicates.semantic import find_semantic_duplicates

pytest.importorskip("faiss", reason="the extra `semantic` is not installed")


class Angles:
    """Reads a text as an angle in degrees: the cosine of two texts is that of their difference."""

    def encode(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        angles = np.radians([float(text) for text in texts])
        return 7 * np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def judge(degrees: list[float], closer_than: float, order: list[int] | None = None) -> Verdict:
    vectors, embedded = embed([str(one) for one in degrees], Angles())
    preference = np.arange(len(degrees)) if order is None else np.array(order)
    return find_semantic_duplicates(vectors, embedded, preference, float(np.cos(np.radians(closer_than))))


def test_a_row_close_to_a_kept_one_is_dropped_for_the_closest():
    verdict = judge([0, 20, 14, 90], closer_than=15)
    assert verdict.duplicate_of.tolist() == [-1, -1, 1, -1]
    assert verdict.similarity[2] == 0.9945  # the cosine of 6 degrees, to four decimals
    assert verdict.cluster.tolist() == [0, 0, 0, 3]


def test_a_chain_does_not_drop_a_row_that_is_far_from_every_kept_one():
    assert judge([0, 10, 20, 30], closer_than=15).duplicate_of.tolist() == [-1, 0, -1, 2]


def test_the_preferred_row_is_kept_and_rows_without_preference_are_ignored():
    assert judge([0, 5, 7], closer_than=15, order=[2, 1]).duplicate_of.tolist() == [-1, 2, -1]


def test_a_row_without_a_vector_is_ignored():
    vectors = np.array([[1, 0], [1, 0], [1, 0]], np.float32)
    verdict = find_semantic_duplicates(vectors, np.array([True, False, True]), np.arange(3), 0.9)
    assert verdict.duplicate_of.tolist() == [-1, -1, 0]
    nothing = find_semantic_duplicates(np.empty((2, 0), np.float32), np.zeros(2, bool), np.arange(2), 0.9)
    assert nothing.duplicate_of.tolist() == [-1, -1]


def test_equal_vectors_reach_the_threshold_of_one_although_their_product_does_not():
    rng = np.random.default_rng(3)
    vectors = rng.normal(size=(40, 384)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    assert (np.einsum("ij,ij->i", vectors, vectors) < 1).any()
    verdict = find_semantic_duplicates(np.concatenate([vectors, vectors]), np.ones(80, bool), np.arange(80), 1.0)
    assert verdict.duplicate_of.tolist() == [-1] * 40 + list(range(40))
    assert set(verdict.similarity[40:]) == {1.0}


def test_of_equally_close_rows_the_first_is_named():
    assert judge([0, 20, 10], closer_than=15).duplicate_of.tolist() == [-1, -1, 0]
    assert judge([0, 20, 10], closer_than=15, order=[1, 0, 2]).duplicate_of.tolist() == [-1, -1, 1]


@pytest.mark.parametrize("kept_bytes", [1 << 26, 64 * 100])  # all kept rows at once, or a hundred of them
def test_over_many_blocks_the_result_is_that_of_brute_force(monkeypatch: pytest.MonkeyPatch, kept_bytes: int):
    monkeypatch.setattr(semantic, "_KEPT_BYTES", kept_bytes)
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(300, 16))
    vectors = (centres[rng.integers(0, 300, 3000)] + 0.15 * rng.normal(size=(3000, 16))).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    verdict = find_semantic_duplicates(vectors, np.ones(3000, bool), np.arange(3000), 0.95)

    kept: list[int] = []
    linked: dict[int, set[int]] = {row: {row} for row in range(3000)}
    for row in range(3000):
        cosines = vectors[kept].astype(np.float64) @ vectors[row].astype(np.float64)
        close = [kept[place] for place in np.flatnonzero(cosines >= 0.94995).tolist()]
        if close:
            assert cosines[kept.index(int(verdict.duplicate_of[row]))] > cosines.max() - 1e-4
            assert verdict.similarity[row] == pytest.approx(cosines.max(), abs=1e-4)
            together = set.union(*(linked[other] for other in [*close, row]))
            linked.update(dict.fromkeys(together, together))
        else:
            kept.append(row)
            assert verdict.duplicate_of[row] == -1
    assert 250 < len(kept) < 2500
    assert [verdict.cluster[row] for row in range(3000)] == [min(linked[row]) for row in range(3000)]
