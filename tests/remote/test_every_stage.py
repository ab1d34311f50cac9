"""Every stage on, sources and output on S3, with a pool of workers: the dataset that this process makes on a disk."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import sftdata

CHATS = [
    {
        "prompt": f"Tell me about the number {n}.",
        "completion": " ".join(f"w{n}x{at}" for at in range(40)),
        "user": n % 9,
    }
    for n in range(60)
]
NEAR = [{**row, "completion": str(row["completion"]).replace("x5 ", "y5 ")} for row in CHATS[:8]]
PRIVATE = [{"prompt": "Whom do I write to?", "completion": "Write to jane.doe@example-mail.org, please.", "user": 1}]
EXAM = [{"prompt": "Tell me about the number 17.", "completion": " ".join(f"w17x{at}" for at in range(40))}]


def lines(rows: list[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def settings_for(place: str, tokenizer: Path, out: str) -> dict[str, Any]:
    return {
        "tokenizer": str(tokenizer),
        "sources": [
            {"path": f"{place}/raw", "weight": 0.5, "keep": ["user"], "repeat": 2},
            {"path": f"{place}/*.jsonl", "weight": 0.5, "keep": ["user"]},
        ],
        "out": {"path": out, "shard_tokens": 4000},
        "pack": {"seq_len": 1024},
        "privacy": "redact",
        "dedup": {"near": {"threshold": 0.8}, "caps": [{"column": "user", "max_records": 6}]},
        "decontaminate": {"against": [f"{place}/exam/a.jsonl"]},
        "split": {"validation": 4},
    }


def test_a_pool_on_s3_makes_what_this_process_makes_on_a_disk(
    s3_environment: None, tiny_tokenizer: Path, tmp_path: Path, monkeypatch: Any
) -> None:
    import s3fs

    monkeypatch.setenv("SFTDATA_CACHE", str(tmp_path / "cache"))
    files = {
        "raw/a.jsonl.gz": gzip.compress(lines([*CHATS[:40], *NEAR, CHATS[3]]), mtime=0),
        "b.jsonl": lines([*CHATS[40:], *PRIVATE]),
        "exam/a.jsonl": lines(EXAM),
    }
    store = s3fs.S3FileSystem()
    store.mkdir("every-stage")
    for name, data in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(data)
        store.pipe_file(f"every-stage/{name}", data)
    out = "s3://every-stage/out"
    here = settings_for(str(tmp_path), tiny_tokenizer, str(tmp_path / "out"))
    local = sftdata.prepare(here, workers=1, progress=False)
    remote = sftdata.prepare(settings_for("s3://every-stage", tiny_tokenizer, out), workers=2, progress=False)
    assert local.manifest.counts.dropped.keys() >= {"dedup", "decontaminate"}
    assert len(local.shards) > 2
    assert remote.manifest.dataset_hash == local.manifest.dataset_hash
    assert remote.manifest.counts == local.manifest.counts
    columns = [
        "where",
        "record_id",
        "fate",
        "reason",
        "duplicate_of",
        "similarity",
        "split",
        "places",
        "digests",
        "user",
    ]
    assert remote.ledger.to_arrow().select(columns) == local.ledger.to_arrow().select(columns)
    assert sftdata.verify(out).packed == local.manifest.counts.packed
