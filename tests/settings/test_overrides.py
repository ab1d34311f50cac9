"""Settings as text: what a YAML file and `dotted.key=value` may hold, and how a mistake in either is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from sftdata.config import load_config
from sftdata.errors import ConfigError


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("pack.seq_len", "is neither a file nor a setting"),
        ("sources.5.format=text", "there is no entry 5 in a list of 1"),
        ("tokenizer.path=x", "tokenizer holds a plain value, not settings"),
        ("sources=[null] sources.0.path=x", "entry 0 holds a plain value, not settings"),
        ("sources.\u00b2.path=x", "there is no entry \u00b2 in a list of 1"),
        ("seed=[", "the value is not YAML"),
    ],
)
def test_an_override_that_makes_no_sense_is_named(tmp_path: Path, override: str, sentence: str) -> None:
    (tmp_path / "c.yaml").write_text("{tokenizer: t, sources: [a], out: o}")
    with pytest.raises(ConfigError, match=sentence):
        load_config(tmp_path / "c.yaml", override.split())


@pytest.mark.parametrize(
    ("content", "sentence"),
    [(b"", "holds no settings"), (b"- a", "holds no settings"), (b"a: [", "is not YAML"), (b"\xff", "is not UTF-8")],
)
def test_a_file_that_holds_no_settings_is_named(tmp_path: Path, content: bytes, sentence: str) -> None:
    (tmp_path / "c.yaml").write_bytes(content)
    with pytest.raises(ConfigError, match=sentence):
        load_config(tmp_path / "c.yaml")


def test_a_settings_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"c\.yaml: No such file"):
        load_config(tmp_path / "c.yaml")
