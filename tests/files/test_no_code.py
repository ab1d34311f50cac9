"""What names code is taken out of JSON; the rest stays as it is."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sftdata.files.no_code import json_without_code

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "auto_map", "b"]), inner, max_size=3)
    ),
    max_leaves=12,
)


def test_auto_map_is_taken_out_however_deep_it_is() -> None:
    data = b'{"a": 1, "auto_map": {"AutoTokenizer": ["x.X", null]}, "b": [{"custom_generate": "c", "d": "auto_map"}]}'
    assert json.loads(json_without_code(data)) == {"a": 1, "b": [{"d": "auto_map"}]}


@given(VALUES, st.sampled_from([None, 1]))
def test_the_bytes_stay_where_nothing_names_code(value: object, indent: int | None) -> None:
    data = json.dumps(value, indent=indent).encode()
    kept = json_without_code(data)
    assert '"auto_map":' not in json.dumps(json.loads(kept))
    if b'"auto_map":' not in data:
        assert kept == data


@pytest.mark.parametrize("data", [b"", b"{", b"\xff", b"[" * 100_000])
def test_what_is_no_json_is_an_error(data: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        json_without_code(data)
