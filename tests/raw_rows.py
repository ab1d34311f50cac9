"""Rows of raw data, and files of them, for tests of whole runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def chat(user: str, assistant: str = "Yes.") -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": user}, {"role": "assistant", "content": assistant}]}


def write_lines(path: Path, rows: list[Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path
