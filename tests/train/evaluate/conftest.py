"""A dataset that prepare wrote, of two files, with conversations of one to three turns."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import sftdata


def chat(*turns: str) -> str:
    roles = ("user", "assistant") * len(turns)
    return json.dumps({"messages": [{"role": role, "content": text} for role, text in zip(roles, turns)]})


@pytest.fixture(scope="session")
def chats(tmp_path_factory: pytest.TempPathFactory, tiny_tokenizer: Path) -> Path:
    """Half of the conversations are for validation."""
    folder = tmp_path_factory.mktemp("chats")
    one = [chat(f"Hi {n}", f"Héllo {n}") for n in range(4)]
    one += [chat("Who?", "Me", "And?", "Paris is the capital", f"So {n}?", "Yes", "Ok", "Bye") for n in range(4)]
    two = [chat(f"What is 2+{n}?", f"{2 + n}") for n in range(6)]
    two += [chat(f"Capital of {n}?", "Paris", "Sure?", "Sure") for n in range(6)]
    (folder / "one.jsonl").write_text("\n".join(one) + "\n")
    (folder / "two.jsonl").write_text("\n".join(two) + "\n")
    config = {
        "tokenizer": str(tiny_tokenizer),
        "sources": [{"path": str(folder / "one.jsonl")}, {"path": str(folder / "two.jsonl")}],
        "pack": {"seq_len": 96},
        "split": {"validation": 0.5},
        "out": str(folder / "shards"),
    }
    sftdata.prepare(config)
    return folder / "shards"
