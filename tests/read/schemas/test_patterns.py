from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sftdata.read.schemas.patterns import num_states, search


@pytest.mark.parametrize(
    ("pattern", "text", "answer"),
    [
        ("^(a+)+$", "a" * 40 + "!", False),
        ("^(a+)+$", "a" * 40, True),
        ("b", "abc", True),
        ("^b", "abc", False),
        (r"^\d{4}-\d{2}$", "2024-01", True),
        (r"^\u00e9$", "é", True),
        (r"^\\u00e9$", "é", False),
        (r"^\p{L}+$", "éa", True),
        ("^[^a]$", "é", True),
        (r"\/", "a/b", True),
        ("c$", "c\n", False),
        ("", "", True),
    ],
)
def test_a_pattern_is_searched_for_anywhere_in_a_text(pattern: str, text: str, answer: bool) -> None:
    assert search(pattern, [text, "another"])[0] == answer
    assert search(pattern, [text]) == [answer]


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("(?=a)b", "b"),
        (r"(a)\1", "aa"),
        ("(", "a"),
        ("[", "a"),
        ("a{1001}", "a"),
        ("a{,3}", "a"),
        ("[[:alpha:]]", "a"),
        ("[]", "a"),
        (r"^\w+$", "é"),
        ("a" * 2001, "a"),
        ("((a{0,99}){0,99}){0,99}", "a" * 99),
        ("a|b|c", "x" * 20_000_000),
    ],
)
def test_what_is_not_certain_is_not_answered(pattern: str, text: str) -> None:
    assert search(pattern, [text]) == [None]


def test_each_text_has_its_answer() -> None:
    assert search(r"^\d+$", ["12", "x", "é", ""]) == [True, False, None, False]


@pytest.mark.parametrize(
    ("pattern", "states"), [("", 1), ("abc", 4), ("a{3}", 4), ("(ab){3}", 10), ("((a{9}){9}){9}", 820), (r"\(a", 3)]
)
def test_counts_multiply_the_states_of_what_they_count(pattern: str, states: int) -> None:
    assert num_states(pattern) == states


PATTERNS = st.recursive(
    st.sampled_from(["a", "b", "[ab]", "[^a]", "."]),
    lambda inner: (
        st.lists(inner, min_size=1, max_size=3).map("".join)
        | st.lists(inner, min_size=2, max_size=2).map("|".join).map("({})".format)
        | st.tuples(inner, st.sampled_from(["*", "+", "?", "{1,3}"])).map(lambda pair: f"({pair[0]}){pair[1]}")
    ),
    max_leaves=6,
)


@given(PATTERNS, st.booleans(), st.lists(st.text("abc", max_size=8), min_size=1, max_size=4))
def test_re2_and_python_agree_on_plain_patterns(pattern: str, is_whole: bool, texts: list[str]) -> None:
    pattern = f"^({pattern})$" if is_whole else pattern
    assert search(pattern, texts) == [re.search(pattern, text) is not None for text in texts]
