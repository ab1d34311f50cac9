"""CSV and TSV: broken rows cost themselves, and rows are never swallowed by a quotation mark that was not closed."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sftdata.config import SourceConfig
from sftdata.errors import SourceError
from sftdata.read import Unit, no_rows_error, plan_units, read_raw
from sftdata.read.readers import delimited


def csv_rows(raw_rows, path: Path, data: bytes) -> list[tuple[int, object]]:
    path.write_bytes(data)
    return [(line, reason or value) for _, line, value, reason in raw_rows(path)]


def test_the_line_of_a_row_is_the_line_on_which_it_begins(tmp_path, raw_rows):
    data = b'prompt,completion\n"two\nlines",b\n\nc,d\r\n'
    assert csv_rows(raw_rows, tmp_path / "a.csv", data) == [
        (2, {"prompt": "two\nlines", "completion": "b"}),
        (5, {"prompt": "c", "completion": "d"}),
    ]


def test_broken_rows_cost_only_themselves(tmp_path, raw_rows):
    data = b'p,c\na,b\na\na,b,c\n"a"x,b\n\xe9,b\na\x00,b\na,b\n'
    assert csv_rows(raw_rows, tmp_path / "a.csv", data) == [
        (2, {"p": "a", "c": "b"}),
        (3, "bad_row"),
        (4, "bad_row"),
        (5, "bad_row"),
        (6, "bad_encoding"),
        (7, "null_byte"),
        (8, {"p": "a", "c": "b"}),
    ]


@pytest.mark.parametrize("where", ["first", "last"])
def test_a_quotation_mark_that_is_never_closed_costs_its_row_alone(tmp_path, where):
    broken = b'"a,b' if where == "first" else b'a,"b'
    (tmp_path / "a.csv").write_bytes(b"p,c\na,b\n" + broken + b"\nc,d\ne,f\n")
    (unit,) = plan_units([SourceConfig(path=str(tmp_path / "a.csv"))])
    rows = list(read_raw(unit))
    assert [(row.line, row.value) for row in rows if row.drop is None] == [
        (2, {"p": "a", "c": "b"}),
        (4, {"p": "c", "c": "d"}),
        (5, {"p": "e", "c": "f"}),
    ]
    (bad,) = (row for row in rows if row.drop is not None)
    assert (bad.line, bad.drop.reason) == (3, "bad_row")
    assert bad.drop.detail == "line 3: a quotation mark is never closed"


def test_half_a_file_behind_an_open_quotation_mark_is_read(tmp_path, raw_rows):
    before = "".join(f"q{n},a{n}\n" for n in range(2000))
    behind = "".join(f"q{n},a{n}\n" for n in range(2000, 4000))
    rows = csv_rows(raw_rows, tmp_path / "a.csv", f'p,c\n{before}x,"y\n{behind}'.encode())
    assert len(rows) == 4001
    assert [line for line, value in rows if value == "bad_row"] == [2002]


def test_fields_in_quotes_behind_an_open_quotation_mark_are_read(tmp_path, raw_rows):
    data = b'p,c\n"a","b\n"c","d"\n"two\nlines","e"\nf,"g"\n'
    assert csv_rows(raw_rows, tmp_path / "a.csv", data) == [
        (2, "bad_row"),
        (3, {"p": "c", "c": "d"}),
        (4, {"p": "two\nlines", "c": "e"}),
        (6, {"p": "f", "c": "g"}),
    ]


def test_a_field_of_lines_that_opens_behind_an_open_quotation_mark_is_read(tmp_path, raw_rows):
    data = b'p,c\n"a,b\nc,d\ne,"\nlines\nof text"\ng,h\n'
    assert csv_rows(raw_rows, tmp_path / "a.csv", data) == [
        (2, "bad_row"),
        (3, {"p": "c", "c": "d"}),
        (4, {"p": "e", "c": "\nlines\nof text"}),
        (7, {"p": "g", "c": "h"}),
    ]


def test_lines_of_a_broken_field_are_not_taken_for_rows(tmp_path, raw_rows):
    data = b'p,c\nq,"He said "hi" to\nme, and you\nleft"\na,b\n'
    assert csv_rows(raw_rows, tmp_path / "a.csv", data) == [(2, "bad_row"), (5, {"p": "a", "c": "b"})]


def test_rows_that_an_open_quotation_mark_swallows_up_to_a_stray_one_stop_the_run(tmp_path, raw_rows):
    rows = "".join(f"q{n},a{n}\n" for n in range(20))
    with pytest.raises(SourceError) as caught:
        csv_rows(raw_rows, tmp_path / "a.csv", f'p,c\na,b\nx,"y\n{rows}q,5"\n'.encode())
    assert str(caught.value) == (
        "a.csv:3: a quotation mark opens here and closes in line 24 only, and each line between looks like a row; "
        "close it in line 3; if this is one text, save the file as JSON lines instead"
    )


def test_a_long_answer_of_lines_is_one_field(tmp_path, raw_rows):
    answer = "First, do this.\nThen that.\n\n```csv\na,b\n1,2\n3,4\n```\nDone, and good luck, friend.\n"
    data = b"p,c\n" + f'q,"{answer}"\n'.encode() + b"a,b\n"
    assert csv_rows(raw_rows, tmp_path / "a.csv", data) == [(2, {"p": "q", "c": answer}), (12, {"p": "a", "c": "b"})]


def test_a_quotation_mark_in_a_field_without_quotes_is_text(tmp_path, raw_rows):
    assert csv_rows(raw_rows, tmp_path / "a.csv", b'p,c\na 5" pipe,say "hi"\n') == [
        (2, {"p": 'a 5" pipe', "c": 'say "hi"'})
    ]


@pytest.mark.parametrize("row", [b'a,He left"', b'id10","b"', b'a,""yes"" and no'])
def test_a_field_whose_opening_quotation_mark_is_missing_is_no_text(tmp_path, raw_rows, row):
    rows = csv_rows(raw_rows, tmp_path / "a.csv", b"p,c\n" + row + b'\na,b\nc,a 5"\nd,5.5"\n')
    assert rows[0] == (2, "bad_row")
    assert rows[1:] == [(3, {"p": "a", "c": "b"}), (4, {"p": "c", "c": 'a 5"'}), (5, {"p": "d", "c": '5.5"'})]


def test_a_row_that_goes_on_in_lines_that_are_none_is_broken_with_them(tmp_path, raw_rows):
    data = b'p,c\na,"b"\nq,He said so\nand left"\na,b\n'
    assert csv_rows(raw_rows, tmp_path / "a.csv", data) == [
        (2, {"p": "a", "c": "b"}),
        (3, "bad_row"),
        (4, "bad_row"),
        (5, {"p": "a", "c": "b"}),
    ]


@pytest.mark.parametrize("end", ["\r", "\n", "\r\n"])
def test_every_kind_of_line_end_ends_rows(tmp_path, raw_rows, end):
    data = end.join(["p;c", "a,x;b", '"c;";d', ""]).encode()
    assert csv_rows(raw_rows, tmp_path / "a.csv", data) == [(2, {"p": "a,x", "c": "b"}), (3, {"p": "c;", "c": "d"})]


def test_the_delimiter_is_the_one_that_the_rows_have_too(tmp_path, raw_rows):
    data = b"p (en, de);c\na;b\nc, d;e\n"
    assert csv_rows(raw_rows, tmp_path / "a.csv", data) == [
        (2, {"p (en, de)": "a", "c": "b"}),
        (3, {"p (en, de)": "c, d", "c": "e"}),
    ]
    assert csv_rows(raw_rows, tmp_path / "b.csv", b"sep=|\r\np|c\r\na|b\r\n") == [(3, {"p": "a", "c": "b"})]


def test_spaces_behind_every_delimiter_are_no_part_of_the_fields(tmp_path, raw_rows):
    assert csv_rows(raw_rows, tmp_path / "a.csv", b'p, c\n"a, b", "c"\n') == [(2, {"p": "a, b", "c": "c"})]


def test_a_column_without_a_name_is_named_by_its_place_and_left_out_where_it_is_empty(tmp_path, raw_rows):
    assert csv_rows(raw_rows, tmp_path / "a.csv", b",p,c,\n0,a,b,\n1,c,d,\n") == [
        (2, {"Unnamed: 0": "0", "p": "a", "c": "b"}),
        (3, {"Unnamed: 0": "1", "p": "c", "c": "d"}),
    ]


def test_empty_fields_behind_the_last_column_are_no_fields(tmp_path, raw_rows):
    assert csv_rows(raw_rows, tmp_path / "a.csv", b"p,c\na,b,,\n") == [(2, {"p": "a", "c": "b"})]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_utf16_is_refused_by_name(tmp_path, raw_rows, encoding):
    with pytest.raises(SourceError, match="is UTF-16 text; save it as UTF-8"):
        csv_rows(raw_rows, tmp_path / "a.csv", "prompt,completion\na,b\n".encode(encoding))


def test_a_header_that_cannot_be_read_is_an_error_and_no_row(tmp_path, raw_rows):
    with pytest.raises(SourceError, match=r"a\.csv:1: the header cannot be read"):
        csv_rows(raw_rows, tmp_path / "a.csv", b'"p,c\na,b\n')


def test_a_file_without_a_header_is_named_so(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"How are you?,Fine.\nWho are you?,Me.\n")
    source = SourceConfig(path=str(tmp_path / "a.csv"))
    assert (
        "the first line is taken for the names of its columns (How are you?, Fine.); "
        "if it is a row, put a line with names above it, such as prompt,completion; if not, its rows have the keys"
    ) in str(no_rows_error(plan_units([source]), source))


CELLS = st.text(st.sampled_from('ab,;"\n\r \té\U0001f600'), max_size=6)


@given(
    rows=st.lists(st.lists(CELLS, min_size=3, max_size=3), max_size=8),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    end=st.sampled_from(["\n", "\r\n"]),
)
def test_what_the_csv_module_writes_is_read_as_it_reads_it(tmp_path_factory, rows, quoting, end):
    if end == "\n":  # the csv module writes a lone \r without quotes then, and reads it as the end of a row
        rows = [[cell.replace("\r", "") for cell in row] for row in rows]
    text = io.StringIO(newline="")
    csv.writer(text, quoting=quoting, lineterminator=end).writerows([["p", "c", "note"], *rows])
    path = tmp_path_factory.mktemp("csv") / "a.csv"
    path.write_text(text.getvalue(), encoding="utf-8", newline="")
    assert [row.value for row in read_raw(Unit(0, str(path), "a.csv", "csv", None))] == [
        dict(zip(("p", "c", "note"), row, strict=True)) for row in rows
    ]


def test_fields_may_be_longer_than_the_csv_modules_default_limit(tmp_path, raw_rows):
    rows = csv_rows(raw_rows, tmp_path / "a.csv", b"p,c\n" + b"x" * 300_000 + b",b\n")
    assert rows == [(2, {"p": "x" * 300_000, "c": "b"})]


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.tsv", b"p\tc\na, b\tc;d\n"),
        ("a.csv", b"p;c\na, b;'c;d'\n".replace(b"'", b'"')),
        ("a.csv", b"\xef\xbb\xbfp\tc\na, b\tc;d\n"),
        ("a.csv", b'p,c\n"a, b",c;d\n'),
    ],
)
def test_tabs_and_semicolons_separate_where_the_header_says_so(tmp_path, raw_rows, name, data):
    assert csv_rows(raw_rows, tmp_path / name, data) == [(2, {"p": "a, b", "c": "c;d"})]


def test_a_column_named_twice_is_an_error(tmp_path, raw_rows):
    with pytest.raises(SourceError, match="names 'p' twice"):
        csv_rows(raw_rows, tmp_path / "a.csv", b"p,p\na,b\n")


def test_a_header_that_is_not_utf8_is_an_error(tmp_path, raw_rows):
    with pytest.raises(SourceError, match="save the file as UTF-8"):
        csv_rows(raw_rows, tmp_path / "a.csv", "prompt,réponse\na,b\n".encode("cp1252"))


def test_a_file_with_only_a_header_has_no_rows(tmp_path, raw_rows):
    assert csv_rows(raw_rows, tmp_path / "a.csv", b"p,c\n") == []


def test_a_row_that_is_the_header_again_is_no_row(tmp_path, raw_rows):
    data = b"prompt,completion\na,b\nprompt,completion\nc,d\n\xef\xbb\xbfprompt,completion\nprompt,e\n"
    assert csv_rows(raw_rows, tmp_path / "a.csv", data) == [
        (2, {"prompt": "a", "completion": "b"}),
        (3, "bad_row"),
        (4, {"prompt": "c", "completion": "d"}),
        (5, "bad_row"),
        (6, {"prompt": "prompt", "completion": "e"}),
    ]


def test_a_tsv_file_without_tabs_in_its_header_may_have_other_delimiters(tmp_path, raw_rows):
    assert csv_rows(raw_rows, tmp_path / "a.tsv", b"prompt,completion\na,b\n") == [
        (2, {"prompt": "a", "completion": "b"})
    ]
    assert csv_rows(raw_rows, tmp_path / "b.tsv", b"a,b,c\tprompt,x\n1\t2\n") == [(2, {"a,b,c": "1", "prompt,x": "2"})]
    assert csv_rows(raw_rows, tmp_path / "c.tsv", b"text\na, b\n") == [(2, {"text": "a, b"})]


class CountedName(str):
    """A name of a column that counts how often any of them is compared."""

    __slots__ = ()
    __hash__ = str.__hash__
    compared = 0

    def __eq__(self, other: object) -> bool:
        CountedName.compared += 1
        return str.__eq__(self, other)


def test_a_header_of_four_times_as_many_columns_costs_no_more_than_six_times_as_many_comparisons() -> None:
    compared = []
    for size in (2500, 10_000):
        CountedName.compared = 0
        header = [CountedName(f"column {at}") for at in range(size)]
        assert delimited._read_header(iter([header]), delimited._Lines(iter([])), "a.csv") == header
        compared.append(CountedName.compared)  # names that are the same object are not compared
    assert compared[1] <= 6 * compared[0] + 1000
