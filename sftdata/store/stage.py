"""Packing and writing shards as Arrow tables: samples in, files and the place of each sample out."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import pyarrow as pa

from sftdata.store.pack import Strategy
from sftdata.store.shards import build_shard, write_shard

PLACED_SCHEMA = pa.schema(
    [
        ("position", pa.int64()),  # of the sample in the table of samples
        ("row", pa.int32()),  # of the shard
        ("index", pa.int32()),  # within the row
        ("facts", pa.string()),  # path and ShardFacts as JSON; only in a shard's first entry
    ]
)


@dataclass(frozen=True)
class WriteShards:
    """The samples of one shard -> the shard's file, and the place of each sample in it."""

    folder: str
    paths: tuple[str, ...]  # by shard number, within the folder
    seq_len: int
    strategy: Strategy
    seed: int
    name: str = "pack"

    def __call__(self, table: pa.Table) -> Iterator[pa.Table]:
        """Pack and write; one entry for each sample. Raises OutputError where the folder cannot be written."""
        path = self.paths[table["shard"][0].as_py()]
        samples = table.select(["record_id", "sample", "input_ids", "labels"])
        shard = build_shard(samples, self.seq_len, self.strategy, self.seed)
        facts = write_shard(Path(self.folder, path), shard)
        notes = [json.dumps({"path": path, **asdict(facts)}), *[None] * (table.num_rows - 1)]
        yield pa.table(
            {"position": table["position"], "row": shard.row, "index": shard.index, "facts": notes},
            schema=PLACED_SCHEMA,
        )
