"""Settings as text: what YAML files and `dotted.key=value` may contain, and the errors for mistakes."""

from __future__ import annotations

from pathlib import Path

import pytest

from sftdata.config import load_config
from sftdata.errors import ConfigError


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("pack.seq_len", "is neither a file nor a setting"),
        ("sources.5.format=text", "there is no entry 5 in a list of length 1"),
        ("tokenizer.path=x", "tokenizer is a plain value, not a group of settings"),
        ("sources=[null] sources.0.path=x", "entry 0 is a plain value, not a group of settings"),
        ("sources.\u00b2.path=x", "there is no entry \u00b2 in a list of length 1"),
        ("seed=[", "the value is not YAML"),
    ],
)
def test_an_invalid_override_is_reported(tmp_path: Path, override: str, sentence: str) -> None:
    (tmp_path / "c.yaml").write_text("{tokenizer: t, sources: [a], out: o}")
    with pytest.raises(ConfigError, match=sentence):
        load_config(tmp_path / "c.yaml", override.split())


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "contains no settings"),
        (b"- a", "contains no settings"),
        (b"a: [", "is not YAML"),
        (b"\xff", "is not UTF-8"),
    ],
)
def test_a_file_without_settings_is_reported(tmp_path: Path, content: bytes, sentence: str) -> None:
    (tmp_path / "c.yaml").write_bytes(content)
    with pytest.raises(ConfigError, match=sentence):
        load_config(tmp_path / "c.yaml")


def test_a_missing_settings_file_is_reported(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"c\.yaml: No such file"):
        load_config(tmp_path / "c.yaml")
