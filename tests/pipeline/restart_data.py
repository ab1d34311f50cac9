"""Data and settings for runs that are stopped or repeated."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def chats(numbers: range) -> str:
    rows = ({"prompt": f"Question {n % 150}", "completion": "Because. " * (n % 9)} for n in numbers)
    return "".join(json.dumps(row) + "\n" for row in rows)


def write_data(folder: Path) -> Path:
    """Two files of conversations, of which the second repeats some of the first."""
    folder.mkdir()
    (folder / "a.jsonl").write_text(chats(range(120)))
    (folder / "b.jsonl").write_text(chats(range(100, 200)))
    return folder


def settings_for(out: Path, tokenizer: Path, data: Path, **more: Any) -> dict[str, Any]:
    return {
        "tokenizer": str(tokenizer),
        "sources": [{"path": str(data), "keep": ["prompt"]}],
        "out": {"path": str(out), "shard_tokens": 2000},
        "pack": {"seq_len": 64},
        "split": {"validation": 0.1},
        **more,
    }
