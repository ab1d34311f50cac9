from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sftdata.config import SourceConfig
from sftdata.errors import SourceError
from sftdata.read import plan_units, read_raw
from sftdata.read.readers.repeated_keys import keys_written
from sftdata.records.record import Drop

GOOD = '{"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]}'
TWICE = "is given twice in one object, with different values"


def written(raw_rows, path: Path, *lines: str) -> list[tuple[Any, str | None]]:
    path.write_text("\n".join(lines) + "\n")
    return [(value, reason) for _, _, value, reason in raw_rows(path)]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "chats.jsonl"


@pytest.mark.parametrize(
    "line",
    [
        '{"messages": [{"role": "user", "content": "lost"}], "messages": [{"role": "user", "content": "q"}]}',
        '{"messages": [{"role": "user", "content": "lost", "content": "q"}]}',
        '{"messages": [], "tools": [{"function": {"name": "f", "name": "g"}}]}',
        '{"prompt": "p", "completion": "lost", "completion": "c"}',
        '{"prompt" : "p", "prompt": "q"}',
        '{"prompt"\t: "p", "prompt"\t: "q"}',
        '{"prompt":"\\":","prompt":"q"}',
        '{"prompt":"\\u0022:","prompt":"q"}',
        '{"a\\\\":1,"a\\\\":2}',
        '[{"a": 1, "a": 2}]',
        '{"n": 123456789012345678901234567890, "prompt": "p", "prompt": "q"}',
        '{"score": NaN, "prompt": "p", "prompt": "q"}',
    ],
)
def test_a_key_with_two_values_costs_its_line(file, raw_rows, line):
    rows = written(raw_rows, file, GOOD, line, GOOD)
    assert [reason for _, reason in rows] == [None, "conflicting_fields", None]
    assert rows[0][0] == rows[2][0] == json.loads(GOOD)


def test_the_detail_names_the_key(file):
    file.write_text('{"messages": [{"role": "user", "content": "lost", "content": "q"}]}\n')
    (unit,) = plan_units([SourceConfig(path=str(file))])
    (row,) = read_raw(unit)
    assert row.drop == Drop("conflicting_fields", f"'content' {TWICE}")


@pytest.mark.parametrize(
    "line",
    [
        '{"id": 7, "id": 7, "prompt": "p"}',
        '{"prompt": "{\\"a\\": 1, \\"a\\": 2}"}',
        '{"prompt": ":)", "a": ":", "b": "x\\":"}',
        '{"prompt" : "p", "completion" : "c"}',
        '{"prompt": "\\u0022:\\u0022"}',
        '{"a": {"x": 1}, "b": {"x": 2}, "c": [{"x": 3}, {"x": 4}]}',
        '{"prompt": "\\ud800", "n": 123456789012345678901234567890}',
    ],
)
def test_a_line_that_loses_nothing_is_kept(file, raw_rows, line):
    assert written(raw_rows, file, line, GOOD) == [(json.loads(line), None), (json.loads(GOOD), None)]


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ('{"a":1,"b":{"c":2}}', 3),
        ('{"a":"say \\":","b":"{\\"x\\":1}"}', 2),  # quotation marks in texts are escaped
        ('{"a\\\\":"b"}', 1),  # a backslash at the end of a key is, and the mark behind it is not
        ('"a":', 1),
        ('"', 0),
        ("", 0),
        ('{"a" :1}', -1),
    ],
)
def test_keys_are_counted_and_what_looks_like_one_in_a_text_is_not(text, keys):
    assert keys_written(text.encode()) == keys
    if keys >= 0:
        assert keys_written(f"\n{text}".encode()) == keys


def test_blank_and_broken_lines_are_beside_it(file, raw_rows):
    rows = written(raw_rows, file, GOOD, "", '{"a":', '{"a": 1, "a": 2}', GOOD)
    assert [reason for _, reason in rows] == [None, "bad_json", "conflicting_fields", None]


@pytest.mark.parametrize("levels", [300, 990, 5000])
def test_a_line_that_is_nested_deeply_ends_no_run(file, raw_rows, levels):
    rows = written(raw_rows, file, GOOD, '{"a": ' + "[" * levels + "]" * levels + ', "a": 1, "b": 2, "b": 3}', GOOD)
    assert [rows[0][1], rows[2][1]] == [None, None]


def test_rows_of_a_json_file_are_dropped_one_by_one(tmp_path, raw_rows):
    path = tmp_path / "chats.json"
    rows = written(raw_rows, path, f'[{GOOD}, {{"a": {{"b": 1, "b": 2}}}}, {GOOD}]')
    assert [reason for _, reason in rows] == [None, "conflicting_fields", None]


def test_two_lists_under_one_key_of_a_json_file_are_an_error(tmp_path, raw_rows):
    with pytest.raises(SourceError, match="gives 'data' twice"):
        written(raw_rows, tmp_path / "chats.json", f'{{"data": [{GOOD}], "data": [{GOOD}, {GOOD}]}}')


KEYS = st.sampled_from(["messages", "content", "role", 'a"', 'a":', "\\", "é", ""])
TEXTS = st.text(alphabet='":\\ {}a\té', max_size=6)
VALUES = st.recursive(
    TEXTS | st.integers(-3, 3) | st.none(),
    lambda inner: st.lists(inner, max_size=3) | st.lists(st.tuples(KEYS, inner), max_size=4).map(tuple),
    max_leaves=12,
)


def as_json(value: Any, colon: str, ascii_only: bool) -> str:
    """A value as JSON text, where a tuple stands for an object as pairs."""
    if isinstance(value, tuple):
        pairs = [
            json.dumps(key, ensure_ascii=ascii_only) + colon + as_json(one, colon, ascii_only) for key, one in value
        ]
        return "{" + ", ".join(pairs) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(as_json(one, colon, ascii_only) for one in value) + "]"
    return json.dumps(value, ensure_ascii=ascii_only)


def loses(value: Any) -> bool:
    """Whether an object has a key with two values."""
    if isinstance(value, list):
        return any(map(loses, value))
    if not isinstance(value, tuple):
        return False
    seen: dict[str, list[Any]] = {}
    for key, one in value:
        seen.setdefault(key, []).append(last(one))
    return any(map(loses, (one for _, one in value))) or any(one != own[-1] for own in seen.values() for one in own)


def last(value: Any) -> Any:
    """A value as a parser reads it."""
    if isinstance(value, tuple):
        return {key: last(one) for key, one in value}
    return [last(one) for one in value] if isinstance(value, list) else value


@given(
    rows=st.lists(VALUES, min_size=1, max_size=6), colon=st.sampled_from([":", ": ", " : "]), ascii_only=st.booleans()
)
def test_exactly_the_lines_that_lose_a_value_are_dropped(tmp_path_factory, raw_rows, rows, colon, ascii_only):
    path = tmp_path_factory.mktemp("rows") / "rows.jsonl"
    path.write_text('{"a": 1}\n' + "\n".join(as_json(row, colon, ascii_only) for row in rows) + "\n", encoding="utf-8")
    found = [reason for _, _, _, reason in raw_rows(path)][1:]
    assert found == ["conflicting_fields" if loses(row) else None for row in rows]
