"""Plain texts longer than a row are cut into pieces, by tokens: none is lost and none is trained twice."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sftdata.encode.encoded import EncodedSample
from sftdata.encode.overlong import split_text

BOS, EOS = 1, 2


def text_sample(*ids: int) -> EncodedSample:
    """The sample of a plain text: all but the first token is trained."""
    return EncodedSample(np.array(ids, np.int32), np.array([-100, *ids[1:]], np.int32), (0,))


def shown(pieces: list[EncodedSample]) -> list[tuple[list[int], list[int], tuple[int, ...]]]:
    """The pieces as lists."""
    return [(piece.input_ids.tolist(), piece.labels.tolist(), piece.turns) for piece in pieces]


def test_each_piece_begins_with_bos_and_the_last_ends_with_eos() -> None:
    assert shown(split_text(text_sample(BOS, 10, 11, 12, 13, 14, EOS), 4, BOS)) == [
        ([BOS, 10, 11, 12], [-100, 10, 11, 12], (0,)),
        ([BOS, 13, 14, EOS], [-100, 13, 14, EOS], (1,)),
    ]


def test_without_bos_the_token_before_a_piece_is_its_context() -> None:
    assert shown(split_text(text_sample(10, 11, 12, 13, 14, EOS), 4, None)) == [
        ([10, 11, 12, 13], [-100, 11, 12, 13], (0,)),
        ([13, 14, EOS], [-100, 14, EOS], (1,)),
    ]


def test_eos_is_never_alone_in_a_piece() -> None:
    assert shown(split_text(text_sample(BOS, 10, 11, 12, EOS), 4, BOS)) == [
        ([BOS, 10, 11], [-100, 10, 11], (0,)),
        ([BOS, 12, EOS], [-100, 12, EOS], (1,)),
    ]


@given(st.integers(3, 60), st.integers(3, 20), st.booleans())
def test_every_token_is_trained_once_and_no_piece_is_too_long(size: int, seq_len: int, has_bos: bool) -> None:
    ids = [*([BOS] if has_bos else []), *range(10, 10 + size), EOS]
    pieces = split_text(text_sample(*ids), seq_len, BOS if has_bos else None)
    trained = [label for piece in pieces for label in piece.labels.tolist() if label != -100]
    assert trained == ids[1:]
    assert all(2 <= len(piece.input_ids) <= seq_len for piece in pieces)


@pytest.mark.parametrize("size", [2, 3])
def test_a_text_that_fits_is_one_piece(size: int) -> None:
    ids = [BOS, *range(10, 9 + size), EOS]
    assert shown(split_text(text_sample(*ids), 8, BOS)) == [(ids, [-100, *ids[1:]], (0,))]
