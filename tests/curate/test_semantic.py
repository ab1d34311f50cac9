"""Semantic duplicates, with an encoder whose vectors are written by hand."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from sftdata.curate.near import Verdict
from sftdata.curate.semantic import SentenceEncoder, embed, find_semantic_duplicates
from sftdata.errors import ConfigError

pytest.importorskip("faiss", reason="the extra `semantic` is not installed")


class Angles:
    """Reads a text as degrees on a circle: the cosine of two texts is that of their difference."""

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
    assert verdict.similarity[2] == pytest.approx(np.cos(np.radians(6)))
    assert verdict.cluster.tolist() == [0, 0, 0, 3]


def test_no_chain_drops_a_row_that_is_far_from_every_kept_one():
    assert judge([0, 10, 20, 30], closer_than=15).duplicate_of.tolist() == [-1, 0, -1, 2]


def test_the_preferred_row_survives_and_rows_not_in_it_take_no_part():
    assert judge([0, 5, 7], closer_than=15, order=[2, 1]).duplicate_of.tolist() == [-1, 2, -1]


def test_vectors_have_length_one_and_blank_texts_none():
    class Constant:
        def encode(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
            return np.array([[3, 4] if text != "zero" else [0, 0] for text in texts], np.float32)

    vectors, embedded = embed(["a", " ", "zero", "b"], Constant())
    assert vectors[0].tolist() == pytest.approx([0.6, 0.8])
    assert embedded.tolist() == [True, False, False, True]
    assert find_semantic_duplicates(vectors, embedded, np.arange(4), 0.9).duplicate_of.tolist() == [-1, -1, -1, 0]


def test_over_many_blocks_the_result_is_that_of_brute_force():
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(300, 16))
    vectors = (centres[rng.integers(0, 300, 3000)] + 0.15 * rng.normal(size=(3000, 16))).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    verdict = find_semantic_duplicates(vectors, np.ones(3000, bool), np.arange(3000), 0.95)

    kept: list[int] = []
    for row in range(3000):
        cosines = vectors[kept].astype(np.float64) @ vectors[row].astype(np.float64)
        if len(kept) and cosines.max() >= 0.95:
            assert verdict.duplicate_of[row] == kept[int(cosines.argmax())]
            assert verdict.similarity[row] == pytest.approx(cosines.max(), abs=1e-6)
            assert verdict.cluster[row] == verdict.cluster[verdict.duplicate_of[row]]
        else:
            kept.append(row)
            assert verdict.duplicate_of[row] == -1
    assert 250 < len(kept) < 2500


def test_a_model_that_is_not_there_is_named(tmp_path: Path):
    with pytest.raises(ConfigError, match="nowhere is not a folder"):
        SentenceEncoder(tmp_path / "nowhere")
