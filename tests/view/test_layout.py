"""Lines and tables laid out to a width."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sftdata.view.layout import Table, bar, fold, paragraph, plain, shortened, width_of

FUNNEL = Table(
    ("", "", "", "first", ""),
    (
        ("rows read", "1,000", "", "", ""),
        ("  dedup  duplicate", "-20", "2.0%", "data/chats.jsonl:12", "exact duplicate of an earlier row"),
        ("packed", "980", "98.0%", "", ""),
    ),
    frozenset({0, 3, 4}),
    shares=(1.0, 0.02, 0.98),
    has_head=False,
    has_remarks=True,
)
NUMBERS = Table(
    ("source", "rows", "of all trained"),
    (("chats.jsonl", "1,200", "75.0%"), ("数据/问答.jsonl", "9", "25.0%")),
    frozenset({0}),
)


def test_a_wide_table_has_its_remarks_beside_the_cells() -> None:
    assert FUNNEL.lines(110) == [
        "rows read           1,000  ████████████████████",
        "  dedup  duplicate    -20  ▍                      2.0%  data/chats.jsonl:12"
        "  exact duplicate of an earlier row",
        "packed                980  ███████████████████▋  98.0%",
    ]


def test_where_there_is_less_room_remarks_go_below_the_row() -> None:
    assert FUNNEL.lines(80) == [
        "rows read           1,000  ████████████████████",
        "  dedup  duplicate    -20  ▍                      2.0%  data/chats.jsonl:12",
        "    exact duplicate of an earlier row",
        "packed                980  ███████████████████▋  98.0%",
    ]


def test_where_there_is_little_room_the_place_goes_with_them_and_no_word_is_broken() -> None:
    assert FUNNEL.lines(50) == [
        "rows read           1,000  ██████████████",
        "  dedup  duplicate    -20  ▎                2.0%",
        "    first: data/chats.jsonl:12; exact duplicate of",
        "    an earlier row",
        "packed                980  █████████████▊  98.0%",
    ]


def test_names_of_columns_take_lines_where_they_have_to_and_wide_characters_are_two_columns() -> None:
    assert NUMBERS.lines(60) == [
        "source            rows  of all trained",
        "chats.jsonl      1,200           75.0%",
        "数据/问答.jsonl      9           25.0%",
    ]
    assert NUMBERS.lines(32) == [
        "                         of all",
        "source            rows  trained",
        "chats.jsonl      1,200    75.0%",
        "数据/问答.jsonl      9    25.0%",
    ]


def test_a_name_that_is_too_long_is_above_its_numbers() -> None:
    name = "a-source-with-a-name-of-more-than-sixty-characters/train-00000.parquet"
    table = Table(("source", "rows", "dropped"), ((name, "1,200", "2.1%"),), frozenset({0}))
    assert table.lines(60) == ["   rows  dropped", name, "  1,200     2.1%"]


def test_a_column_of_text_is_folded_where_that_leaves_it_room() -> None:
    table = Table(("finding", ""), (("cut_off", "an answer stops in the middle of a sentence"),), frozenset({0, 1}))
    assert table.lines(40) == ["finding", "cut_off  an answer stops in the middle", "         of a sentence"]


@pytest.mark.parametrize(
    ("share", "drawn"), [(0.0, ""), (0.0001, "▏"), (0.5, "████"), (0.9999, "███████▉"), (1.0, "████████")]
)
def test_a_bar_is_never_nothing_for_something_nor_full_if_something_is_missing(share: float, drawn: str) -> None:
    assert bar(share, 8) == drawn


def test_text_is_cut_behind_a_word() -> None:
    assert shortened("one two\nthree four", 13) == "one two…"
    assert shortened("one two", 7) == "one two"
    assert shortened("你好世界", 5) == "你好…"


def test_further_lines_of_a_paragraph_are_below_its_first_one() -> None:
    assert plain(paragraph("note: ", "one two three", 13)) == ["note: one two", "      three"]


WORD = st.text(st.sampled_from("abcXYZ0189_-./:<>|äé数据问答文件"), min_size=1, max_size=70)
TEXT = st.lists(WORD, min_size=1, max_size=12).map(" ".join)
NUMBER = st.integers(0, 10**9).map("{:,}".format)


@given(text=TEXT, width=st.integers(60, 200))
def test_no_word_of_a_text_is_broken(text: str, width: int) -> None:
    lines = fold(text, width)
    whole = [word for word in text.split() if width_of(word) <= width]
    assert [word for line in lines for word in line.split() if word in whole] == whole or len(whole) < len(text.split())
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")
    assert all(width_of(line) <= width or " " not in line for line in lines)


@given(
    rows=st.lists(st.tuples(TEXT.filter(lambda text: " " not in text), NUMBER, WORD, TEXT), min_size=1, max_size=4),
    width=st.integers(60, 200),
    has_remarks=st.booleans(),
)
def test_no_word_of_a_table_is_broken(rows: list[tuple[str, ...]], width: int, has_remarks: bool) -> None:
    table = Table(("name", "rows", "first", ""), tuple(rows), frozenset({0, 2, 3}), has_remarks=has_remarks)
    lines = table.lines(width)
    found = [word.rstrip(";") for line in lines for word in line.split()]
    for row in rows:
        for word in (word for cell in row for word in cell.split()):
            assert word in found or width_of(word) > width - 6, (word, lines)  # below a row it is indented
    longest = max(width_of(word) for row in rows for cell in row for word in cell.split())
    assert all(width_of(line) <= max(width, longest + 20) for line in lines)


def test_chinese_prose_is_folded_between_characters_and_a_name_of_a_file_never_is() -> None:
    assert fold("你好世界你好世界", 10) == ["你好世界你", "好世界"]
    assert fold("看 数据问答数据问答.jsonl:12 吧", 10) == ["看", "数据问答数据问答.jsonl:12", "吧"]
