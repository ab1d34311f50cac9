"""The sequences of a dataset on a store. A shard is fetched when one of its sequences is read.

The checksum in the manifest is that of a whole shard, so a shard is fetched whole, by one process of a machine for all
of them, and no byte is trained that was not compared. Sequences are dealt to the processes by turns, so each process
reads some of every record batch: fetching parts of shards would spare nothing.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from itertools import accumulate
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa

from sftdata.files.copies import copy_of
from sftdata.remote.mirror import Mirror, hold
from sftdata.remote.room import room_bytes
from sftdata.store.checked import check_file, check_shard, open_shard
from sftdata.store.manifest import Manifest, ShardEntry

COLUMNS = ["input_ids", "labels", "seq_lengths"]
AHEAD = 4  # shards that are fetched before they are needed, where they fit into the cache
Stamp = tuple[int, ...]  # what of a file's status changes whenever its content does


def stamp_of(path: Path) -> Stamp:
    """Size and times of a file; empty where there is none."""
    try:
        status = path.stat()
    except OSError:
        return ()
    return (status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)


class OpenShards:
    """The shards of a split: each is fetched when it is opened, checked, and not removed while it is open.

    Where they fit into the cache together, each stays open; else one at a time, so that it makes room for the next.
    """

    def __init__(
        self, folder: Path, manifest: Manifest, entries: Sequence[ShardEntry], stamps: dict[str, Stamp]
    ) -> None:
        self._open: dict[int, tuple[pa.Table, BinaryIO | None]] = {}
        self._threads = ThreadPoolExecutor(AHEAD, "fetch")
        self._ahead: dict[int, Future[None]] = {}
        self._process = os.getpid()
        self.folder, self.entries = folder, entries
        self.ends = np.fromiter(accumulate(shard.rows for shard in entries), np.int64)
        self.last = len(entries) - 1  # no later one is needed
        self.fit_together = sum(shard.size_bytes for shard in entries) <= room_bytes(folder.parent)
        self.has_room_ahead = True  # for one more, where they do not
        self._manifest, self._stamps = manifest, stamps

    def __getstate__(self) -> dict[str, Any]:
        """What a worker of a DataLoader gets that is no fork, with the copy that it fetches from."""
        left_out = {"_open", "_threads", "_ahead"}
        kept = {name: value for name, value in vars(self).items() if name not in left_out}
        return {**kept, "copied": copy_of(self.folder)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        copied = state.pop("copied")
        vars(self).update(state, _open={}, _threads=ThreadPoolExecutor(AHEAD, "fetch"), _ahead={})
        if isinstance(copied, Mirror) and copy_of(self.folder) is None:
            copied.register()

    def __del__(self) -> None:
        self.close()
        self._threads.shutdown(wait=False, cancel_futures=True)

    def table(self, number: int, *, looks_ahead: bool = True) -> pa.Table:
        """The rows of a shard. Raises DatasetError where it cannot be fetched, or is not one. Those that follow are
        fetched meanwhile, if wanted.
        """
        if number not in self._open:
            if not self.fit_together:
                self.close()
            has_threads = self._process == os.getpid()  # and is no worker of a DataLoader
            if has_threads and number in self._ahead:
                wait([self._ahead.pop(number)])  # what failed there is tried again here
            shard = self.entries[number]
            held = hold(self.folder, shard.path)
            try:
                self._stamps[shard.path] = stamp_of(self.folder / shard.path)
                check_file(self.folder, shard)
                self._open[number] = open_shard(self.folder, shard, self._manifest), held
            except BaseException:
                _let_go(held)
                raise
            if has_threads and looks_ahead:
                self._fetch_ahead(number)
        return self._open[number][0]

    def close(self) -> None:
        """Close all, so that they may be removed."""
        while self._open:
            _let_go(self._open.popitem()[1][1])

    def bytes_at_once(self, rows: int, ahead: int = 0) -> int:
        """The most bytes of shards that are open at once where processes read the rows in order, up to `rows` apart,
        and of as many more as are fetched ahead.
        """
        most = 0
        for first in range(self.last + 1):
            end, apart = first + 1, 0  # the last of the processes may be at the end of the first of these shards
            while end <= self.last and apart < rows:
                apart += self.entries[end].rows
                end += 1
            end = min(end + ahead, self.last + 1)
            most = max(most, sum(shard.size_bytes for shard in self.entries[first:end]))
        return most

    def _fetch_ahead(self, number: int) -> None:
        """Begin to fetch and check what follows a shard."""
        until = min(self.last, number + (AHEAD if self.fit_together else int(self.has_room_ahead)))
        for at in range(number + 1, until + 1):
            if at not in self._open and at not in self._ahead:
                self._ahead[at] = self._threads.submit(_fetch, self.folder, self.entries[at], self._manifest)


class FetchedRows:
    """As much of a datasets.Dataset as training needs, with the rows of some shards, or those chosen of them."""

    column_names = COLUMNS

    def __init__(self, shards: OpenShards, chosen: Sequence[int] | None = None, *, is_numpy: bool = False) -> None:
        self.shards = shards
        self._chosen = range(int(shards.ends[-1])) if chosen is None else chosen
        self._is_numpy = is_numpy

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
        return FetchedRows(self.shards, [self._chosen[number] for number in numbers], is_numpy=self._is_numpy)

    def with_format(self, kind: str) -> FetchedRows:
        """The same rows with arrays in place of lists, for `numpy`."""
        return FetchedRows(self.shards, self._chosen, is_numpy=kind == "numpy")

    @property
    def data(self) -> FetchedRows:
        """What has the columns as Arrow data: this."""
        return self

    def to_batches(self, max_chunksize: int) -> Iterator[pa.RecordBatch]:
        """All rows of the shards, in parts, for who may have seen enough before the end."""
        for number in range(len(self.shards.entries)):
            yield from self.shards.table(number, looks_ahead=False).to_batches(max_chunksize=max_chunksize)

    def chunks(self, name: str) -> Iterator[pa.Array]:
        """A column of all rows of the shards, in parts."""
        for number in range(len(self.shards.entries)):
            yield from self.shards.table(number)[name].chunks

    def first(self) -> Any:
        """The first row, as the datasets.Dataset that a library asks for which reads no others."""
        from datasets import Dataset

        return Dataset.from_dict(self[:1])

    def shards_of_first(self, count: int) -> list[int]:
        """The numbers of the shards that hold the first `count` rows, or all where there are fewer."""
        found = np.searchsorted(self.shards.ends, np.asarray(self._chosen[:count], np.int64), "right")
        return [int(number) for number in np.unique(found)]

    def _row(self, number: int) -> dict[str, Any]:
        shard = int(np.searchsorted(self.shards.ends, number, "right"))
        at = number - (int(self.shards.ends[shard - 1]) if shard else 0)
        table = self.shards.table(shard)
        values: Mapping[str, Any] = {name: table[name][at].values for name in COLUMNS}
        if self._is_numpy:
            return {name: value.to_numpy().copy() for name, value in values.items()}  # to be written to
        return {name: value.to_pylist() for name, value in values.items()}


def _fetch(folder: Path, shard: ShardEntry, manifest: Manifest) -> None:
    """Fetch a shard and check it, which is not done again while its file stays as it is."""
    check_file(folder, shard)
    check_shard(folder, shard, manifest)


def _let_go(held: BinaryIO | None) -> None:
    if held is not None:
        held.close()
