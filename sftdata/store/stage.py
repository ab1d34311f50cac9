"""Stages that pack samples into rows and write shards."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from sftdata.files import copies
from sftdata.files.atomic import output_errors, unfinished_name
from sftdata.records.ids import hex_strings
from sftdata.records.record import KEY_BYTES
from sftdata.store.pack import Packing, Strategy
from sftdata.store.shards import Shard, ShardStats, place_samples, write_shard
from sftdata.store.tokens import TokenColumns

PLACED_SCHEMA = pa.schema(
    [
        ("position", pa.int64()),  # of the sample in the sample table
        ("row", pa.int32()),  # within the shard
        ("index", pa.int32()),  # within the row
    ]
)
WRITTEN_SCHEMA = pa.schema([("stats", pa.string())])  # ShardStats as JSON


@dataclass(frozen=True)
class PackSamples:
    """The samples of one shard -> the place of each sample. Reads only the lengths, not the tokens."""

    seq_len: int
    strategy: Strategy
    seed: int
    name: str = "pack"
    columns: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """Everything that determines where samples go."""
        return f"{self.seq_len} {self.strategy} {self.seed}"

    def __call__(self, members: pa.Table, table: pa.Table) -> Iterator[pa.Table]:
        """One row per sample."""
        at = members.schema.get_field_index("record_id")
        samples = members.set_column(at, "record_id", _id_texts(members))
        packing = place_samples(samples, self.seq_len, self.strategy, self.seed)
        position = members["position"].cast(pa.int64())
        yield pa.table({"position": position, "row": packing.row, "index": packing.index}, schema=PLACED_SCHEMA)


@dataclass(frozen=True)
class WriteShards:
    """The samples of one shard and their places -> the file of the shard, named by its checksum."""

    folder: str
    seq_len: int
    name: str = "write"
    columns: tuple[str, ...] = ("input_ids", "trained")

    @property
    def key(self) -> str:
        """Everything besides samples and places that determines what is written."""
        return str(self.seq_len)

    def __call__(self, members: pa.Table, table: pa.Table) -> Iterator[pa.Table]:
        """Write the file; one row with its ShardStats. Raises OutputError if the folder cannot be written."""
        row, index = members["row"].to_numpy(), members["index"].to_numpy()
        tokens = TokenColumns(table, members["at"].to_numpy())
        if not np.array_equal(tokens.lengths, members["num_tokens"].to_numpy()):
            raise ValueError("samples have different lengths from those that they were packed by")
        packing = Packing(row, index, 1 + int(row.max()))
        shard = Shard(tokens, _id_texts(members), packing, self.seq_len)
        temporary = unfinished_name(Path(self.folder, f"{members['shard'][0]}.arrow"))
        stats = write_shard(temporary, shard)
        path = shard_path(self.folder, stats)
        with output_errors(temporary):
            temporary.replace(path)
        copies.send(path)
        yield pa.table({"stats": [json.dumps(stats._asdict())]}, schema=WRITTEN_SCHEMA)

    def is_reusable(self, result: pa.Table) -> bool:
        """Whether the file of the shard still exists."""
        stats = ShardStats(**json.loads(result["stats"][0].as_py()))
        path = shard_path(self.folder, stats)
        copies.ensure(path)
        return path.is_file() and path.stat().st_size == stats.size_bytes


def _id_texts(members: pa.Table) -> pa.Array:
    """The record ids of samples, which come as KEY_BYTES bytes each, as shards hold them."""
    ids = members["record_id"].combine_chunks()
    data = np.frombuffer(ids.buffers()[1], np.uint8).reshape(-1, KEY_BYTES)[ids.offset :][: len(ids)]
    return hex_strings(data, np.ones(len(ids), np.bool_)).cast(pa.string())


def shard_path(folder: str | Path, stats: ShardStats) -> Path:
    """Where a shard is until the dataset is complete."""
    return Path(folder, f"{stats.sha256}.arrow")
