"""Packing in `prepare`: the shard of each sample, its place in it, and the shards' files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from sftdata.config import Config
from sftdata.curate.duplicates.grouping import MAX_NODES
from sftdata.curate.split import TRAIN
from sftdata.engines.engine import Engine
from sftdata.errors import ConfigError
from sftdata.pipeline.columns.in_files import in_batches
from sftdata.pipeline.rows import RowTable
from sftdata.pipeline.samples import SampleTable
from sftdata.store.manifest import ShardEntry
from sftdata.store.stage import PLACED_SCHEMA, WRITTEN_SCHEMA, PackSamples, WriteShards


def pack_samples(rows: RowTable, samples: SampleTable, engine: Engine, config: Config) -> pa.Table:
    """Give every sample its shard and its place in it; what the shards are written from.

    Raises ConfigError where the validation split takes every conversation.
    """
    samples.assign_shards(rows, config.out.shard_tokens)
    if samples.paths and not any(path.startswith(f"{TRAIN}/") for path in samples.paths):
        held = f"{config.split.validation} takes every conversation that could be packed"
        raise ConfigError("split.validation", held, "hold out fewer, so that some are left to train on")
    to_pack = samples.to_pack(rows)
    pack = PackSamples(config.pack.seq_len, config.pack.strategy, config.seed)
    position = np.arange(to_pack.num_rows, dtype=np.int32 if to_pack.num_rows <= MAX_NODES else np.int64)
    placed = engine.group("shard", pack, samples.pieces, to_pack.append_column("position", pa.array(position)))
    del position
    samples.take_places(table for _, table in in_batches(engine, placed, PLACED_SCHEMA.names))
    return samples.to_write(to_pack)


def write_shards(
    to_write: pa.Table, samples: SampleTable, engine: Engine, config: Config, folder: Path
) -> Sequence[ShardEntry]:
    """Write the shards into `folder`, each under its checksum; their entries, in order.

    Raises OutputError as `write_shard`.
    """
    write = WriteShards(str(folder), config.pack.seq_len)
    written = engine.group("shard", write, samples.pieces, to_write)
    return samples.entries(engine.collect(written, WRITTEN_SCHEMA.names)) if written else ()
