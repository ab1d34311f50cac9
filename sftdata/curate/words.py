"""What the comparisons of texts look at: which text of a record, its words, and hashes of runs of words.

A word is a run of `\\w` after Unicode NFKC and casefold, so that case, punctuation, white space and full-width forms do
not count. Hashes are 64 bits wide, the same on every machine.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from functools import cache
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import orjson
from xxhash import xxh3_64_intdigest

from sftdata.records import Message, Record

On = Literal["conversation", "prompt", "answer"]
Hashes = npt.NDArray[np.uint64]
Ints = npt.NDArray[np.int64]

_ROLES: dict[str, frozenset[str]] = {
    "conversation": frozenset({"user", "assistant", "tool"}),
    "prompt": frozenset({"user"}),
    "answer": frozenset({"assistant"}),
}
_WORD = re.compile(r"\w+")
_BASE = 0x9E3779B97F4A7C15  # odd: of polynomials modulo 2**64 over a word's characters, and over a run's words
_WINDOW = 1 << 13  # characters
_LONG_WORD = 64  # characters, from where a word is hashed by xxh3


def text_of(record: Record, on: On) -> str:
    """The text of a record that is compared: its user's turns, its answers, or both with the tools' results.

    Reasoning and tool calls belong to the answer. System and developer turns are left out: many rows share one, and
    it would make short conversations look alike. A record of the `text` format is one text, whatever `on` says.
    """
    if record.text is not None:
        return record.text
    roles = _ROLES[on]
    if record.plain is not None:
        return "\n".join([content for role, content in zip(*record.plain) if role in roles])
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
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text)
    return text.casefold()


def words_in(texts: Sequence[str]) -> tuple[Hashes, Ints]:
    """One hash for every word of every text, and len(texts) + 1 offsets of the texts in them."""
    forms = [normal(text) for text in texts]
    is_ascii = np.fromiter(map(str.isascii, forms), np.bool_, len(forms))
    counts = np.zeros(len(forms), np.int64)
    parts = []
    for chosen in (np.flatnonzero(is_ascii), np.flatnonzero(~is_ascii)):  # characters of one byte take half the time
        if len(chosen):
            hashes, firsts = _words_in([forms[number] for number in chosen.tolist()])
            counts[chosen] = np.diff(firsts)
            parts.append((chosen, hashes, firsts))
    offsets = np.concatenate([[0], np.cumsum(counts)])
    found = np.empty(offsets[-1], np.uint64)
    for chosen, hashes, firsts in parts:
        found[np.repeat(offsets[chosen] - firsts[:-1], counts[chosen]) + np.arange(len(hashes))] = hashes
    return found, offsets


def _words_in(forms: Sequence[str]) -> tuple[Hashes, Ints]:
    """The same of texts in their normal form.

    The hash is a polynomial over the word's characters, modulo 2**64 (Karp and Rabin 1987): a difference of two sums
    that run over the whole text, times a power that takes the word's place out of it. Long words are hashed by xxh3:
    of some thousand characters, two words can be made that no such polynomial tells apart (Pachocki and Radoszewski
    2013, on Thue-Morse words).
    """
    codes = _characters("\n".join(["", *forms, ""]))  # a line end is in no word
    is_word = _word_characters()[codes]
    edges = np.flatnonzero(is_word[1:] != is_word[:-1]) + 1
    starts, ends = edges[::2], edges[1::2]
    hashes = np.zeros(len(starts), np.uint64)
    first = 0
    while first < len(starts):  # some words at a time, so that they stay in the processor's cache
        begin = starts[first]
        last = max(first + 1, int(np.searchsorted(ends, begin + _WINDOW, "right")))
        part = codes[begin : ends[last - 1]]
        if len(part) > _WINDOW:  # one word, and a long one
            first = last
            continue
        powers, inverses = _powers()
        sums = np.zeros(len(part) + 1, np.uint64)
        np.cumsum(_values(part) * powers[: len(part)], out=sums[1:])
        places = starts[first:last] - begin
        hashes[first:last] = (sums[ends[first:last] - begin] - sums[places]) * inverses[places]
        first = last
    for word in np.flatnonzero(ends - starts > _LONG_WORD).tolist():
        hashes[word] = xxh3_64_intdigest(codes[starts[word] : ends[word]].astype("<u4").tobytes())
    begins = np.cumsum([1, *(len(form) + 1 for form in forms)])
    return _mixed(hashes), np.searchsorted(starts, begins)


def _characters(text: str) -> npt.NDArray[Any]:
    """The code points of a text. Half of a surrogate pair, which JSON can hold, counts as a character."""
    if text.isascii():
        return np.frombuffer(text.encode(), np.uint8)
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4")


@cache
def _word_characters() -> npt.NDArray[np.bool_]:
    """Whether a character is part of a word, by code point."""
    table = np.zeros(0x110000, np.bool_)
    for match in _WORD.finditer(np.arange(len(table), dtype="<u4").tobytes().decode("utf-32-le", "surrogatepass")):
        table[slice(*match.span())] = True
    return table


@cache
def _powers() -> tuple[Hashes, Hashes]:
    """The first powers of the base, and of its inverse modulo 2**64."""
    powers, inverses = (np.full(_WINDOW, base, np.uint64) for base in (_BASE, pow(_BASE, -1, 1 << 64)))
    powers[0] = inverses[0] = 1
    return np.cumprod(powers), np.cumprod(inverses)


def _values(codes: npt.NDArray[Any]) -> Hashes:
    """A number of 64 bits for each character."""
    table = _common_values()
    if codes.dtype == np.uint8:
        values: Hashes = table[codes]
        return values
    values = table.take(codes, mode="clip")
    rare = np.flatnonzero(codes >= len(table))
    values[rare] = _computed_values(codes[rare])
    return values


@cache
def _common_values() -> Hashes:
    """The numbers of the first characters, nearly all that there are: looked up in a third of the time."""
    return _computed_values(np.arange(1 << 16, dtype=np.uint32))


def _computed_values(codes: npt.NDArray[Any]) -> Hashes:
    return _mixed((codes.astype(np.uint64) + np.uint64(1)) * np.uint64(_BASE))


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
