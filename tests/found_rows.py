"""Rows in which every text and every fate is known, and a dataset prepared from them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import sftdata

LAMP = "The lamp on the desk is bright and has a long cord that goes to the wall behind the bookcase by the door."


def chat(*turns: str, system: str | None = None) -> dict[str, Any]:
    roles = ["user", "assistant"] * len(turns)
    head = [] if system is None else [{"role": "system", "content": system}]
    return {"messages": [*head, *({"role": role, "content": text} for role, text in zip(roles, turns))]}


ROWS: dict[str, list[Any]] = {
    "data/chats.jsonl": [
        chat("What is HTTP?", "A protocol."),
        chat("What is HTTP?", "A protocol."),  # a duplicate of line 1
        chat("Describe the lamp.", LAMP),
        chat("Describe the lamp.", LAMP + " It is new."),  # nearly a duplicate of line 3
        {"nothing": "of use"},
        chat("你好", "naïve €5 — done", "And <|im_end|>?", "Text only."),
        chat("Say it.", "Yes.", system="Be brief."),
    ],
    "more.jsonl": [chat(f"Count to {n}.", " ".join(map(str, range(1, n + 1)))) for n in (3, 9, 6)],
}
SETTINGS = {
    "sources": ["data/chats.jsonl", "more.jsonl"],
    "out": "out",
    "pack": {"seq_len": 256},
    "dedup": {"near": {"threshold": 0.7}},
}


def write_rows(folder: Path, rows: dict[str, list[Any]]) -> None:
    for name, content in rows.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in content), encoding="utf-8")


def prepare(folder: Path, tokenizer: Path, rows: dict[str, list[Any]] = ROWS, **settings: Any) -> Path:
    """Write the rows and prepare them: the folder of the dataset."""
    write_rows(folder, rows)
    (folder / "prepare.yaml").write_text(json.dumps({"tokenizer": str(tokenizer), **SETTINGS, **settings}))
    sftdata.prepare(sftdata.load_config(folder / "prepare.yaml"), workers=1)
    return folder / str(settings.get("out", "out"))
