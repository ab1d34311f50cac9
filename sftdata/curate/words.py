"""What the comparisons of texts look at: which text of a record, its words, and hashes of runs of words.

A word is a run of `\\w` after Unicode NFKC and casefold, so that case, punctuation, white space and full-width forms do
not count. Hashes are 64 bits wide, the same on every machine.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Literal

import numpy as np
import numpy.typing as npt
import orjson
from xxhash import xxh3_64_intdigest

from sftdata.records import Message, Record

On = Literal["conversation", "prompt", "answer"]
Hashes = npt.NDArray[np.uint64]

_ROLES: dict[str, frozenset[str]] = {
    "conversation": frozenset({"user", "assistant", "tool"}),
    "prompt": frozenset({"user"}),
    "answer": frozenset({"assistant"}),
}
_WORD = re.compile(r"\w+")
_BASE = 0x9E3779B97F4A7C15  # odd: of the polynomial over a run's word hashes, modulo 2**64


def text_of(record: Record, on: On) -> str:
    """The text of a record that is compared: its user's turns, its answers, or both with the tools' results.

    Reasoning and tool calls belong to the answer. System and developer turns are left out: many rows share one, and
    it would make short conversations look alike. A record of the `text` format is one text, whatever `on` says.
    """
    if record.text is not None:
        return record.text
    return "\n".join(message_text(message) for message in record.messages if message.role in _ROLES[on])


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


def word_hashes(text: str) -> Hashes:
    """One hash for every word of a text."""
    found = _WORD.findall(normal(text))
    return np.fromiter(map(_hash, found), np.uint64, len(found))


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


def shingles(text: str, length: int) -> Hashes:
    """The hashes of a text's runs of `length` words, with repeats. A shorter text is one run; a text without words is
    one run of its characters; an empty text has none.
    """
    words = word_hashes(text)
    if len(words) >= length:
        return run_hashes(words, length)
    return whole_hash(words, text)


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
