"""Packing in `prepare`: the shard of each sample, its place in it, and the shards' files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sftdata.config import Config
from sftdata.curate.split import TRAIN
from sftdata.engines.engine import Engine
from sftdata.errors import ConfigError
from sftdata.pipeline.rows import RowTable
from sftdata.pipeline.samples import SampleTable
from sftdata.store.manifest import ShardEntry
from sftdata.store.stage import PLACED_SCHEMA, WRITTEN_SCHEMA, PackSamples, WriteShards


def pack_shards(
    rows: RowTable, samples: SampleTable, engine: Engine, config: Config, folder: Path
) -> Sequence[ShardEntry]:
    """Pack the samples and write the shards into `folder`, each under its checksum; their entries, in order.

    Raises ConfigError where the validation split takes every conversation, OutputError as `write_shard`.
    """
    samples.assign_shards(rows, config.out.shard_tokens)
    if samples.paths and not any(path.startswith(f"{TRAIN}/") for path in samples.paths):
        held = f"{config.split.validation} takes every conversation that could be packed"
        raise ConfigError("split.validation", held, "hold out fewer, so that some are left to train on")
    to_pack = samples.to_pack(rows)
    pack = PackSamples(config.pack.seq_len, config.pack.strategy, config.seed)
    placed = engine.group("shard", pack, samples.pieces, to_pack)
    samples.take_places(engine.collect(placed, PLACED_SCHEMA.names) if placed else PLACED_SCHEMA.empty_table())
    write = WriteShards(str(folder), config.pack.seq_len)
    written = engine.group("shard", write, samples.pieces, samples.to_write(to_pack))
    return samples.entries(engine.collect(written, WRITTEN_SCHEMA.names)) if written else ()
