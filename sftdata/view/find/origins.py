"""Which row of the input each sample comes from: the places in the ledger, in the order of the samples."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from sftdata.errors import DatasetError, pluralize, with_known_names
from sftdata.store.ledger import PACKED, checked_ledger
from sftdata.store.manifest import Manifest, ShardEntry

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Origins:
    """The packed rows of the input, in its order, and the row of each sample."""

    where: pa.Array  # of each packed row: file and line
    source: pa.Array  # dictionary-encoded
    record_id: pa.Array
    row_of: Ints  # of each sample, by its number in the dataset or split: its row in the columns above

    def where_of(self, sample: int) -> str:
        """`file:line` of a sample."""
        return str(self.where[int(self.row_of[sample])].as_py())

    def source_of(self, sample: int) -> str:
        """The source of a sample, as configured."""
        return str(self.source[int(self.row_of[sample])].as_py())

    def samples_of(self, is_chosen: pa.Array) -> npt.NDArray[np.bool_]:
        """Which samples come from the chosen rows."""
        chosen: npt.NDArray[np.bool_] = is_chosen.to_numpy(zero_copy_only=False)[self.row_of]
        return chosen


def load_origins(folder: Path, manifest: Manifest, shards: Sequence[ShardEntry]) -> Origins | None:
    """The origins of the samples in these shards; None if the dataset has no ledger.

    Raises DatasetError if the ledger is damaged, or does not have one place for each sample.
    """
    if not manifest.ledger:
        return None
    paths = pa.array([shard.path for shard in shards], pa.string())
    columns: dict[str, list[pa.Array]] = {"where": [], "source": [], "record_id": []}
    places: list[npt.NDArray[np.int64]] = []
    first = 0
    for entry in manifest.ledger:
        for table in checked_ledger(folder, entry):
            packed = table.filter(pc.equal(table["fate"], PACKED)).combine_chunks()
            for name, parts in columns.items():
                parts += packed[name].chunks
            places.append(_places(packed["places"].combine_chunks(), paths, first))
            first += packed.num_rows
    shard, row, index, parent = np.concatenate(places, axis=1) if places else np.empty((4, 0), np.int64)
    num_samples = sum(one.samples for one in shards)
    if len(parent) != num_samples:
        what = f"gives the places of {pluralize(len(parent), 'sample')}, but the shards have {num_samples:,}"
        command = shlex.join(["sftdata", "verify", with_known_names(str(folder))])
        raise DatasetError(str(folder / "ledger"), what, f"run `{command}`")
    order = np.lexsort((index, row, shard))  # as samples are numbered
    joined = {name: pa.chunked_array(parts, pa.string()).combine_chunks() for name, parts in columns.items()}
    return Origins(joined["where"], joined["source"].dictionary_encode(), joined["record_id"], parent[order])


def ranks_of_turns(folder: Path, manifest: Manifest) -> dict[tuple[str, int, int], tuple[int, ...]]:
    """Of each sample whose row has several, by its place (shard, sequence, index): which of the row's trained turns are
    trained in it, counted from 0. In every other sample, all trained turns of its row are.

    Raises DatasetError if the ledger is damaged.
    """
    found = {}
    for entry in manifest.ledger:
        for table in checked_ledger(folder, entry):
            packed = table.select(["places", "turns"]).filter(pc.greater(pc.list_value_length(table["places"]), 1))
            for row in packed.to_pylist():
                ranks = {turn: rank for rank, turn in enumerate(sorted({one for part in row["turns"] for one in part}))}
                for place, part in zip(row["places"], row["turns"], strict=True):
                    found[place["shard"], place["row"], place["index"]] = tuple(ranks[turn] for turn in sorted(part))
    return found


def _places(places: pa.Array, paths: pa.Array, first: int) -> npt.NDArray[np.int64]:
    """Shard, row, index and packed row of each place in these shards; `first` is the number of the first packed row."""
    flat = places.flatten()
    counts = pc.fill_null(pc.list_value_length(places), 0).to_numpy(zero_copy_only=False)
    shard = pc.fill_null(pc.index_in(flat.field("shard"), value_set=paths), -1).to_numpy(zero_copy_only=False)
    numbers = [pc.fill_null(flat.field(name), -1).to_numpy(zero_copy_only=False) for name in ("row", "index")]
    parent = first + np.repeat(np.arange(len(places)), counts)
    found = np.stack([shard.astype(np.int64), *(one.astype(np.int64) for one in numbers), parent])
    return found[:, shard >= 0]
