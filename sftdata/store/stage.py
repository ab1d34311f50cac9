"""Packing and writing shards as Arrow tables: samples in, files and the place of each sample out."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import pyarrow as pa

from sftdata.store.files import output_faults
from sftdata.store.pack import Strategy
from sftdata.store.shards import ShardFacts, pack_samples, write_shard
from sftdata.store.tokens import TokenColumns

PLACED_SCHEMA = pa.schema(
    [
        ("position", pa.int64()),  # of the sample in the table of samples
        ("row", pa.int32()),  # of the shard
        ("index", pa.int32()),  # within the row
        ("facts", pa.string()),  # ShardFacts as JSON; only in a shard's first entry
    ]
)


@dataclass(frozen=True)
class WriteShards:
    """The samples of one shard -> the shard's file, named by its checksum, and the place of each sample in it."""

    folder: str
    seq_len: int
    strategy: Strategy
    seed: int
    name: str = "pack"
    columns: tuple[str, ...] = ("input_ids", "labels")

    @property
    def key(self) -> str:
        """All that decides what becomes of samples."""
        return f"{self.seq_len} {self.strategy} {self.seed}"

    def __call__(self, members: pa.Table, table: pa.Table) -> Iterator[pa.Table]:
        """Pack and write; one entry for each sample. Raises OutputError where the folder cannot be written."""
        tokens, at = TokenColumns(table), members["at"].to_numpy()
        shard = pack_samples(tokens, at, members, self.seq_len, self.strategy, self.seed)
        made = Path(self.folder, f".{os.getpid()}-{members['shard'][0]}.arrow")
        facts = write_shard(made, shard)
        with output_faults(made):
            made.replace(shard_path(self.folder, facts))
        notes = [json.dumps(asdict(facts)), *[None] * (members.num_rows - 1)]
        yield pa.table(
            {"position": members["position"], "row": shard.row, "index": shard.index, "facts": notes},
            schema=PLACED_SCHEMA,
        )

    def is_there(self, result: pa.Table) -> bool:
        """Whether the shard's file is still where it was written."""
        facts = ShardFacts(**json.loads(result["facts"][0].as_py()))
        path = shard_path(self.folder, facts)
        return path.is_file() and path.stat().st_size == facts.size_bytes


def shard_path(folder: str | Path, facts: ShardFacts) -> Path:
    """Where a shard is until it is published."""
    return Path(folder, f"{facts.sha256}.arrow")
