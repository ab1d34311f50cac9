"""The sequences of a dataset on a store whose shards do not fit into the cache together.

Each shard is fetched when one of its sequences is needed, and makes room for others again. What is trained in the order
of the shards fetches each of them once.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

import pyarrow as pa

from sftdata.store.checked import check_file, open_shard
from sftdata.store.manifest import Manifest, ShardEntry

COLUMNS = ["input_ids", "labels", "seq_lengths"]
OPEN_SHARDS = 2  # what is open takes its place on the disk also when its file is removed


class FetchedRows:
    """As much of a datasets.Dataset as training needs, with the rows of some shards, or those chosen of them.

    Raises DatasetError where a shard cannot be fetched, or is not one.
    """

    column_names = COLUMNS

    def __init__(self, folder: Path, manifest: Manifest, shards: Sequence[ShardEntry]) -> None:
        self._folder, self._manifest, self._shards = folder, manifest, shards
        self._ends = [*accumulate(shard.rows for shard in shards)]
        self._chosen: Sequence[int] = range(self._ends[-1])
        self._is_numpy = False
        self._open: OrderedDict[int, pa.Table] = OrderedDict()

    def __len__(self) -> int:
        return len(self._chosen)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return (self[number] for number in range(len(self)))

    def __getitem__(self, at: int | slice) -> dict[str, Any]:
        """A row by its number; of a slice, the values of each column as a list."""
        if isinstance(at, slice):
            rows = self.__getitems__([*range(len(self))[at]])
            return {name: [row[name] for row in rows] for name in COLUMNS}
        return self.__getitems__([range(len(self))[at]])[0]

    def __getitems__(self, numbers: list[int]) -> list[dict[str, Any]]:
        """Rows by their numbers, as torch's DataLoader asks for them."""
        return [self._row(self._chosen[number]) for number in numbers]

    def select(self, numbers: Sequence[int]) -> FetchedRows:
        """Those of the rows that are chosen by number, in their order."""
        found = self._copy()
        found._chosen = [self._chosen[number] for number in numbers]
        return found

    def with_format(self, kind: str) -> FetchedRows:
        """The same rows with arrays in place of lists, for `numpy`."""
        found = self._copy()
        found._is_numpy = kind == "numpy"
        return found

    @property
    def data(self) -> FetchedRows:
        """What has the columns as Arrow data: this."""
        return self

    def to_batches(self, max_chunksize: int) -> Iterator[pa.RecordBatch]:
        """All rows of the shards, in parts."""
        for number in range(len(self._shards)):
            yield from self._table(number).to_batches(max_chunksize=max_chunksize)

    def chunks(self, name: str) -> Iterator[pa.Array]:
        """A column of all rows of the shards, in parts."""
        for number in range(len(self._shards)):
            yield from self._table(number)[name].chunks

    def first(self) -> Any:
        """The first row, as the datasets.Dataset that a library asks for which reads no others."""
        from datasets import Dataset

        return Dataset.from_dict(self[:1])

    def _copy(self) -> FetchedRows:
        found = FetchedRows(self._folder, self._manifest, self._shards)
        found._chosen, found._is_numpy, found._open = self._chosen, self._is_numpy, self._open
        return found

    def _row(self, number: int) -> dict[str, Any]:
        shard = bisect_right(self._ends, number)
        at = number - (self._ends[shard - 1] if shard else 0)
        values = {name: self._table(shard)[name][at].values for name in COLUMNS}
        if self._is_numpy:
            return {name: value.to_numpy() for name, value in values.items()}
        return {name: value.to_pylist() for name, value in values.items()}

    def _table(self, shard: int) -> pa.Table:
        if shard not in self._open:
            while len(self._open) >= OPEN_SHARDS:
                self._open.popitem(last=False)
            check_file(self._folder, self._shards[shard])
            self._open[shard] = open_shard(self._folder, self._shards[shard], self._manifest)
        self._open.move_to_end(shard)
        return self._open[shard]
