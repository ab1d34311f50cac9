"""Two texts beside each other: what differs is marked, nothing is lost, no word is broken."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sftdata.view.find.beside import Piece, alone, beside, compared, folded
from sftdata.view.find.turns import SampleMessage
from sftdata.view.layout import Line, plain, width_of

texts = st.text(st.sampled_from("ab c\n.你好é\x1b-"), max_size=60)


def user(text: str) -> SampleMessage:
    return SampleMessage("user", text, False)


def shown(first: str, second: str) -> list[str]:
    marks = {"red": "[-{}-]", "green": "{{+{}+}}", "": "{}"}
    return ["".join(marks[style].format(text) for text, style in side) for side in compared(first, second)]


@pytest.mark.parametrize(
    ("first", "second", "left", "right"),
    [
        ("The red lamp", "The blue lamp", "The [-red-] lamp", "The {+blue+} lamp"),
        ("one two three", "one three", "one [-two -]three", "one three"),
        ("a b c d", "a x y d", "a [-b c-] d", "a {+x y+} d"),  # the space between two differences is a part of them
        ("你好吗", "你很好", "你好[-吗-]", "你{+很+}好"),
        ("", "new", "", "{+new+}"),
        ("same", "same", "same", "same"),
    ],
)
def test_words_that_differ_are_marked(first: str, second: str, left: str, right: str) -> None:
    assert shown(first, second) == [left, right]


def test_long_passages_in_which_both_agree_are_shortened() -> None:
    text = " ".join(f"w{number}" for number in range(500))
    (left, right) = compared(f"start {text} end", f"begin {text} stop")
    for side in (left, right):
        joined = "".join(piece.text for piece in side)
        assert "w0" in joined and "w499" in joined and "words in which they agree ...]" in joined
        assert len(joined.split()) < 60


@given(texts, texts)
def test_the_pieces_are_the_texts(first: str, second: str) -> None:
    left, right = compared(first, second)
    assert ("".join(piece.text for piece in left), "".join(piece.text for piece in right)) == (first, second)
    assert {piece.style for piece in left} <= {"", "red"} and {piece.style for piece in right} <= {"", "green"}


@given(texts, st.integers(8, 40))
def test_lines_are_folded_between_words_and_lose_nothing(text: str, width: int) -> None:
    lines: list[Line] = folded([Piece(text, "")], width)
    joined = plain(lines)
    visible = text.replace("\x1b", "\u241b")
    assert re.sub(r"\s", "", "".join(joined)) == re.sub(r"\s", "", visible)
    longest = max((width_of(word) for word in re.findall(r"[^\s你好]+", visible)), default=0)
    assert all(width_of(line) <= max(width, longest) for line in joined)
    assert not any("\x1b" in line for line in joined)


@given(texts, texts, st.sampled_from([60, 80, 120, 200]))
def test_two_texts_fit_the_width_side_by_side_or_one_above_the_other(first: str, second: str, width: int) -> None:
    lines = plain(beside(("a (dropped)", "b (kept)"), ([user(first)], [user(second)]), width))
    assert all(width_of(line) <= width for line in lines)
    assert any("a (dropped)" in line and "b (kept)" in line for line in lines) == (width >= 120)


def test_a_word_that_no_column_can_hold_puts_the_texts_one_above_the_other() -> None:
    word = "x" * 90
    lines = plain(beside(("a", "b"), ([user(word)], [user("short")]), 120))
    assert "  " + "[-" + word + "-]" in lines and "a" in lines and "b" in lines


def test_messages_are_beside_those_of_the_same_role() -> None:
    system = SampleMessage("system", "Brief.", False)
    lines = plain(beside(("a", "b"), ([system, user("Hi")], [user("Hi")]), 120))
    assert lines == [
        "a" + " " * 60 + "b",
        "system:",
        "[-Brief.-]",
        "user:" + " " * 56 + "user:",
        "Hi" + " " * 59 + "Hi",
    ]


def test_a_long_message_is_shown_with_its_ends() -> None:
    text = " ".join(f"w{number}" for number in range(1000))
    (line,) = plain(alone("", [SampleMessage(None, text, False)], None))
    assert line.startswith("  w0 w1 ") and line.endswith(" w998 w999") and "more words ...]" in line
