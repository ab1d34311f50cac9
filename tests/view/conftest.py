"""A small dataset for the tests of the views, written with the functions of the store."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import pyarrow as pa
import pytest
from entries import file_entry
from samples import SAMPLE_SCHEMA, build_shard
from tokenizers import Tokenizer

from sftdata.store.manifest import (
    Counts,
    Manifest,
    PackingEntry,
    ShardEntry,
    TemplateEntry,
    TokenizerEntry,
    hash_of_shards,
)
from sftdata.store.shards import write_shard

Turns = Sequence[tuple[str, str]]
START, END = 1, 2  # <|im_start|>, <|im_end|> of the tiny tokenizer
SEQ_LEN = 256

CHATS: list[Turns] = [
    [("user", "What is the capital of France?"), ("assistant", "Paris.")],
    [
        ("system", "You are a helpful assistant."),
        ("user", "</span><script>alert(1)</script>"),
        ("assistant", "<b>&amp;"),
    ],
    [("user", "tab\there, two  spaces \n\nnew"), ("assistant", "\x1b[31mred\x07 \u202eevil\u200b [bold]x[/bold]")],
    [("user", "你好 👩‍👩‍👧"), ("assistant", "naïve €5")],
]


def encode_chat(tokenizer: Tokenizer, turns: Turns) -> tuple[list[int], list[int]]:
    """ChatML ids and labels: the assistant text and its end token are trained."""
    ids: list[int] = []
    labels: list[int] = []
    for role, content in turns:
        head = [START, *tokenizer.encode(role + "\n").ids]
        body = [*tokenizer.encode(content).ids, END]
        newline = tokenizer.encode("\n").ids
        ids += head + body + newline
        trained = role == "assistant"
        labels += [-100] * len(head) + (body if trained else [-100] * len(body)) + [-100] * len(newline)
    return ids, labels


def write_dataset(
    out: Path, tokenizer_folder: Path, splits: dict[str, list[list[Turns]]], seq_len: int = SEQ_LEN
) -> Path:
    """Write a dataset: each split is a list of shards, each shard a list of chats. Record ids are r0, r1, ..."""
    tokenizer = Tokenizer.from_file(str(tokenizer_folder / "tokenizer.json"))
    entries = []
    number = 0
    for split, shards in splits.items():
        for at, chats in enumerate(shards):
            rows = []
            for chat in chats:
                ids, labels = encode_chat(tokenizer, chat)
                rows.append({"record_id": f"r{number}", "sample": 0, "input_ids": ids, "labels": labels})
                number += 1
            path = f"{split}/{at:05d}-of-{len(shards):05d}.arrow"
            table = pa.Table.from_pylist(rows, SAMPLE_SCHEMA)
            (out / split).mkdir(parents=True, exist_ok=True)
            entries.append(
                ShardEntry.of(path, split, write_shard(out / path, build_shard(table, seq_len, "best_fit", 0)))
            )
    shutil.copytree(tokenizer_folder, out / "tokenizer")
    Manifest(
        dataset_hash=hash_of_shards(entries),
        seed=0,
        seq_len=seq_len,
        shards=tuple(entries),
        ledger=(),
        files=(file_entry(out, "tokenizer/tokenizer.json"),),
        tokenizer=TokenizerEntry(
            source="tiny", sha256=hashlib.sha256(b"").hexdigest(), vocab_size=600, control_ids=(0, START, END)
        ),
        template=TemplateEntry(source="auto", sha256=hashlib.sha256(b"").hexdigest()),
        config={},
        versions={},
        counts=Counts(
            rows_read=number + 5,
            packed=number,
            dropped={"dedup": {"duplicate": 3}, "read": {"bad_json": 2}},
        ),
        packing=PackingEntry.of("best_fit", seq_len, entries),
    ).save(out)
    return out


@pytest.fixture(scope="session")
def dataset_writer(tiny_tokenizer: Path) -> Callable[..., Path]:
    """`write(out, splits)` with the tiny tokenizer."""
    return lambda out, splits, **kwargs: write_dataset(out, tiny_tokenizer, splits, **kwargs)


@pytest.fixture(scope="session")
def small_dataset(dataset_writer: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two shards of train (CHATS, and one more chat) and one of validation."""
    extra: Turns = [("user", "1 2 3"), ("assistant", "4 5 6")]
    held_out: Turns = [("user", "name a lamp"), ("assistant", '{"name": "lamp"}')]
    out = tmp_path_factory.mktemp("prepared") / "shards"
    return dataset_writer(out, {"train": [CHATS, [extra]], "validation": [[held_out]]})


@pytest.fixture(scope="session")
def chats() -> list[Turns]:
    """The chats in the first train shard, r0 to r3."""
    return CHATS
