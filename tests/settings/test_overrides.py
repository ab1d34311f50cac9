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
        (b"seed: 1\nout: o\nseed: 2", r"c\.yaml:3: gives the key 'seed' twice"),
        (b"pack: {seq_len: 1, 'seq_len': 2}", "gives the key 'seq_len' twice"),
        (b"a: &a [x, *a]", "has an alias inside what it stands for"),
        (
            b"a: &a [x,x,x,x,x,x,x,x,x]\n"
            + b"".join(
                b"%c: &%c [%s]\n" % (to, to, b",".join([b"*%c" % (to - 1)] * 9)) for to in range(ord("b"), ord("i"))
            ),
            "has aliases that stand for more than 100,000 values",
        ),
    ],
)
def test_a_file_without_settings_is_reported(tmp_path: Path, content: bytes, sentence: str) -> None:
    (tmp_path / "c.yaml").write_bytes(content)
    with pytest.raises(ConfigError, match=sentence):
        load_config(tmp_path / "c.yaml")


def test_a_missing_settings_file_is_reported(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"c\.yaml: No such file"):
        load_config(tmp_path / "c.yaml")


def test_an_alias_that_is_no_bomb_and_a_merge_that_changes_a_key_are_read(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text(
        "tokenizer: t\nout: o\nsources:\n"
        "  - &first {path: a, system: &s Hi}\n  - {<<: *first, path: b}\n  - {path: c, system: *s}\n"
    )
    sources = load_config(tmp_path / "c.yaml").sources
    assert [source.system for source in sources] == ["Hi"] * 3
    assert [Path(source.path).name for source in sources] == ["a", "b", "c"]
