"""fastokens encodes only if it gives the ids of tokenizers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from sftdata.encode.tokenizer.encoder import Encoder
from sftdata.errors import TokenizerError


@pytest.fixture
def wrong_ids(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes fastokens give a wrong id for texts with an x."""
    encode = Encoder._encode_fast

    def encode_wrongly(self: Encoder, texts: Sequence[str]) -> Any:
        ids, offsets = encode(self, texts)
        return (ids + 1 if any("x" in text for text in texts) else ids), offsets

    monkeypatch.setattr(Encoder, "_encode_fast", encode_wrongly)


def test_fastokens_encodes_if_it_passes_the_self_test(byte_level: Any) -> None:
    encoder = Encoder(byte_level.to_str())
    assert encoder.backend == "fastokens"
    assert encoder.encode_each(["a b"])[0].tolist() == byte_level.encode("a b").ids


@pytest.mark.usefixtures("wrong_ids")
def test_tokenizers_encodes_if_fastokens_fails_the_self_test(byte_level: Any) -> None:
    encoder = Encoder(byte_level.to_str())
    assert encoder.backend == "tokenizers"
    assert encoder.encode_each(["x"])[0].tolist() == byte_level.encode("x").ids
    assert encoder.agrees(["x"])


@pytest.mark.usefixtures("wrong_ids")
def test_without_the_self_test_fastokens_encodes_and_the_caller_sees_that_it_disagrees(byte_level: Any) -> None:
    encoder = Encoder(byte_level.to_str(), self_test=False)
    assert encoder.backend == "fastokens"
    assert not encoder.agrees([])


def test_an_id_that_the_tokenizer_does_not_give_is_translated(byte_level: Any) -> None:
    plain = byte_level.encode("</s>a").ids
    encoder = Encoder(byte_level.to_str(), token_ids={"</s>": 2000})
    assert encoder.encode_each(["</s>a"])[0].tolist() == [2000, *plain[1:]]


class PanicException(BaseException):
    """As a library in Rust raises it."""


class Panics:
    """A tokenizer that was loaded, and panics on text."""

    def token_to_id(self, token: str) -> int | None:
        return None

    def encode_batch_fast(self, texts: list[str], *, add_special_tokens: bool) -> Any:
        raise PanicException("index out of bounds: the len is 9 but the index is 9")

    def encode_batch_flat(self, texts: list[str]) -> Any:
        raise PanicException("index out of bounds: the len is 9 but the index is 9")


def test_a_tokenizer_that_panics_on_text_is_one_sentence(byte_level: Any) -> None:
    encoder = Encoder(byte_level.to_str())
    encoder.__dict__.update(_slow=Panics(), _fast=Panics())
    with pytest.raises(TokenizerError, match=r"which then fails on text \(index out of bounds"):
        encoder.encode(["a"])


def test_where_fastokens_panics_tokenizers_encodes(byte_level: Any) -> None:
    encoder = Encoder(byte_level.to_str())
    encoder.__dict__.update(_fast=Panics())
    ids, offsets = encoder.encode(["Paris", ""])
    assert ids.tolist() == byte_level.encode("Paris", add_special_tokens=False).ids
    assert offsets.tolist() == [0, len(ids), len(ids)]
