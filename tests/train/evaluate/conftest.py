"""A dataset that prepare wrote, of two files, with conversations of one to three turns."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import sftdata


def chat(*turns: str) -> str:
    roles = ("user", "assistant") * len(turns)
    return json.dumps({"messages": [{"role": role, "content": text} for role, text in zip(roles, turns)]})


@pytest.fixture(scope="session")
def short_gpt2(tmp_path_factory: pytest.TempPathFactory, tiny_tokenizer: Path) -> Path:
    """A model that has 48 positions and none beyond them."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=640, n_positions=48, n_embd=32, n_layer=2, n_head=2, bos_token_id=None, eos_token_id=0
    )
    folder = tmp_path_factory.mktemp("short_gpt2")
    GPT2LMHeadModel(config).save_pretrained(folder)
    shutil.copy(tiny_tokenizer / "tokenizer.json", folder)
    return folder


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
