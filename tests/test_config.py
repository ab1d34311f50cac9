from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import pytest

from sftdata.config import Config, load_config, parse_config
from sftdata.errors import ConfigError

MINIMAL: dict[str, Any] = {"tokenizer": "tok", "sources": "a.jsonl", "out": "shards"}


def error_of(settings: dict[str, Any]) -> str:
    with pytest.raises(ConfigError) as caught:
        parse_config(settings)
    return str(caught.value)


def test_three_settings_are_enough_and_a_path_alone_is_a_source_or_an_output() -> None:
    config = parse_config(MINIMAL)
    assert [source.path for source in config.sources] == ["a.jsonl"]
    assert config.out.path == "shards"
    assert (config.pack.seq_len, config.pack.strategy, config.dedup.exact, config.seed) == (2048, "best_fit", True, 0)
    both = parse_config({**MINIMAL, "sources": ["a.jsonl", {"path": "b.csv", "format": "alpaca"}]})
    assert [(source.path, source.format) for source in both.sources] == [("a.jsonl", "auto"), ("b.csv", "alpaca")]


def test_all_problems_are_reported_at_once() -> None:
    message = error_of(
        {"sources": [{"path": "a", "fromat": "auto"}], "out": "o", "pack": {"seq_length": 9, "strategy": "x"}}
    )
    assert "4 problems:" in message
    assert "tokenizer is required" in message
    assert "sources.0.fromat is not a setting; did you mean sources.0.format?" in message
    assert "pack.seq_length is not a setting; it is called pack.seq_len here" in message
    assert "pack.strategy: input should be 'best_fit' or 'none' (got 'x')" in message


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"sources": []}, "sources: "),
        ({"date": "2026-02-30"}, "date: day"),
        ({"seed": -1}, "seed: "),
        (
            {"split": {"validation": 2.5}},
            "split.validation: must be a fraction below 1, or a whole number of conversations",
        ),
        ({"split": {"validation": -0.1}}, "split.validation"),
        ({"out": {}}, "out.path is required"),
        ({"pack": {"seq_len": 7}}, "pack.seq_len"),
        ({"seq_len": 2048}, "seq_len is not a setting"),
        ({"dedup": {"near": {"treshold": 0.7}}}, "did you mean dedup.near.threshold?"),
        ({"dedup": {"near": {"threshold": 0}}}, "dedup.near.threshold"),
        ({"dedup": {"semantic": "on"}}, "dedup.semantic.model is required"),
        ({"dedup": {"semantic": {"model": "m", "threshold": 1.1}}}, "dedup.semantic.threshold"),
        ({"filters": "hard"}, "'hard' is not a preset of the filters"),
        ({"privacy": "hide"}, "privacy"),
        (
            {"sources": [{"path": "a", "format": "text", "system": "Be brief."}]},
            "sources.0: system can do nothing with format: text; remove it",
        ),
        ({"decontaminate": {"overlap": 1}}, "decontaminate.overlap"),
    ],
)
def test_an_invalid_value_is_reported_with_its_key(change: dict[str, Any], sentence: str) -> None:
    assert sentence in error_of({**MINIMAL, **change})


def test_filters_privacy_and_near_duplicates_can_be_single_words_as_yaml_parses_them(tmp_path: Path) -> None:
    def read(text: str) -> Config:
        (tmp_path / "c.yaml").write_text(f"{{tokenizer: t, sources: a, out: o, {text}}}")
        return load_config(tmp_path / "c.yaml")

    plain = read("seed: 0")
    assert (plain.filters.is_off, plain.privacy.mode, plain.dedup.near) == (True, "off", None)
    off = read("filters: off, privacy: off, dedup: {near: off}")
    assert (off.filters.is_off, off.privacy.mode, off.dedup.near) == (True, "off", None)
    bare = read("filters: strict, privacy: redact, dedup: {near: on}, decontaminate: {against: e.jsonl}")
    assert (bare.filters.preset, bare.filters.refusals, bare.privacy.mode) == ("strict", True, "redact")
    assert bare.dedup.near is not None and bare.dedup.near.threshold == 0.8
    assert [source.path for source in bare.resolved_evaluations()] == [str(tmp_path / "e.jsonl")]
    full = read("dedup: {near: {threshold: 0.7, on: prompt}}, filters: {refusals: true}").dedup.near
    assert full is not None and (full.on, full.threshold) == ("prompt", 0.7)
    assert (plain.dedup.semantic, read("dedup: {semantic: off}").dedup.semantic) == (None, None)
    semantic = read("dedup: {semantic: {model: m, on: answer}}").dedup.semantic
    assert semantic is not None and (semantic.on, semantic.threshold, semantic.keep) == ("answer", 0.95, "first")


def test_a_date_may_be_text_or_a_yaml_date(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("{tokenizer: t, sources: a, out: o, date: 2026-01-15}")
    assert load_config(tmp_path / "c.yaml").date == parse_config({**MINIMAL, "date": "2026-01-15"}).date == "2026-01-15"


def test_settings_on_the_command_line_override_the_file(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("{tokenizer: t, sources: [a, b], out: o, pack: {seq_len: 64}}")
    changes = [
        "pack.seq_len=128",
        "sources.1.format=text",
        "out.shard_tokens=9",
        "split.validation=0.5",
        "template=null",
    ]
    config = load_config(tmp_path / "c.yaml", changes[:-1])
    assert (config.pack.seq_len, config.out.path, config.out.shard_tokens) == (128, "o", 9)
    assert [source.format for source in config.sources] == ["auto", "text"]
    assert config.split.validation == 0.5
    with pytest.raises(ConfigError, match="template"):
        load_config(tmp_path / "c.yaml", changes)


def config_in(folder: Path, **settings: str) -> Config:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "c.yaml").write_text("\n".join(f"{key}: {value}" for key, value in {**MINIMAL, **settings}.items()))
    return load_config(folder / "c.yaml")


def test_paths_are_relative_to_the_config_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ann")
    config = config_in(tmp_path / "sub")
    assert config.resolve_path("data/a.jsonl") == str(tmp_path / "sub" / "data" / "a.jsonl")
    assert config.resolve_path("/data/a.jsonl") == "/data/a.jsonl"
    assert config.resolve_path("~/a.jsonl") == "/home/ann/a.jsonl"
    assert config.resolve_path("s3://bucket/a.jsonl") == "s3://bucket/a.jsonl"


def test_a_name_is_a_path_if_it_exists_and_a_hub_id_otherwise(tmp_path: Path) -> None:
    config = config_in(tmp_path, tokenizer="org/name", sources="[org/data, org/*, org/data.jsonl]")
    assert config.resolve_if_exists(config.tokenizer) == "org/name"
    below = [str(tmp_path / "org" / "*"), str(tmp_path / "org" / "data.jsonl")]
    assert [source.path for source in config.resolved_sources()] == ["org/data", *below]
    (tmp_path / "org" / "name").mkdir(parents=True)
    (tmp_path / "org" / "data").mkdir()
    assert config.resolve_if_exists(config.tokenizer) == str(tmp_path / "org" / "name")
    assert config.resolved_sources()[0].path == str(tmp_path / "org" / "data")


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"bos_token": "x"}, "has bos_token, which the tokenizer decides; a setting cannot replace it"),
        ({"raise_exception": 1}, "has raise_exception, which the language of templates decides"),
        ({"tools": []}, "has tools, which each row decides"),
        ({"enable_thinking": None}, "has enable_thinking, which holds null; leave it out"),
        ({"date": date(2026, 1, 2)}, "has date, which holds a date; put quotes around it"),
        ({"a b": 1}, "has 'a b', which is no name of an argument"),
    ],
)
def test_arguments_of_the_template_that_cannot_be_given_are_named(arguments: Any, problem: str) -> None:
    for where in ({"chat_template_kwargs": arguments}, {"sources": [{"path": "a", "chat_template_kwargs": arguments}]}):
        assert f"chat_template_kwargs: {problem}" in error_of({**MINIMAL, **where})


def test_on_and_off_without_quotes_are_words_of_thinking() -> None:
    config = parse_config({**MINIMAL, "sources": [{"path": "a", "thinking": True}], "thinking": False})
    assert (config.thinking, config.sources[0].thinking) == ("off", "on")
