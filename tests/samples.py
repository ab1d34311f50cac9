"""Shards of samples that tests make up."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from sftdata.records.labels import IGNORE, trained_runs
from sftdata.store.pack import Strategy
from sftdata.store.shards import Shard, place_samples
from sftdata.store.tokens import TokenColumns

SAMPLE_SCHEMA = pa.schema(
    [
        ("record_id", pa.string()),
        ("sample", pa.int32()),  # its number among the samples of its record, from 0
        ("input_ids", pa.list_(pa.int32())),
        ("labels", pa.list_(pa.int32())),
    ]
)


def build_shard(samples: pa.Table, seq_len: int, strategy: Strategy, seed: int) -> Shard:
    """Pack samples (SAMPLE_SCHEMA, in any order): see `place_samples`."""
    samples = samples.combine_chunks()
    ids, labels = (samples[name].combine_chunks() for name in ("input_ids", "labels"))
    assert ids.offsets.equals(labels.offsets)
    values = labels.values.to_numpy()
    assert ((values == ids.values.to_numpy()) | (values == IGNORE)).all()
    edges, cuts = trained_runs(values, labels.offsets.to_numpy())
    trained = pa.ListArray.from_arrays(pa.array(cuts, pa.int32()), pa.array(edges))
    tokens = TokenColumns(samples.append_column("trained", trained), np.arange(samples.num_rows))
    packing = place_samples(samples.append_column("num_tokens", pa.array(tokens.lengths)), seq_len, strategy, seed)
    return Shard(tokens, samples["record_id"].combine_chunks(), packing, seq_len)
