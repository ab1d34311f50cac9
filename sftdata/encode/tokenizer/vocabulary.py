"""The bytes of every token, to decode ids without the changes that a tokenizer's decoder makes to spaces."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

_BYTE_TOKEN = re.compile(r"<0x([0-9A-F]{2})>")
# Normalizers that only compose characters, and pre-tokenizers that only split: with these, the ids of a text after a
# control token or a prompt do not depend on what comes before it.
_SPLITTABLE_NORMALIZERS = {"NFC", "NFD", "NFKC", "NFKD"}
_SPLITTABLE_PRETOKENIZERS = {"Split", "Digits", "Punctuation", "ByteLevel", "UnicodeScripts"}


def byte_characters() -> dict[str, int]:
    """The printable characters with which byte-level BPE writes bytes, and their bytes (GPT-2, Radford et al. 2019)."""
    printable = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAC + 1), *range(0xAE, 0xFF + 1)]
    others = [byte for byte in range(256) if byte not in set(printable)]
    table = {chr(byte): byte for byte in printable}
    table.update({chr(256 + i): byte for i, byte in enumerate(others)})
    return table


class Vocabulary:
    """The tokens of a tokenizer.json and their bytes.

    `spec` is the parsed tokenizer.json.
    """

    def __init__(self, spec: Mapping[str, Any]) -> None:
        self._spec = spec
        self._added = {entry["id"]: entry["content"] for entry in self._spec.get("added_tokens") or []}

    @cached_property
    def _types(self) -> dict[str, set[str]]:
        """The types of all parts of the normalizer, pre-tokenizer and decoder."""
        names = ("normalizer", "pre_tokenizer", "decoder")
        return {name: {part["type"] for part in _parts(self._spec.get(name))} for name in names}

    @cached_property
    def is_splittable(self) -> bool:
        """Whether text split after control tokens and prompts has the same ids when the pieces are encoded separately.

        False for SentencePiece-like tokenizers, which mark the start of the text, and if an added token strips the
        white space around it.
        """
        pre_tokenizers = self._types["pre_tokenizer"]
        adds_space = any(part.get("add_prefix_space") for part in _parts(self._spec.get("pre_tokenizer")))
        return (
            self._spec["model"].get("type") == "BPE"
            and self._types["normalizer"] <= _SPLITTABLE_NORMALIZERS
            and "ByteLevel" in pre_tokenizers
            and pre_tokenizers <= _SPLITTABLE_PRETOKENIZERS
            and not adds_space
            and not self._strips
        )

    @cached_property
    def _strips(self) -> bool:
        """Whether an added token strips the white space around it, or matches whole words only."""
        return any(
            entry.get("lstrip") or entry.get("rstrip") or entry.get("single_word")
            for entry in self._spec.get("added_tokens") or []
        )

    @cached_property
    def size(self) -> int:
        """The highest id + 1."""
        return 1 + max(max(self._tokens.values(), default=0), max(self._added, default=0))

    @cached_property
    def _tokens(self) -> dict[str, int]:
        """The ids of the model's tokens, without added tokens."""
        vocab = self._spec["model"].get("vocab") or {}
        if isinstance(vocab, list):
            return {piece: i for i, (piece, _) in enumerate(vocab)}
        return dict(vocab)

    @cached_property
    def token_bytes(self) -> list[bytes | None] | None:
        """The UTF-8 bytes of each id, or None if tokens do not spell text (WordPiece and the like).

        SentencePiece's word mark (U+2581) counts as a space. The entry of an unused id is None.
        """
        if "ByteLevel" in self._types["pre_tokenizer"] | self._types["decoder"]:
            to_bytes = _byte_level
        elif self._spec["model"].get("type") in ("BPE", "Unigram") and self._types["decoder"] & {
            "ByteFallback", "Metaspace", "Replace"
        }:  # fmt: skip
            to_bytes = _sentence_piece
        else:
            return None
        table: list[bytes | None] = [None] * self.size
        for token, id_ in self._tokens.items():
            table[id_] = to_bytes(token)
        for id_, content in self._added.items():
            table[id_] = content.encode()
        return table

    @cached_property
    def _spaces(self) -> re.Pattern[str]:
        """Matches the start of the text or an added token, and the spaces after it."""
        added = "|".join(re.escape(text) for text in sorted(self._added.values(), key=len, reverse=True))
        space = r"\s" if self._strips else " "
        return re.compile(f"(^|{added}){space}+" if added else f"(^){space}+")

    def without_word_marks(self, text: str) -> str:
        """A text without the spaces at its start and after added tokens.

        SentencePiece may add one more space there, and a token with rstrip removes them.
        """
        return self._spaces.sub(r"\1", text)

    def decode(self, ids: npt.NDArray[np.int32]) -> bytes:
        """The bytes of ids. Only if `token_bytes` is not None."""
        assert self.token_bytes is not None
        return b"".join(map(self._bytes_of, ids.tolist()))

    @cached_property
    def _bytes_of(self) -> Callable[[int], bytes]:
        return [token or b"" for token in self.token_bytes or ()].__getitem__


def _parts(component: Any) -> list[dict[str, Any]]:
    """The parts of a component of tokenizer.json, with sequences flattened."""
    if not component:
        return []
    for key in ("normalizers", "pretokenizers", "decoders", "processors"):
        if key in component:
            return [leaf for part in component[key] for leaf in _parts(part)]
    return [component]


# Translates a byte-level token to Latin-1, in which each character is its byte. Other characters below 256 are moved
# out of the range of Latin-1.
_TO_LATIN_1 = {ord(char): byte for char, byte in byte_characters().items()}
_TO_LATIN_1.update({byte: 0x10000 + byte for byte in range(256) if byte not in _TO_LATIN_1})


def _byte_level(token: str) -> bytes:
    try:
        return token.translate(_TO_LATIN_1).encode("latin-1")
    except UnicodeEncodeError:
        return token.encode()


def _sentence_piece(token: str) -> bytes:
    match = _BYTE_TOKEN.fullmatch(token)
    return bytes([int(match.group(1), 16)]) if match else token.replace("\u2581", " ").encode()
