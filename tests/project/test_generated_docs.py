"""The tables of docs/ that are made from the code are what the code says, and cover all of it."""

from __future__ import annotations

import importlib.util
from types import ModuleType

import pytest
from package_files import ROOT


@pytest.fixture(scope="module")
def generate() -> ModuleType:
    """docs/generate.py as a module."""
    spec = importlib.util.spec_from_file_location("generate_docs", ROOT / "docs" / "generate.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_no_page_is_stale(generate: ModuleType) -> None:
    stale = [path.name for path, old, new in generate.pages() if old != new]
    assert stale == [], "run: .venv/bin/python docs/generate.py"


def test_every_group_of_settings_and_every_stage_has_a_table(generate: ModuleType) -> None:
    groups = {
        *("top", "sources", "out", "clean", "privacy", "dedup", "dedup.near", "dedup.prefix", "dedup.semantic"),
        *("dedup.caps", "decontaminate", "decontaminate.against", "split", "pack"),
    }
    assert groups == {one.section or "top" for one in generate.settings_of(generate.Config)} - {
        *("filters", "filters.repetition")  # in one table, with the values of both presets
    }
    stages = {stage for stage, _ in generate.REASONS.values()}
    shown = generate.tables()
    assert {"filters", "train top", "train lora"} <= shown
    assert {f"prepare {group}" for group in groups} <= shown
    assert {f"reasons {stage}" for stage in stages} <= shown


def test_a_cell_shows_tags_and_bars_as_text_and_leaves_code_as_it_is(generate: ModuleType) -> None:
    assert generate.text("in <think> marks") == "in \\<think> marks"
    assert generate.text("`a|<b>` or <|c|>") == "`a\\|<b>` or \\<\\|c\\|>"
    assert generate.code("") == ""
    assert generate.table(["a", "b"], [["1", ""]]) == "| a | b |\n| --- | --- |\n| 1 | |\n"


def test_a_setting_and_a_reason_are_shown_as_the_code_has_them(generate: ModuleType) -> None:
    settings = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    assert "| `seq_len` | `2048` | a whole number from 8 | maximum tokens of a sequence |" in settings
    assert "| `refusals` | `false` | `true` | " in settings
    reasons = (ROOT / "docs" / "reasons.md").read_text(encoding="utf-8")
    assert "| `overlong` | the sample is longer than pack.seq_len | " in reasons
