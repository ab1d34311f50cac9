"""sftdata.files.strict_json: JSON as everyone reads it, and nothing else."""

from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sftdata.files import strict_json
from sftdata.files.strict_json import parse_strict

NUMBERS = st.integers(-(10**20), 10**20) | st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(value=VALUES)
def test_what_is_written_is_read(value: object) -> None:
    assert parse_strict(json.dumps(value).encode()) == value


@given(data=st.binary(max_size=60) | st.text('{}[],:"\\1e9-. NaInfity\n', max_size=60).map(str.encode))
def test_anything_else_is_a_value_error(data: bytes) -> None:
    with contextlib.suppress(ValueError):
        parse_strict(data)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("NaN", "NaN is not a number in JSON"),
        ("[-Infinity]", "-Infinity is not a number in JSON"),
        ("1e999", "the number 1e999 is too large"),
        ("-" + "9" * 301, "is too large"),
        ('{"a": 1, "b": 2, "a": 3}', "the key 'a' is given twice"),
        ('{"a": {"b": 1, "b": 1}}', "the key 'b' is given twice"),
        ("[" * 65 + "]" * 65, "nested more than 64 deep"),
        ("[" * 10**6, "nested more than 64 deep"),
        ('{"a":' * 10**5, "nested more than 64 deep"),
    ],
)
def test_what_readers_disagree_about_is_refused(text: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        parse_strict(text.encode())


def test_sixty_four_levels_are_read() -> None:
    assert parse_strict(b"[" * 64 + b"]" * 64) == json.loads("[" * 64 + "]" * 64)


def test_an_object_with_too_many_keys_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(strict_json, "MAX_KEYS", 2)
    assert parse_strict(b'{"a": 1, "b": 2}') == {"a": 1, "b": 2}
    with pytest.raises(ValueError, match="an object has 3 keys"):
        parse_strict(b'{"a": 1, "b": 2, "c": 3}')
