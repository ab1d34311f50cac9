"""What the comparisons of texts look at: which text of a record, its words, and hashes of runs of words.

A word is a run of `\\w` after Unicode NFKC and casefold, so that case, punctuation, white space and full-width forms do
not count. Hashes are 64 bits wide, the same on every machine.
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

On = Literal["conversation", "prompt", "answer"]
Hashes = npt.NDArray[np.uint64]
Ints = npt.NDArray[np.int64]

_ROLES: dict[str, frozenset[str]] = {
    "conversation": frozenset({"user", "assistant", "tool"}),
    "prompt": frozenset({"user"}),
    "answer": frozenset({"assistant"}),
}
_WORD = re.compile(r"\w+")
_BASE = 0x9E3779B97F4A7C15  # odd: of polynomials modulo 2**64 over a run's words, and of steps over a word's bytes
_STEP = 8  # bytes of a word that are taken in at a time
_LONG_WORD = 64  # bytes, from where a word is hashed by xxh3
_FIRST_BYTES = np.array([(1 << 8 * size) - 1 for size in range(_STEP + 1)], np.uint64)  # masks, by how many


def text_of(record: Record, on: On) -> str:
    """The text of a record that is compared: its user's turns, its answers, or both with the tools' results.

    Reasoning and tool calls belong to the answer. System and developer turns are left out: many rows share one, and
    it would make short conversations look alike. A record of the `text` format is one text, whatever `on` says.
    """
    if record.text is not None:
        return record.text
    roles = _ROLES[on]
    plain = record.plain
    if plain is not None:
        return "\n".join([content for role, content in zip(plain.roles, plain.contents) if role in roles])
    return "\n".join(message_text(message) for message in record.messages if message.role in roles)


def message_text(message: Message) -> str:
    """All that a turn says: reasoning, content, and the names and arguments of its tool calls, a line each."""
    if message.reasoning is None and not message.tool_calls:
        return message.content or ""
    parts = [message.reasoning, message.content]
    for call in message.tool_calls:
        arguments = call.arguments
        if not isinstance(arguments, str):
            arguments = orjson.dumps(arguments, option=orjson.OPT_SORT_KEYS).decode()
        parts.append(f"{call.name} {arguments}")
    return "\n".join(part for part in parts if part)


def normal(text: str) -> str:
    """A text in Unicode NFKC, casefolded."""
    if text.isascii():
        return text.casefold()
    # Nothing combines across a line end, and most lines of most texts are ASCII.
    lines = text.split("\n")
    return "\n".join([(line if line.isascii() else unicodedata.normalize("NFKC", line)).casefold() for line in lines])


def words_in(texts: Sequence[str]) -> tuple[Hashes, Ints]:
    """One hash for every word of every text, and len(texts) + 1 offsets of the texts in them.

    A word is hashed by the bytes of its UTF-8, eight at a time; a long one by xxh3.
    """
    forms = [normal(text).encode("utf-8", "surrogatepass") for text in texts]
    data = b"\n".join([b"", *forms, bytes(_STEP)])  # a line end is in no word
    is_word = _in_words(data)
    edges = np.flatnonzero(is_word[1:] != is_word[:-1]) + 1
    starts, sizes = edges[::2], edges[1::2] - edges[::2]
    eight: Hashes = np.ndarray(len(data) - _STEP + 1, "<u8", data, strides=(1,))  # bytes from each place on
    hashes = (eight[starts] & _FIRST_BYTES.take(sizes, mode="clip")) * np.uint64(_BASE)
    for done in range(_STEP, _LONG_WORD, _STEP):
        going_on = np.flatnonzero(sizes > done)
        more = eight[starts[going_on] + done] & _FIRST_BYTES.take(sizes[going_on] - done, mode="clip")
        hashes[going_on] = (_mixed(hashes[going_on]) + more) * np.uint64(_BASE)
    for word in np.flatnonzero(sizes > _LONG_WORD).tolist():
        hashes[word] = xxh3_64_intdigest(data[starts[word] : starts[word] + sizes[word]])
    begins = np.cumsum([1, *(len(form) + 1 for form in forms)])
    return _mixed(hashes), np.searchsorted(starts, begins)


def _in_words(data: bytes) -> npt.NDArray[np.bool_]:
    """Which bytes of a text in UTF-8 belong to words. Half of a surrogate pair, which JSON can hold, is a character."""
    is_word = np.frombuffer(bytearray(data.translate(_word_bytes())), np.bool_)
    codes = np.frombuffer(data, np.uint8)
    high = np.flatnonzero(codes >= 0x80)
    if len(high) == 0:
        return is_word
    first = high[codes[high] >= 0xC0]  # of each character that takes several bytes
    lead = codes[first].astype(np.int64)
    size = 2 + (lead >= 0xE0) + (lead >= 0xF0)
    character = lead & (0x7F >> size)
    for number in (1, 2, 3):
        goes_on = size > number
        character[goes_on] = (character[goes_on] << 6) | (codes[first[goes_on] + number] & 0x3F)
    is_word[high] = np.repeat(_word_characters()[character], size)
    return is_word


@cache
def _word_bytes() -> bytes:
    """1 for each byte that is a character of a word by itself, else 0."""
    return _word_characters()[:0x80].tobytes() + bytes(0x80)


@cache
def _word_characters() -> npt.NDArray[np.bool_]:
    """Whether a character is part of a word, by code point."""
    table = np.zeros(0x110000, np.bool_)
    for match in _WORD.finditer(np.arange(len(table), dtype="<u4").tobytes().decode("utf-32-le", "surrogatepass")):
        table[slice(*match.span())] = True
    return table


def word_spans(text: str) -> tuple[str, list[tuple[int, int]]]:
    """Where the words of a text stand, and the text that the places are in: the text itself, or its normal form where
    that has another length.
    """
    form = normal(text)
    spans = [match.span() for match in _WORD.finditer(form)]
    return (text if len(form) == len(text) else form), spans


def run_hashes(words: Hashes, length: int) -> Hashes:
    """One hash for every run of `length` words, in order; none where there are fewer words."""
    count = len(words) - length + 1
    if count <= 0:
        return np.empty(0, np.uint64)
    runs = np.full(count, length, np.uint64)
    for offset in range(length):
        runs *= np.uint64(_BASE)
        runs += words[offset : offset + count]
    return _mixed(runs)


def shingles_in(texts: Sequence[str], length: int) -> tuple[Hashes, Ints]:
    """The hashes of every text's runs of `length` words, with repeats, and len(texts) + 1 offsets of the texts in them.

    A shorter text is one run; a text without words is one run of its characters; an empty text has none.
    """
    words, firsts = words_in(texts)
    counts = np.maximum(np.diff(firsts) - length + 1, 0)
    short = {i: whole_hash(words[firsts[i] : firsts[i + 1]], texts[i]) for i in np.flatnonzero(counts == 0).tolist()}
    sizes = counts.copy()
    sizes[list(short)] = [len(whole) for whole in short.values()]
    offsets = np.concatenate([[0], np.cumsum(sizes)])
    found = np.empty(offsets[-1], np.uint64)
    if counts.any():
        within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)  # of a run in its text
        runs = run_hashes(words, length)
        found[np.repeat(offsets[:-1], counts) + within] = runs[np.repeat(firsts[:-1], counts) + within]
    for i, whole in short.items():
        found[offsets[i] : offsets[i + 1]] = whole
    return found, offsets


def whole_hash(words: Hashes, text: str) -> Hashes:
    """The hash of a text as a whole, from its words or, where it has none, its characters; none for an empty text."""
    if len(words):
        return np.array([xxh3_64_intdigest(words.astype("<u8").tobytes())], np.uint64)
    bare = normal(text).strip()
    return np.array([_hash(bare)] if bare else [], np.uint64)


def _hash(word: str) -> int:
    """The hash of a word. Half of a surrogate pair, which JSON can hold, counts as a character."""
    return xxh3_64_intdigest(word.encode("utf-8", "surrogatepass"))


def _mixed(values: Hashes) -> Hashes:
    """Every bit of a value spread over all bits (the finalizer of SplitMix64). Changes its argument."""
    values ^= values >> np.uint64(30)
    values *= np.uint64(0xBF58476D1CE4E5B9)
    values ^= values >> np.uint64(27)
    values *= np.uint64(0x94D049BB133111EB)
    values ^= values >> np.uint64(31)
    return values
