"""Words, their hashes and shingles, checked against definitions in plain Python."""

from __future__ import annotations

import re
import unicodedata

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from xxhash import xxh3_64_intdigest

from sftdata.curate.duplicates.near import answer_chars
from sftdata.curate.words import shingle_hashes, text_of, word_hashes
from sftdata.records.record import Message, Record, ToolCall


def shingles(text: str, length: int) -> np.ndarray:
    return shingle_hashes([text], length)[0]


def test_case_punctuation_white_space_and_full_width_letters_are_ignored():
    one = set(shingles("The quick, brown FOX!", 3).tolist())
    assert one == set(shingles("the  quick brown\nｆｏｘ", 3).tolist())
    assert len(one) == 2
    assert one != set(shingles("the quick brown dog", 3).tolist())


def test_shingles_differ_by_the_order_of_their_words():
    assert shingles("a b c", 3).tolist() != shingles("c b a", 3).tolist()
    assert len(set(shingles("a b c a b c", 3).tolist())) == 3


MASK = (1 << 64) - 1
BASE = 0x9E3779B97F4A7C15


def splitmix(value: int) -> int:
    """The finalizer of SplitMix64, in Python integers."""
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & MASK
    return value ^ (value >> 31)


def hash_of(word: str) -> int:
    """The hash of a word by its definition, in Python integers."""
    data = word.encode("utf-8", "surrogatepass")
    if len(data) > 64:
        return splitmix(xxh3_64_intdigest(data))
    value = 0
    for start in range(0, len(data), 8):
        value = (splitmix(value) + int.from_bytes(data[start : start + 8], "little")) * BASE & MASK
    return splitmix(value)


@settings(deadline=None)
@given(st.lists(st.text(st.characters(exclude_categories=[]), max_size=60), max_size=6), st.integers(1, 4))
def test_word_and_shingle_hashes_are_those_of_the_definition(texts: list[str], length: int):
    hashes, firsts = word_hashes(texts)
    assert len(firsts) == len(texts) + 1
    for text, first, last in zip(texts, firsts, firsts[1:]):
        words = re.findall(r"\w+", unicodedata.normalize("NFKC", text).casefold())
        assert hashes[first:last].tolist() == [hash_of(word) for word in words]
    together, offsets = shingle_hashes(texts, length)
    for text, start, end in zip(texts, offsets, offsets[1:]):
        assert together[start:end].tolist() == shingles(text, length).tolist()
        words = re.findall(r"\w+", unicodedata.normalize("NFKC", text).casefold())
        assert not len(words) or end - start == max(len(words) - length + 1, 1)


def test_words_of_all_lengths_differ_from_their_prefixes():
    word = "abcdefghij" * 8
    words = [word[:size] for size in range(1, 81)]
    hashes, firsts = word_hashes([" ".join(words), word, "\u4e16" * 9_000 + " end"])
    assert firsts.tolist() == [0, 80, 81, 83]
    assert hashes[:80].tolist() == [hash_of(word) for word in words]
    assert len(set(hashes.tolist())) == 82
    assert hashes[80:].tolist() == [hash_of(word), hash_of("\u4e16" * 9_000), hash_of("end")]


def test_a_words_hash_does_not_depend_on_the_text_around_it():
    beside, _ = word_hashes(["plain", "plain caf\u00e9 \U0001d518nicode", "na\u00efve plain \ud800"])
    assert beside[0] == beside[1] == beside[-1] == hash_of("plain")
    assert beside.tolist()[2:4] == [hash_of("caf\u00e9"), hash_of("unicode")]


def test_a_short_text_is_one_shingle_and_a_blank_one_has_none():
    assert len(shingles("Hello, World!", 3)) == 1
    assert shingles("hello world", 3).tolist() == shingles("Hello, World!", 3).tolist()
    assert len(shingles(" \n", 3)) == 0


def test_system_turns_are_not_compared_and_tool_calls_are_part_of_the_answer():
    record = Record(
        messages=(
            Message(role="system", content="be brief"),
            Message(role="user", content="weather?"),
            Message(role="assistant", content=None, tool_calls=(ToolCall(name="get", arguments={"b": 1, "a": 2}),)),
            Message(role="tool", content="sunny"),
            Message(role="assistant", reasoning="it says sunny", content="Sun."),
        )
    )
    assert text_of(record, "prompt") == "weather?"
    assert text_of(record, "answer") == 'get {"a":2,"b":1}\nit says sunny\nSun.'
    assert text_of(record, "conversation") == 'weather?\nget {"a":2,"b":1}\nsunny\nit says sunny\nSun.'
    assert answer_chars(record) == len('get {"a":2,"b":1}') + len("it says sunny\nSun.")
    assert text_of(Record(text="whole"), "answer") == "whole"
