"""What text comparisons work on: which text of a record is compared, its words, and hashes of words and word n-grams.

A word is a run of `\\w` after Unicode NFKC and casefolding, so case, punctuation, white space and full-width forms are
ignored. Hashes are 64 bits wide and the same on every machine.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from functools import cache
from typing import Literal

import numpy as np
import numpy.typing as npt
import orjson
from xxhash import xxh3_64_intdigest

from sftdata.records.record import Message, Record

ComparedText = Literal["conversation", "prompt", "answer"]
Hashes = npt.NDArray[np.uint64]
Ints = npt.NDArray[np.int64]

_ROLES: dict[str, frozenset[str]] = {
    "conversation": frozenset({"user", "assistant", "tool"}),
    "prompt": frozenset({"user"}),
    "answer": frozenset({"assistant"}),
}
_WORD = re.compile(r"\w+")
_BASE = 0x9E3779B97F4A7C15  # odd; base of the polynomials modulo 2**64 over the words of an n-gram or bytes of a word
_STEP = 8  # bytes of a word that are hashed at a time
_LONG_WORD = 64  # bytes; longer words are hashed by xxh3
_FIRST_BYTES = np.array([(1 << 8 * size) - 1 for size in range(_STEP + 1)], np.uint64)  # masks for the first n bytes


def text_of(record: Record, on: ComparedText) -> str:
    """The text of a record that is compared: its user turns, its answers, or both plus the tool results.

    Reasoning and tool calls are part of the answer. System and developer turns are left out: many rows share one, and
    it would make short conversations look alike. A record of the `text` format is always compared as a whole.
    """
    if record.text is not None:
        return record.text
    roles = _ROLES[on]
    plain = record.plain
    if plain is not None:
        return "\n".join([content for role, content in zip(plain.roles, plain.contents) if role in roles])
    return "\n".join(message_text(message) for message in record.messages if message.role in roles)


def message_text(message: Message) -> str:
    """All text of a turn: reasoning, content, and the name and arguments of each tool call, one per line."""
    if message.reasoning is None and not message.tool_calls:
        return message.content or ""
    parts = [message.reasoning, message.content]
    for call in message.tool_calls:
        arguments = call.arguments
        if not isinstance(arguments, str):
            arguments = orjson.dumps(arguments, option=orjson.OPT_SORT_KEYS).decode()
        parts.append(f"{call.name} {arguments}")
    return "\n".join(part for part in parts if part)


def normalized(text: str) -> str:
    """A text in Unicode NFKC, casefolded."""
    if text.isascii():
        return text.casefold()
    # Nothing combines across a line end, and most lines of most texts are ASCII.
    lines = text.split("\n")
    return "\n".join([(line if line.isascii() else unicodedata.normalize("NFKC", line)).casefold() for line in lines])


def word_hashes(texts: Sequence[str]) -> tuple[Hashes, Ints]:
    """One hash for every word of every text, concatenated, and the len(texts) + 1 offsets of the texts.

    A word is hashed over its UTF-8 bytes, eight at a time; a long one by xxh3.
    """
    encoded = [normalized(text).encode("utf-8", "surrogatepass") for text in texts]
    data = b"\n".join([b"", *encoded, bytes(_STEP)])  # a newline is not part of any word
    is_word = _in_words(data)
    edges = np.flatnonzero(is_word[1:] != is_word[:-1]) + 1
    starts, sizes = edges[::2], edges[1::2] - edges[::2]
    eight_from: Hashes = np.ndarray(len(data) - _STEP + 1, "<u8", data, strides=(1,))  # the eight bytes from each place
    hashes = (eight_from[starts] & _FIRST_BYTES.take(sizes, mode="clip")) * np.uint64(_BASE)
    for done in range(_STEP, _LONG_WORD, _STEP):
        longer = np.flatnonzero(sizes > done)
        more = eight_from[starts[longer] + done] & _FIRST_BYTES.take(sizes[longer] - done, mode="clip")
        hashes[longer] = (splitmix64(hashes[longer]) + more) * np.uint64(_BASE)
    for word in np.flatnonzero(sizes > _LONG_WORD).tolist():
        hashes[word] = xxh3_64_intdigest(data[starts[word] : starts[word] + sizes[word]])
    text_starts = np.cumsum([1, *(len(text) + 1 for text in encoded)])
    return splitmix64(hashes), np.searchsorted(starts, text_starts)


def _in_words(data: bytes) -> npt.NDArray[np.bool_]:
    """Which bytes of UTF-8 text belong to words. A lone surrogate, which JSON can hold, counts as a character."""
    is_word = np.frombuffer(bytearray(data.translate(_word_bytes())), np.bool_)
    codes = np.frombuffer(data, np.uint8)
    high = np.flatnonzero(codes >= 0x80)
    if len(high) == 0:
        return is_word
    first = high[codes[high] >= 0xC0]  # the first byte of each multi-byte character
    lead = codes[first].astype(np.int64)
    size = 2 + (lead >= 0xE0) + (lead >= 0xF0)
    character = lead & (0x7F >> size)
    for number in (1, 2, 3):
        continues = size > number
        character[continues] = (character[continues] << 6) | (codes[first[continues] + number] & 0x3F)
    is_word[high] = np.repeat(_word_characters()[character], size)
    return is_word


@cache
def _word_bytes() -> bytes:
    """1 for each byte that is a complete character and part of words, else 0."""
    return _word_characters()[:0x80].tobytes() + bytes(0x80)


@cache
def _word_characters() -> npt.NDArray[np.bool_]:
    """Whether a character is part of words, by code point."""
    table = np.zeros(0x110000, np.bool_)
    for match in _WORD.finditer(np.arange(len(table), dtype="<u4").tobytes().decode("utf-32-le", "surrogatepass")):
        table[slice(*match.span())] = True
    return table


def word_spans(text: str) -> tuple[str, list[tuple[int, int]]]:
    """The (start, end) of each word, and the text that these refer to: the given text, or its normalized form if that
    has another length.
    """
    form = normalized(text)
    spans = [match.span() for match in _WORD.finditer(form)]
    return (text if len(form) == len(text) else form), spans


def ngram_hashes(words: Hashes, length: int) -> Hashes:
    """One hash for every run of `length` words, in order; empty if there are fewer words."""
    count = len(words) - length + 1
    if count <= 0:
        return np.empty(0, np.uint64)
    ngrams = np.full(count, length, np.uint64)
    for offset in range(length):
        ngrams *= np.uint64(_BASE)
        ngrams += words[offset : offset + count]
    return splitmix64(ngrams)


def shingle_hashes(texts: Sequence[str], length: int) -> tuple[Hashes, Ints]:
    """The hashes of every text's shingles, concatenated, with repeats, and the len(texts) + 1 offsets of the texts.

    A shingle is a run of `length` words. A text with fewer words is one shingle; a text without words is one shingle
    of its characters; a blank text has none.
    """
    words, firsts = word_hashes(texts)
    counts = np.maximum(np.diff(firsts) - length + 1, 0)
    short = {i: text_hash(words[firsts[i] : firsts[i + 1]], texts[i]) for i in np.flatnonzero(counts == 0).tolist()}
    sizes = counts.copy()
    sizes[list(short)] = [len(whole) for whole in short.values()]
    offsets = np.concatenate([[0], np.cumsum(sizes)])
    shingles = np.empty(offsets[-1], np.uint64)
    if counts.any():
        within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)  # index within the text
        ngrams = ngram_hashes(words, length)
        shingles[np.repeat(offsets[:-1], counts) + within] = ngrams[np.repeat(firsts[:-1], counts) + within]
    for i, whole in short.items():
        shingles[offsets[i] : offsets[i + 1]] = whole
    return shingles, offsets


def text_hash(words: Hashes, text: str) -> Hashes:
    """The hash of a whole text, from its words or, if it has none, its characters; empty for a blank text."""
    if len(words):
        return np.array([xxh3_64_intdigest(words.astype("<u8").tobytes())], np.uint64)
    bare = normalized(text).strip()
    return np.array([xxh3_64_intdigest(bare.encode("utf-8", "surrogatepass"))] if bare else [], np.uint64)


def splitmix64(values: Hashes) -> Hashes:
    """Spread every bit of each value over all its bits (the finalizer of SplitMix64). Changes the array in place."""
    values ^= values >> np.uint64(30)
    values *= np.uint64(0xBF58476D1CE4E5B9)
    values ^= values >> np.uint64(27)
    values *= np.uint64(0x94D049BB133111EB)
    values ^= values >> np.uint64(31)
    return values
