"""A small dataset written by hand, and ways to corrupt it while keeping all sums and checksums consistent."""

from __future__ import annotations

import hashlib
import json
import struct
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import xxhash

PAD, BOS, START, END, ASSISTANT, USER, NEWLINE, EOS = range(8)
VOCAB_SIZE = 32  # 8 to 30 are words, 31 is a control token that templates never write
TRAIN, VALIDATION = "train/00000-of-00001.arrow", "validation/00000-of-00001.arrow"

Row = dict[str, Any]
FRESH = "computed when the dataset is written"


def packed(*samples: tuple[str, str]) -> Row:
    """A packed row of (record id, tokens); the tokens in brackets are trained."""
    row: Row = {"input_ids": [], "labels": [], "seq_lengths": [], "record_ids": []}
    for record_id, text in samples:
        trained = False
        tokens = text.replace("[", " [ ").replace("]", " ] ").split()
        for token in tokens:
            if token in "[]":
                trained = token == "["
            else:
                row["input_ids"].append(int(token))
                row["labels"].append(int(token) if trained else -100)
        row["seq_lengths"].append(sum(token not in "[]" for token in tokens))
        row["record_ids"].append(record_id)
    return row


def good_shards() -> dict[str, list[Row]]:
    """Four chats and a plain text. Chats: BOS, <start>user\\n words <end>\\n, <start>assistant\\n words <end>\\n."""
    return {
        TRAIN: [
            packed(
                ("aa", "1  2 5 6 10 11 3 6  2 4 6 [12 13 3] 6"),
                ("bb", "1  2 5 6 14 3 6  2 4 6 [15 3] 6"),
            ),
            packed(
                ("cc", "1  2 5 6 10 3 6  2 4 6 [17 3] 6  2 5 6 9 3 6  2 4 6 [18 19 3] 6"),
                ("tt", "1 [20 21 22 7]"),
            ),
        ],
        VALIDATION: [
            packed(("vv", "1  2 5 6 23 3 6  2 4 6 [24 3] 6")),
        ],
    }


def ledger_row(where: str, **fields: Any) -> Row:
    """A ledger row; fields that are not given are null."""
    columns = (
        "record_id", "stage", "reason", "detail", "duplicate_of", "similarity", "split", "places", "turns", "digests",
        "num_tokens", "num_trained_tokens",
    )  # fmt: skip
    source = "notes.txt" if where.startswith("notes") else "chats.jsonl"
    return {**dict.fromkeys(columns), "source": source, "where": where, "fate": "dropped", **fields}


def packed_row(
    where: str, record_id: str, shard: str, row: int, index: int, tokens: int, trained: int, turns: tuple[int, ...]
) -> Row:
    """A packed ledger row with one sample. Its digest is computed when the dataset is written."""
    return ledger_row(
        where,
        record_id=record_id,
        fate="packed",
        split=shard.split("/")[0],
        places=[{"shard": shard, "row": row, "index": index}],
        turns=[list(turns)],
        digests=FRESH,
        num_tokens=tokens,
        num_trained_tokens=trained,
    )


def good_ledger() -> list[Row]:
    """Seven rows read: five packed, a duplicate, a line that is not JSON."""
    return [
        packed_row("chats.jsonl:1", "cc", TRAIN, 1, 0, 26, 5, (2, 4)),
        packed_row("chats.jsonl:2", "aa", TRAIN, 0, 0, 15, 3, (2,)),
        ledger_row("chats.jsonl:3", stage="read", reason="bad_json", detail="column 7"),
        packed_row("chats.jsonl:4", "bb", TRAIN, 0, 1, 13, 2, (2,)),
        ledger_row("chats.jsonl:5", record_id="a2", stage="dedup", reason="duplicate", duplicate_of="chats.jsonl:2"),
        packed_row("chats.jsonl:6", "vv", VALIDATION, 0, 0, 13, 2, (2,)),
        packed_row("notes.txt:1", "tt", TRAIN, 1, 1, 5, 4, (1,)),
    ]


def good_tokenizer() -> dict[str, Any]:
    """tokenizer.json: 31 entries in the model and one added."""
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    parts = ("truncation", "padding", "normalizer", "pre_tokenizer", "post_processor", "decoder")
    return {
        "version": "1.0",
        "added_tokens": [{"id": 31, "content": "<tool>", "special": True, **flags}],
        **dict.fromkeys(parts),
        "model": {"type": "WordLevel", "vocab": {f"t{id_}": id_ for id_ in range(31)}, "unk_token": "t0"},
    }


@dataclass
class Dataset:
    """A dataset as plain Python objects. `write` computes all sums, sizes and checksums from them."""

    shards: dict[str, list[Row]] = field(default_factory=good_shards)
    ledger: list[Row] = field(default_factory=good_ledger)
    tokenizer_json: dict[str, Any] = field(default_factory=good_tokenizer)
    seq_len: int = 32
    manifest: dict[str, Any] = field(default_factory=dict)  # overrides
    tokenizer: dict[str, Any] = field(default_factory=dict)  # overrides

    def write(self, folder: Path) -> Path:
        """Write all files, the manifest last."""
        from sftdata.store.ledger import LEDGER_SCHEMA
        from sftdata.store.shards import SHARD_SCHEMA

        for name in ("train", "validation", "ledger", "tokenizer"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        for path, rows in self.shards.items():
            table = pa.Table.from_pylist(rows, SHARD_SCHEMA)
            with pa.ipc.new_stream(str(folder / path), SHARD_SCHEMA) as writer:
                writer.write_table(table)
        ledger = [self.with_digests(row) for row in self.ledger]
        pq.write_table(pa.Table.from_pylist(ledger, LEDGER_SCHEMA), folder / "ledger/00000.parquet")
        (folder / "tokenizer/tokenizer.json").write_text(json.dumps(self.tokenizer_json))
        (folder / "tokenizer/chat_template.jinja").write_text("{{ messages }}")
        self.write_manifest(folder)
        return folder

    def with_digests(self, row: Row) -> Row:
        """The ledger row with the digests of its samples, unless digests are set."""
        if row["digests"] is not FRESH:
            return row
        return {**row, "digests": [self.digest(place) for place in row["places"]]}

    def digest(self, place: Row) -> str:
        """128-bit XXH3 of a sample's ids followed by its labels; of no bytes if there is no such sample."""
        rows = self.shards.get(place["shard"], [])
        row = rows[place["row"]] if place["row"] < len(rows) else {"seq_lengths": []}
        lengths = row["seq_lengths"] or []
        start, end = (sum(lengths[: place["index"] + i]) for i in (0, 1))
        numbers = [*row.get("input_ids", [])[start:end], *row.get("labels", [])[start:end]]
        return xxhash.xxh3_128(struct.pack(f"<{len(numbers)}i", *numbers)).hexdigest()

    def write_manifest(self, folder: Path) -> None:
        """Write a manifest that fits the files as they are."""
        shards = [{**entry(folder, path), **self.sums(path)} for path in sorted(self.shards)]
        rows = sum(shard["rows"] for shard in shards)
        tokens = sum(shard["tokens"] for shard in shards)
        lines = "".join(f"{shard['path']}\0{shard['sha256']}\n" for shard in shards)
        files = [entry(folder, "tokenizer/tokenizer.json"), entry(folder, "tokenizer/chat_template.jinja")]
        payload = {
            "schema_version": 1,
            "dataset_hash": hashlib.sha256(lines.encode()).hexdigest(),
            "seed": 0,
            "seq_len": self.seq_len,
            "shards": shards,
            "ledger": [{**entry(folder, "ledger/00000.parquet"), "rows": len(self.ledger)}],
            "files": files,
            "tokenizer": {
                "source": "tok",
                "sha256": files[0]["sha256"],
                "vocab_size": VOCAB_SIZE,
                "bos_id": BOS,
                "eos_id": EOS,
                "pad_id": PAD,
                "end_of_turn_ids": [END],
                "control_ids": [PAD, BOS, START, END, EOS, 31],
                "answer_control_ids": [],
                "generation_prompts": [[START, ASSISTANT, NEWLINE]],
                **self.tokenizer,
            },
            "template": {"source": "auto", "sha256": files[1]["sha256"]},
            "config": {"sources": [{"path": "chats.jsonl", "format": "auto"}, {"path": "notes.txt", "format": "text"}]},
            "versions": {},
            "counts": self.counts(),
            "packing": {"strategy": "best_fit", "rows": rows, "fill": tokens / (rows * self.seq_len or 1)},
            **self.manifest,
        }
        (folder / "manifest.json").write_text(json.dumps(payload))

    def sums(self, path: str) -> Row:
        """What the manifest says about a shard."""
        rows = self.shards[path]
        return {
            "split": path.split("/")[0],
            "rows": len(rows),
            "samples": sum(len(row["seq_lengths"] or ()) for row in rows),
            "tokens": sum(len(row["input_ids"]) for row in rows),
            "trained_tokens": sum(label != -100 for row in rows for label in row["labels"]),
        }

    def counts(self) -> Row:
        """The counts of the ledger."""
        fates = Counter((row["fate"], row["stage"], row["reason"]) for row in self.ledger)
        dropped: dict[str, dict[str, int]] = {}
        for (fate, stage, reason), rows in fates.items():
            if fate != "packed":
                dropped.setdefault(str(stage), {})[str(reason)] = rows
        packed = sum(row["fate"] == "packed" for row in self.ledger)
        examples = {str(row["reason"]): str(row["where"]) for row in reversed(self.ledger) if row["fate"] != "packed"}
        return {"rows_read": len(self.ledger), "packed": packed, "dropped": dropped, "examples": examples}

    def replace(self, row: int, start: int, end: int, ids: list[int], labels: list[int]) -> None:
        """Replace the tokens [start, end) of a row of the training shard, and update all counts."""
        target = self.shards[TRAIN][row]
        target["input_ids"][start:end] = ids
        target["labels"][start:end] = labels
        ends = [sum(target["seq_lengths"][: i + 1]) for i in range(len(target["seq_lengths"]))]
        sample = next(i for i, sample_end in enumerate(ends) if start < sample_end)
        target["seq_lengths"][sample] += len(ids) - (end - start)
        first = sum(target["seq_lengths"][:sample])
        trained = target["labels"][first : first + target["seq_lengths"][sample]]
        fate = next(line for line in self.ledger if line["record_id"] == target["record_ids"][sample])
        fate["num_tokens"] = target["seq_lengths"][sample]
        fate["num_trained_tokens"] = sum(label != -100 for label in trained)


def entry(folder: Path, path: str) -> Row:
    """The manifest entry of a file."""
    data = (folder / path).read_bytes()
    return {"path": path, "size_bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


@pytest.fixture
def dataset() -> Dataset:
    """The good dataset, to be corrupted and written."""
    return Dataset()
