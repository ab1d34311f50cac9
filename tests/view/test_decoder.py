"""sftdata.view.decoder: the text of each token, for every kind of decoder that chat models have."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

from sftdata.errors import DatasetError
from sftdata.view.decoder import Decoder

BYTES = {f"<0x{byte:02X}>": 5 + byte for byte in range(256)}  # byte b has the id 5 + b
ENTRIES = {"<unk>": 0, "▁": 1, "a": 2, "▁a": 3, "b": 4, **BYTES}


def byte_level() -> Tokenizer:
    """One token per byte (id = position in the alphabet), and added tokens inside and outside the alphabet."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={char: at for at, char in enumerate(alphabet)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_tokens(["a b", "é", "日本", AddedToken("<|end|>", special=True)])
    return tokenizer


def sentencepiece() -> Tokenizer:
    """Llama 2's and Mistral's decoder: byte fallback, and the first space stripped."""
    tokenizer = Tokenizer(models.BPE(vocab=ENTRIES, merges=[("▁", "a")], byte_fallback=True, unk_token="<unk>"))
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    tokenizer.add_special_tokens(["<s>", "</s>"])
    return tokenizer


def gemma() -> Tokenizer:
    """The same without stripping."""
    tokenizer = sentencepiece()
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    return tokenizer


def metaspace() -> Tokenizer:
    tokenizer = sentencepiece()
    tokenizer.decoder = decoders.Metaspace()
    return tokenizer


def wordpiece() -> Tokenizer:
    """A decoder that joins with spaces and cleans up before punctuation."""
    entries = {"[UNK]": 0, "do": 1, "not": 2, "##s": 3, ".": 4, "'": 5, "a": 6, "n't": 7}
    tokenizer = Tokenizer(models.WordPiece(vocab=entries, unk_token="[UNK]"))
    tokenizer.decoder = decoders.WordPiece()
    return tokenizer


def rewriting() -> Tokenizer:
    """A decoder that changes text across token boundaries. No known tokenizer does this."""
    tokenizer = sentencepiece()
    tokenizer.decoder = decoders.Sequence([decoders.Fuse(), decoders.Replace("ab", "X")])
    return tokenizer


def no_decoder() -> Tokenizer:
    return Tokenizer(models.WordLevel(vocab={"x": 0, "yy": 1, "<0xE4>": 2}, unk_token="x"))


KINDS = {
    make.__name__: make() for make in (byte_level, sentencepiece, gemma, metaspace, wordpiece, rewriting, no_decoder)
}


def texts(tokenizer: Tokenizer, ids: list[int]) -> list[tuple[int, int, str]]:
    return [(span.start, span.end, span.text) for span in Decoder(tokenizer).spans(ids)]


def byte_ids(text: str | bytes) -> list[int]:
    """Byte tokens of the SentencePiece vocabulary above."""
    data = text.encode() if isinstance(text, str) else text
    return [5 + byte for byte in data]


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_spans_of_any_ids_join_to_the_decoded_text_and_cover_each_token_once(kind, data):
    tokenizer = KINDS[kind]
    ids = data.draw(st.lists(st.integers(0, tokenizer.get_vocab_size() + 2), max_size=40))
    spans = Decoder(tokenizer).spans(ids)
    assert "".join(span.text for span in spans) == tokenizer.decode(ids, skip_special_tokens=False)
    assert [at for span in spans for at in range(span.start, span.end)] == list(range(len(ids)))
    assert all(span.start < span.end for span in spans)


@settings(max_examples=100, deadline=None)
@given(text=st.text())
def test_spans_of_a_text_join_to_the_text(text):
    alphabet = KINDS["byte_level"]
    ids = [
        id_ for token in alphabet.pre_tokenizer.pre_tokenize_str(text) for id_ in map(alphabet.token_to_id, token[0])
    ]
    assert "".join(span.text for span in Decoder(alphabet).spans(ids)) == text


def test_the_bytes_of_one_character_share_a_span():
    tokenizer = KINDS["byte_level"]
    ids = tokenizer.encode("a€b").ids
    assert len(ids) == 5
    assert texts(tokenizer, ids) == [(0, 1, "a"), (1, 4, "€"), (4, 5, "b")]
    assert texts(sentencepiece(), [2, *byte_ids("€"), 4]) == [(0, 1, "a"), (1, 4, "€"), (4, 5, "b")]


def test_two_characters_of_byte_tokens_are_two_spans():
    assert texts(sentencepiece(), [2, *byte_ids("é你")]) == [(0, 1, "a"), (1, 3, "é"), (3, 6, "你")]


def test_invalid_bytes_become_replacement_characters():
    alphabet = KINDS["byte_level"]
    e4 = alphabet.token_to_id("ä")  # the byte E4 starts a character of three bytes
    a = alphabet.token_to_id("a")
    assert texts(alphabet, [e4, a, e4]) == [(0, 2, "\ufffda"), (2, 3, "\ufffd")]
    assert texts(sentencepiece(), [2, *byte_ids(b"\xe4\xbd"), 4]) == [
        (0, 1, "a"),
        (1, 2, "\ufffd"),
        (2, 3, "\ufffd"),
        (3, 4, "b"),
    ]


def test_a_stripped_leading_space_is_missing_from_the_first_span_only():
    assert texts(sentencepiece(), [3, 3]) == [(0, 1, "a"), (1, 2, " a")]
    assert texts(sentencepiece(), [1, 3]) == [(0, 1, ""), (1, 2, " a")]
    assert texts(gemma(), [3, 3]) == [(0, 1, " a"), (1, 2, " a")]


def test_an_id_outside_the_vocabulary_is_an_empty_span():
    assert texts(KINDS["byte_level"], [99999]) == [(0, 1, "")]
    assert Decoder(KINDS["byte_level"]).name(99999) == "not in the vocabulary"


def test_a_token_is_named_by_its_bytes_or_its_vocabulary_entry():
    tokenizer = KINDS["byte_level"]
    assert Decoder(tokenizer).name(tokenizer.token_to_id("ä")) == "bytes E4"
    assert Decoder(sentencepiece()).name(5 + 0xE4) == "<0xE4>"


def test_special_tokens_are_known():
    tokenizer = KINDS["byte_level"]
    assert Decoder(tokenizer).special_ids == {tokenizer.token_to_id("<|end|>")}


def test_a_long_text_of_a_rewriting_decoder_has_at_most_2048_spans():
    tokenizer = KINDS["rewriting"]
    ids = [2, 4, 3] * 1000
    spans = Decoder(tokenizer).spans(ids)
    assert "".join(span.text for span in spans) == tokenizer.decode(ids, skip_special_tokens=False)
    assert 1000 < len(spans) <= 2048


def test_a_missing_or_invalid_tokenizer_is_a_one_line_error(tmp_path: Path):
    with pytest.raises(DatasetError, match=r"tokenizer\.json: No such file or directory; "):
        Decoder.from_file(tmp_path / "tokenizer.json")
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(DatasetError, match=r"tokenizer\.json: is not a tokenizer"):
        Decoder.from_file(tmp_path / "tokenizer.json")


@pytest.mark.parametrize("name", ["smollm2", "qwen3", "llama3", "deepseek_v3"])
def test_spans_of_real_tokenizers_join_to_the_text(shared: Path, name: str):
    path = shared / "tokenizers" / name / "tokenizer.json"
    if not path.is_file():
        pytest.skip(f"no tokenizer {name} here")
    text = "Hello 你好, naïve 👩‍👩‍👧 \t\r\n  x = 1;\u202e العربية ก็ <|im_end|>\n" * 3
    tokenizer = Tokenizer.from_file(str(path))
    ids = tokenizer.encode(text, add_special_tokens=False).ids
    spans = Decoder(tokenizer).spans(ids)
    assert "".join(span.text for span in spans) == tokenizer.decode(ids, skip_special_tokens=False)
    assert len(spans) > len(ids) / 2
