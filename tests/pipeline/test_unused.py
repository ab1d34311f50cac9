"""Columns that nothing uses are counted in the manifest, whichever path their rows take."""

from __future__ import annotations

from pathlib import Path

from raw_rows import chat, write_lines

import sftdata
from sftdata.config import Config
from sftdata.store.manifest import UnusedEntry
from sftdata.view.summary import summarize


def test_rows_with_unused_columns_and_keys_are_counted_for_each_source(tiny_tokenizer: Path, tmp_path: Path) -> None:
    turns = chat("What?", "That.")["messages"]
    first = write_lines(
        tmp_path / "a.jsonl",
        [
            {**chat("Who?"), "verdict": "Hm.", "id": 7},
            {**chat("Why?"), "verdict": None, "id": 8},
            {"messages": [{**turns[0], "mood": "glad"}, turns[1]], "verdict": "Hm."},
            {"messages": [], "verdict": "dropped"},
        ],
    )
    second = write_lines(tmp_path / "b.jsonl", [{"prompt": "How?", "completion": "So.", "mark": 1, "kept": "x"}])
    sources = [{"path": str(first)}, {"path": str(second), "keep": ["kept"]}]
    config = Config(tokenizer=str(tiny_tokenizer), sources=sources, out=str(tmp_path / "out"))
    manifest = sftdata.prepare(config).manifest
    assert manifest.unused == (
        UnusedEntry(source=str(first), column="id", rows=2),
        UnusedEntry(source=str(first), column="messages[].mood", rows=1),
        UnusedEntry(source=str(first), column="verdict", rows=2),
        UnusedEntry(source=str(second), column="mark", rows=1),
    )
    lines = summarize("x", manifest).lines
    assert "2 rows have a column `verdict` that is not used" in lines
    assert "1 row has a key `mood` in `messages` that is not used" in lines
