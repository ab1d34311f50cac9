"""The bytes of every token: what a run of ids says, without a decoder's own ideas about spaces."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

_BYTE_TOKEN = re.compile(r"<0x([0-9A-F]{2})>")
# Normalizers that only compose characters, and pre-tokenizers that only split: text cut where a control token ends, or
# where a completion starts, is then encoded as if nothing stood before it.
_LOCAL_NORMALIZERS = {"NFC", "NFD", "NFKC", "NFKD"}
_LOCAL_PRETOKENIZERS = {"Split", "Digits", "Punctuation", "ByteLevel", "UnicodeScripts"}


def byte_characters() -> dict[str, int]:
    """The printable character that byte-level BPE writes for each byte (GPT-2, Radford et al. 2019)."""
    printable = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAC + 1), *range(0xAE, 0xFF + 1)]
    others = [byte for byte in range(256) if byte not in set(printable)]
    table = {chr(byte): byte for byte in printable}
    table.update({chr(256 + i): byte for i, byte in enumerate(others)})
    return table


class Vocabulary:
    """What a tokenizer.json says of its tokens and of the text it can take apart."""

    def __init__(self, pipeline: Mapping[str, Any]) -> None:
        self._pipeline = pipeline
        self._added = {entry["id"]: entry["content"] for entry in self._pipeline.get("added_tokens") or []}

    @cached_property
    def _kinds(self) -> dict[str, set[str]]:
        """The types of all parts of the normalizer, pre-tokenizer and decoder."""
        return {name: set(_types(self._pipeline.get(name))) for name in ("normalizer", "pre_tokenizer", "decoder")}

    @cached_property
    def is_local(self) -> bool:
        """Whether text may be cut at control tokens and prompts and encoded in pieces with the same ids.

        False for SentencePiece-like tokenizers, which mark the start of the text, and where a control token swallows
        white space beside it.
        """
        pre = self._kinds["pre_tokenizer"]
        prefix = any(part.get("add_prefix_space") for part in _parts(self._pipeline.get("pre_tokenizer")))
        return (
            self._pipeline["model"].get("type") == "BPE"
            and self._kinds["normalizer"] <= _LOCAL_NORMALIZERS
            and "ByteLevel" in pre
            and pre <= _LOCAL_PRETOKENIZERS
            and not prefix
            and not self._swallows
        )

    @cached_property
    def _swallows(self) -> bool:
        """Whether an added token takes in white space beside it, or is matched only as a word."""
        return any(
            entry.get("lstrip") or entry.get("rstrip") or entry.get("single_word")
            for entry in self._pipeline.get("added_tokens") or []
        )

    @cached_property
    def size(self) -> int:
        """The highest id + 1."""
        return 1 + max(max(self._tokens.values(), default=0), max(self._added, default=0))

    @cached_property
    def _tokens(self) -> dict[str, int]:
        vocab = self._pipeline["model"].get("vocab") or {}
        if isinstance(vocab, list):
            return {piece: i for i, (piece, _) in enumerate(vocab)}
        return dict(vocab)

    @cached_property
    def token_bytes(self) -> list[bytes | None] | None:
        """The UTF-8 bytes of each id, or None where tokens do not spell text (WordPiece and the like).

        SentencePiece's word mark (U+2581) is a space. An entry is None where the id is unused.
        """
        if "ByteLevel" in self._kinds["pre_tokenizer"] | self._kinds["decoder"]:
            spell = _byte_level
        elif self._pipeline["model"].get("type") in ("BPE", "Unigram") and self._kinds["decoder"] & {
            "ByteFallback", "Metaspace", "Replace"
        }:  # fmt: skip
            spell = _sentence_piece
        else:
            return None
        table: list[bytes | None] = [None] * self.size
        for token, id_ in self._tokens.items():
            table[id_] = spell(token)
        for id_, content in self._added.items():
            table[id_] = content.encode()
        return table

    @cached_property
    def _marked(self) -> re.Pattern[str]:
        """An added token, or the start, and the spaces behind it."""
        added = "|".join(re.escape(text) for text in sorted(self._added.values(), key=len, reverse=True))
        space = r"\s" if self._swallows else " "
        return re.compile(f"(^|{added}){space}+" if added else f"(^){space}+")

    def without_word_marks(self, text: str) -> str:
        """A text without the spaces at its start and behind added tokens.

        There SentencePiece may put one more, and a token with rstrip takes them in.
        """
        return self._marked.sub(r"\1", text)

    def says(self, ids: npt.NDArray[np.int32]) -> bytes:
        """The bytes that ids spell. Only where `token_bytes` is not None."""
        assert self.token_bytes is not None
        return b"".join(map(self._bytes_of, ids.tolist()))

    @cached_property
    def _bytes_of(self) -> Callable[[int], bytes]:
        return [spelled or b"" for spelled in self.token_bytes or ()].__getitem__


def _parts(component: Any) -> list[dict[str, Any]]:
    """The leaves of a component of tokenizer.json."""
    if not component:
        return []
    for key in ("normalizers", "pretokenizers", "decoders", "processors"):
        if key in component:
            return [leaf for part in component[key] for leaf in _parts(part)]
    return [component]


def _types(component: Any) -> list[str]:
    return [part["type"] for part in _parts(component)]


_BYTES = byte_characters()
# To the character of the byte's number; whatever else there is below 256 leaves that range.
_LATIN = {ord(char): byte for char, byte in _BYTES.items()}
_LATIN.update({byte: 0x10000 + byte for byte in range(256) if byte not in _LATIN})


def _byte_level(token: str) -> bytes:
    try:
        return token.translate(_LATIN).encode("latin-1")
    except UnicodeEncodeError:
        return token.encode()


def _sentence_piece(token: str) -> bytes:
    match = _BYTE_TOKEN.fullmatch(token)
    return bytes([int(match.group(1), 16)]) if match else token.replace("\u2581", " ").encode()
