from __future__ import annotations

import json
import math
import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sftdata.config import SourceConfig
from sftdata.errors import SourceError
from sftdata.read import Unit, plan_units, read_raw
from sftdata.read.readers import json_lines
from sftdata.read.readers.json_lines import count_lines, read_json_lines
from sftdata.read.readers.parse_json import may_hold_long_number, parse_json
from sftdata.records.record import Drop

GOOD = b'{"a": 1}\n'


def reasons(raw_rows, path: Path) -> list[tuple[int, str | None]]:
    return [(line, reason) for _, line, _, reason in raw_rows(path)]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "chats.jsonl"


def test_a_broken_line_costs_that_line_only(file, raw_rows):
    file.write_bytes(GOOD + b'{"a": \n' + GOOD + b'{"a": "\xe9"}\n' + GOOD + b'{"a": "\x00"}\n' + GOOD)
    assert reasons(raw_rows, file) == [
        (1, None),
        (2, "bad_json"),
        (3, None),
        (4, "bad_encoding"),
        (5, None),
        (6, "null_byte"),
        (7, None),
    ]


def test_a_line_above_the_limit_costs_that_line_only(file, raw_rows, monkeypatch):
    monkeypatch.setattr(json_lines, "MAX_LINE_BYTES", 100)
    fits = b'{"a": "' + b"x" * 91 + b'"}\n'
    over = b'{"a": "' + b"x" * 92 + b'"}\n'
    assert (len(fits), len(over)) == (101, 102)  # the line end does not count
    file.write_bytes(fits + over + fits + over * 2 + b'{"a": "' + b"x" * 5000)
    assert reasons(raw_rows, file) == [
        (1, None),
        (2, "line_too_long"),
        (3, None),
        (4, "line_too_long"),
        (5, "line_too_long"),
        (6, "line_too_long"),
    ]


def test_fifty_million_bytes_are_the_limit():
    assert json_lines.MAX_LINE_BYTES == 50_000_000


def test_blank_lines_are_not_rows_but_count_as_lines(file, raw_rows):
    file.write_bytes(b"\n  \n" + GOOD + b"\r\n\t\n" + GOOD + b"\n\n")
    assert reasons(raw_rows, file) == [(3, None), (6, None)]


def test_windows_line_ends_and_a_missing_last_one_are_accepted(file, raw_rows):
    file.write_bytes(b'{"a": 1}\r\n{"a": 2}\r\n{"a": 3}')
    assert [(line, value) for _, line, value, _ in raw_rows(file)] == [(1, {"a": 1}), (2, {"a": 2}), (3, {"a": 3})]


def test_unicode_line_separators_do_not_end_a_line(file, raw_rows):
    file.write_text('{"a": "x\u2028y\x85z"}\n{"a": 2}\n', encoding="utf-8")
    assert [(line, value) for _, line, value, _ in raw_rows(file)] == [(1, {"a": "x\u2028y\x85z"}), (2, {"a": 2})]


def test_a_byte_order_mark_is_not_part_of_the_data_even_between_joined_files(file, raw_rows):
    file.write_bytes(b"\xef\xbb\xbf" + GOOD + b"\xef\xbb\xbf" + GOOD)
    assert [value for _, _, value, _ in raw_rows(file)] == [{"a": 1}, {"a": 1}]


def test_nan_is_null_and_an_infinite_number_is_kept_for_who_uses_it(file, raw_rows):
    file.write_bytes(b'{"a": NaN}\n{"a": -Infinity}\n{"a": 1e999}\n')
    assert [(value, reason) for _, _, value, reason in raw_rows(file)] == [
        ({"a": None}, None),
        ({"a": -math.inf}, None),
        ({"a": math.inf}, None),
    ]


def test_integers_keep_all_their_digits(file, raw_rows):
    file.write_bytes(b'{"a": 18446744073709551616, "b": [123456789012345678901234567890], "c": 9007199254740993}\n')
    assert raw_rows(file)[0][2] == {"a": 2**64, "b": [123456789012345678901234567890], "c": 9007199254740993}


@pytest.mark.parametrize("digits", [18, 19, 20, 24, 40])
def test_integers_keep_all_their_digits_at_any_position(digits):
    number = "1234567890" * 4
    for before in range(13):
        text = f'{{"{"x" * before}": {number[:digits]}, "b": "{"y" * (12 - before)}"}}'
        assert parse_json(text.encode()) == json.loads(text)


@given(st.text(alphabet="07 {x", max_size=90).map(str.encode))
def test_a_long_number_is_detected_among_others(data):
    assert may_hold_long_number(data) == (re.search(rb"[0-9]{19}", data) is not None)


@given(st.integers(0, 40), st.integers(0, 25), st.integers(0, 40))
def test_a_long_number_is_detected_at_any_position(before, digits, after):
    assert may_hold_long_number(b"x" * before + b"5" * digits + b"x" * after) == (digits >= 19)


def test_a_number_of_ten_thousand_digits_costs_that_line_only(file, raw_rows):
    file.write_bytes(b'{"a": ' + b"1" * 10_000 + b"}\n" + GOOD)
    found = [reason for _, _, _, reason in raw_rows(file)]
    assert found[1] is None
    assert found[0] in (None, "bad_json")  # Python below 3.10.7 reads it


def test_a_value_nested_too_deeply_costs_that_line_only(file, raw_rows):
    file.write_bytes(b"[" * 200_000 + b"\n" + GOOD)
    with pytest.raises(SourceError):  # a file that begins with [[ is read as an array
        raw_rows(file)
    file.write_bytes(GOOD + b'{"a": ' + b"[" * 200_000 + b"\n" + GOOD)
    assert reasons(raw_rows, file) == [(1, None), (2, "bad_json"), (3, None)]


def test_a_detail_says_where_in_the_line_the_error_is(file):
    file.write_bytes(b'{"a": 1,}\n{"a": "caf\xe9"}\n')
    (unit,) = plan_units([SourceConfig(path=str(file))])
    first, second = [row.drop for row in read_raw(unit)]
    assert first is not None
    assert second is not None
    assert first.detail is not None
    assert first.detail.startswith("column ")
    assert second.detail == "byte 0xE9 at byte 11 of the line"


@pytest.mark.parametrize(
    "data",
    [
        b'\n \n[{"a": 1}]\n',
        b'[\n{"a": 1},\n{"a": 2}\n]\n',
        b'[{"a": 1}, {"a": 2}]',
        b'\n[{"a": 1},\n{"a": 2}]',
        b"[]\n\n",
    ],
)
def test_one_big_array_is_an_error_that_says_what_to_do(file, data, raw_rows):
    file.write_bytes(data)
    with pytest.raises(SourceError, match=r"one big JSON array; rename the file to end in \.json"):
        raw_rows(file)


def test_lines_with_lists_are_still_json_lines(file, raw_rows):
    file.write_bytes(b'[{"a": 1}]\n[{"a": 2}]\n')
    assert [value for _, _, value, _ in raw_rows(file)] == [[{"a": 1}], [{"a": 2}]]


def test_a_first_line_of_text_in_brackets_is_a_broken_line(file, raw_rows):
    file.write_bytes(b"[INST] hello\n" + GOOD)
    assert reasons(raw_rows, file) == [(1, "bad_json"), (2, None)]


def test_a_line_that_spans_many_units_is_read_once_and_skipped_in_parts(file, raw_rows, monkeypatch):
    file.write_bytes(GOOD + b'{"a": "' + b"x" * (5 << 20) + b'"}\n' + GOOD)
    taken = []
    skip = json_lines._skip_line
    monkeypatch.setattr(json_lines, "_skip_line", lambda *args: taken.append(skip(*args)) or taken[-1])
    assert [line for _, line, _, _ in raw_rows(file, 1 << 18)] == [1, 2, 3]
    assert max(taken) <= 1 << 20


LINES = st.lists(
    st.sampled_from([b'{"a": 1}', b"", b"  ", b"broken", b'{"long": "' + b"y" * 40 + b'"}', b'"\xff"', b"[1]", b"\r"]),
    max_size=12,
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=LINES,
    ends=st.booleans(),
    unit_bytes=st.integers(1, 90),
    block_bytes=st.integers(1, 90) | st.just(json_lines.BLOCK_BYTES),
    limit=st.sampled_from([20, 50_000_000]),
)
def test_units_of_any_size_give_the_same_rows_and_line_numbers(
    tmp_path, raw_rows, rows, ends, unit_bytes, block_bytes, limit
):
    file = tmp_path / "any.jsonl"
    file.write_bytes(b'{"first": 0}\n' + b"\n".join(rows) + (b"\n" if ends else b""))
    expected = []
    for number, line in enumerate([b'{"first": 0}', *rows], 1):
        if line.strip():
            try:
                expected.append((number, json.loads(line) if len(line) <= limit else None))
            except ValueError:
                expected.append((number, None))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_lines, "BLOCK_BYTES", block_bytes)
        patch.setattr(json_lines, "MAX_LINE_BYTES", limit)
        found = [(line, value) for _, line, value, _ in raw_rows(file, unit_bytes)]
        assert found == expected
        units = plan_units([SourceConfig(path=str(file))], unit_bytes)
        assert len(units) == -(-file.stat().st_size // unit_bytes)
        assert [counted(unit) for unit in units] == [count_lines(unit) for unit in units]


def counted(unit: Unit) -> int:
    """The number of lines that the reader of a unit returns."""
    reader = read_json_lines(unit)
    while True:
        try:
            next(reader)
        except StopIteration as end:
            return end.value


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=200))
def test_no_bytes_raise_anything_but_a_source_error(tmp_path, raw_rows, data):
    file = tmp_path / "noise.jsonl"
    file.write_bytes(b"x" + data)
    try:
        found = raw_rows(file)
    except SourceError:
        return
    assert len(found) == sum(1 for line in (b"x" + data).split(b"\n") if line.strip(b" \t\n\r\x0b\f"))


@pytest.mark.parametrize(
    ("line", "detail"),
    [
        ('{"prompt": "a"},', "column 16: a comma behind the object"),
        ('{"prompt": "a"}{"prompt": "b"}', "column 16: more text behind the end of the value"),
    ],
)
def test_what_is_behind_the_object_of_a_line_is_said(tmp_path, line, detail):
    (tmp_path / "a.jsonl").write_text(f"{line}\n")
    (unit,) = plan_units([SourceConfig(path=str(tmp_path / "a.jsonl"))])
    assert [row.drop for row in read_raw(unit)] == [Drop("bad_json", detail)]
