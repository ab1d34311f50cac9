"""Settings as text: what YAML files and `dotted.key=value` may contain, and the errors for mistakes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sftdata.config import apply_changes, load_config
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


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (
            "seed: 1\nsystem: Be brief: always\n",
            "c.yaml:2: is not YAML: the line has a second ': '; put a value that contains ': ' in quotation marks:\n"
            "  1 | seed: 1\n"
            "  2 | system: Be brief: always\n"
            "    |                 ^",
        ),
        (
            "sources:\n\t- a.jsonl\n",
            "c.yaml:2: is not YAML: a tab cannot indent a line; indent with spaces:\n"
            "  1 | sources:\n  2 |     - a.jsonl\n    | ^",
        ),
        (
            'out: "shards\nseed: 1\n',
            "c.yaml:1: is not YAML: the quotation mark that opens here is never closed; "
            'close it, or double one that belongs to the text:\n  1 | out: "shards\n    |      ^',
        ),
        (
            "stop_tokens: [a, b\nseed: 1\n",
            "c.yaml:1: is not YAML: the bracket [ that opens here is not closed, or a comma is missing; "
            "close it with ]:\n"
            "  1 | stop_tokens: [a, b\n    |              ^",
        ),
        (
            "pack: {seq_len: 64\n",
            "c.yaml:1: is not YAML: the brace { that opens here is not closed, or a comma is missing; "
            "close it with }:\n"
            "  1 | pack: {seq_len: 64\n    |       ^",
        ),
        (
            'out: "C:\\data"\n',
            "c.yaml:1: is not YAML: a backslash in double quotation marks needs a second one; "
            "use single quotation marks:\n"
            '  1 | out: "C:\\data"\n    |          ^',
        ),
        (
            "sources:\n  - path: a\n   format: text\n",
            "c.yaml:3: is not YAML: the line is not indented as those that it belongs to; "
            "indent the entries of a list, and the keys of a mapping, all alike:\n"
            "  2 |   - path: a\n  3 |    format: text\n    |    ^",
        ),
        (
            "tokenizer: @org/name\n",
            "c.yaml:1: is not YAML: a value cannot begin with this character; put the value in quotation marks:\n"
            "  1 | tokenizer: @org/name\n    |            ^",
        ),
        (
            "tokenizer:t\nseed: 1\n",
            "c.yaml:2: is not YAML: ': ' comes too early: the line is indented too far, or the one above lacks its "
            "': '; compare the two lines:\n  1 | tokenizer:t\n  2 | seed: 1\n    |     ^",
        ),
        (
            "out: o\nseed\n",
            "c.yaml:2: is not YAML: a key lacks its ': '; write it as key: value:\n  1 | out: o\n  2 | seed\n    | ^",
        ),
        (
            "seed: 1\nseed: 2\n",
            "c.yaml:2: gives the key 'seed' twice; fix the file:\n  1 | seed: 1\n  2 | seed: 2\n    | ^",
        ),
        (
            "# 設定: はい\nsystem: 答え: はい\n",
            "c.yaml:2: is not YAML: the line has a second ': '; put a value that contains ': ' in quotation marks:\n"
            "  1 | # 設定: はい\n  2 | system: 答え: はい\n    |             ^",
        ),
    ],
)
def test_a_mistake_in_yaml_is_shown_with_its_line_a_caret_and_the_cause(
    tmp_path: Path, content: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("c.yaml").write_text(content, encoding="utf-8")
    with pytest.raises(ConfigError) as error:
        load_config("c.yaml")
    assert str(error.value) == said


def test_a_password_in_a_line_that_is_not_yaml_is_not_shown(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("path: s3://me:hunter2@bucket/a.jsonl: b\nseed: 1\n")
    with pytest.raises(ConfigError) as error:
        load_config(tmp_path / "c.yaml")
    assert str(error.value).endswith("marks:\n  1 | path: s3://bucket/a.jsonl: b")


def test_a_long_line_that_is_not_yaml_is_shown_around_the_mistake(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text(f"system: {'word ' * 100}: {'end ' * 100}: x\n")
    with pytest.raises(ConfigError) as error:
        load_config(tmp_path / "c.yaml")
    shown, caret = str(error.value).splitlines()[-2:]
    assert len(shown) <= 106
    assert shown[caret.index("^")] == ":"


@pytest.mark.parametrize(("plain", "group"), [("default", "default"), ("off", "off"), ("strict", "strict")])
def test_a_setting_of_a_group_may_follow_its_short_form(plain: str, group: str) -> None:
    config: dict[str, Any] = {}
    apply_changes(
        config, [f"filters={plain}", "filters.min_answer_words=3", "privacy=redact", "privacy.kinds=[email]"], {}
    )
    assert config["filters"] == {"preset": group, "min_answer_words": 3}
    assert config["privacy"] == {"mode": "redact", "kinds": ["email"]}
    apply_changes(config, ["filters=off", "out=a", "out.shard_tokens=9", "out=b"], {})
    assert config["filters"] is False  # YAML reads it so
    assert config["out"] == {"path": "b", "shard_tokens": 9}
