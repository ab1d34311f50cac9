"""A prepared dataset, opened for viewing: its sequences and samples by number, its rows by what happened to them.

Each access reads only the shard it needs; shards are memory-mapped.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, SupportsIndex, overload

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sftdata.errors import NoSuchNameError, pluralize
from sftdata.files.copies import name_of
from sftdata.remote.mirror import local_folder
from sftdata.store.checked import check_tokenizer, open_shard
from sftdata.store.ledger import DROPPED
from sftdata.store.manifest import Manifest, ShardEntry
from sftdata.view import html
from sftdata.view.decoder import Decoder
from sftdata.view.find.columns import SampleColumns
from sftdata.view.find.ledger_rows import LedgerRows
from sftdata.view.find.origins import Ints, Origins, load_origins
from sftdata.view.find.samples import SampleTable
from sftdata.view.sample import Row, Sample, resolve
from sftdata.view.summary import Summary, summarize

if TYPE_CHECKING:
    from sftdata.view.find.compare.diff import Diff
    from sftdata.view.why import Explanations

__all__ = ["Dataset", "Row", "Rows", "Sample", "open_dataset"]

MAX_OPEN_SHARDS = 32  # memory-mapped at a time
MAX_NAMED_ROWS = 200_000  # of a ledger that is read only to name the rows of a sequence
_SHOWN_SEQUENCES = 3  # of a slice, in a notebook


class Rows(Sequence[Row]):
    """Some sequences of a dataset, by a slice. Each is read when it is accessed."""

    def __init__(self, dataset: Dataset, numbers: range) -> None:
        self._dataset, self._numbers = dataset, numbers

    def __len__(self) -> int:
        return len(self._numbers)

    @overload
    def __getitem__(self, at: SupportsIndex) -> Row: ...
    @overload
    def __getitem__(self, at: slice) -> Rows: ...
    def __getitem__(self, at: SupportsIndex | slice) -> Row | Rows:
        """A sequence by its number in the slice, or a slice of the slice. Raises DatasetError, an IndexError."""
        if isinstance(at, slice):
            return Rows(self._dataset, self._numbers[at])
        return self._dataset[self._numbers[resolve(at, len(self), "sequence", str(self._dataset.path))]]

    def __repr__(self) -> str:
        return f"<{pluralize(len(self), 'sequence')} of {self._dataset.name}>"

    def _repr_html_(self) -> str:
        return html.rows_html(self, _SHOWN_SEQUENCES)


class _Shard(NamedTuple):
    """An open shard, and the number of samples up to the end of each of its sequences."""

    table: pa.Table
    sample_ends: Ints


class Dataset:
    """A prepared dataset, or one split of it. Sequences are numbered across shards, in the order of the manifest.

    Opening a dataset reads only the manifest. Accessing a sequence checks and memory-maps the shard that contains it.
    """

    def __init__(self, path: Path, manifest: Manifest, split: str | None = None) -> None:
        self.path = path
        self.manifest = manifest
        self.split_name = split
        self.shards: list[ShardEntry] = [shard for shard in manifest.shards if split in (None, shard.split)]
        self._row_ends = list(accumulate(shard.rows for shard in self.shards))
        self._sample_ends = list(accumulate(shard.samples for shard in self.shards))
        self._open: OrderedDict[int, _Shard] = OrderedDict()  # by number, the shards accessed last
        self.columns = SampleColumns(len(self.shards), self.shard_table)  # numbers for each sample

    @property
    def name(self) -> str:
        """What it is called: its folder, and the split."""
        name = name_of(self.path)
        return name if self.split_name is None else f"{self.split_name} of {name}"

    def __len__(self) -> int:
        """The number of sequences."""
        return self._row_ends[-1] if self._row_ends else 0

    @property
    def num_samples(self) -> int:
        """The number of samples in all sequences."""
        return self._sample_ends[-1] if self._sample_ends else 0

    @overload
    def __getitem__(self, number: SupportsIndex) -> Row: ...
    @overload
    def __getitem__(self, number: slice) -> Rows: ...
    @overload
    def __getitem__(self, number: str) -> Dataset: ...
    def __getitem__(self, number: SupportsIndex | slice | str) -> Row | Rows | Dataset:
        """A sequence by number, several by a slice, or a split by name; negative numbers count from the end.

        Raises DatasetError if there is none: an IndexError for a number, a KeyError for a name.
        """
        if isinstance(number, str):
            return self.split(number)
        if isinstance(number, slice):
            return Rows(self, range(len(self))[number])
        at = resolve(number, len(self), "sequence", str(self.path))
        shard, row = _locate(self._row_ends, at)
        return self._row(shard, row, at)

    def __iter__(self) -> Iterator[Row]:
        for at in range(len(self)):
            yield self[at]

    def sample(self, number: SupportsIndex) -> Sample:
        """A sample by its number across all sequences. Raises DatasetError, an IndexError, if there is none."""
        at = resolve(number, self.num_samples, "sample", str(self.path))
        shard, in_shard = _locate(self._sample_ends, at)
        opened = self._shard(shard)
        row = int(np.searchsorted(opened.sample_ends, in_shard, side="right"))
        index = in_shard - (int(opened.sample_ends[row - 1]) if row else 0)
        cells = {name: opened.table[name][row].values for name in opened.table.column_names}
        lengths = cells["seq_lengths"].to_numpy()
        start, length = int(lengths[:index].sum()), int(lengths[index])
        ids, labels = (cells[name].slice(start, length).to_pylist() for name in ("input_ids", "labels"))
        return self._sample(cells["record_ids"][index].as_py(), ids, labels, (shard, row, index), at)

    @property
    def samples(self) -> SampleTable:
        """All samples, to search, choose and sort: `ds.samples.search("HTTP").sort("num_tokens")[:3]`."""
        return SampleTable(self)

    @property
    def splits(self) -> dict[str, Dataset]:
        """The splits by name."""
        names = self.manifest.splits if self.split_name is None else (self.split_name,)
        return {name: Dataset(self.path, self.manifest, name) for name in names}

    def split(self, name: str) -> Dataset:
        """One split, numbered from 0. Raises DatasetError, a KeyError, if the dataset has no such split."""
        known = self.splits
        if name not in known:
            raise NoSuchNameError(str(self.path), f"has no split {name!r}", f"it has {', '.join(known) or 'none'}")
        return known[name]

    @property
    def ledger(self) -> LedgerRows:
        """What happened to each row of the input: see LedgerRows."""
        return LedgerRows(self.path, self.manifest)

    @property
    def dropped(self) -> LedgerRows:
        """The rows of the input that were dropped, with reason and detail: `ds.dropped.where(reason="duplicate")`."""
        return self.ledger.where(fate=DROPPED)

    def why(self, row: str, data: str | Path | None = None) -> Explanations:
        """What happened to a row of the input, and why: `chats.jsonl:17`, a record id, or the beginning of one.

        Its text is read again from its file, which is looked for below `data`, or else below the current folder and
        those above the dataset. Raises DatasetError if there is no such row.
        """
        from sftdata.view.why import explain_rows

        return explain_rows(self.path, self.manifest, row, data)

    def diff(self, other: Dataset | str | Path) -> Diff:
        """What another dataset, such as a later one, has that this one has not: rows, tokens, settings, templates.

        Raises DatasetError if one of the two has no ledger.
        """
        from sftdata.view.find.compare.diff import compare

        return compare(self, other if isinstance(other, Dataset) else open_dataset(other))

    def report(
        self,
        path: str | Path | None = None,
        *,
        data: str | Path | None = None,
        overwrite: bool = False,
        markdown: bool = False,
        license: str | None = None,
    ) -> Path:
        """Write the report of the whole dataset: one HTML file, by default report.html beside its manifest; returns its
        path. A file there that is no report is replaced only with `overwrite`.

        With `markdown` it is a card for the Hugging Face Hub, by default README.md, with the license if one is given.
        Texts of dropped rows are read again as `why` does. Raises OutputError where the file cannot be written,
        DatasetError if the dataset is damaged, ConfigError for arguments that do not belong together.
        """
        from sftdata.view.report.write import write_report

        return write_report(self.path, path, data=data, overwrite=overwrite, markdown=markdown, license=license)

    def to_datasets(self) -> Any:
        """A datasets.DatasetDict of the splits, each a memory-mapped Dataset of packed sequences.

        Raises DatasetError if the library is not installed, or a shard is damaged.
        """
        from sftdata.view.find.to_datasets import dataset_dict

        return dataset_dict(self)

    def summary(self) -> Summary:
        """The contents of the dataset, or of this split, from the manifest alone."""
        return summarize(name_of(self.path), self.manifest, self.split_name)

    @cached_property
    def decoder(self) -> Decoder:
        """The tokenizer of the dataset. Raises DatasetError if it is not the one that was written."""
        return Decoder.from_file(check_tokenizer(self.path, self.manifest))

    @cached_property
    def control_ids(self) -> frozenset[int]:
        """Ids of control tokens: those in the manifest, and those that the tokenizer marks as special."""
        return frozenset(self.manifest.tokenizer.control_ids) | self.decoder.special_ids

    @cached_property
    def origins(self) -> Origins | None:
        """Which row of the input each sample comes from; None without a ledger. Raises DatasetError as load_origins."""
        return load_origins(self.path, self.manifest, self.shards)

    @property
    def can_name_rows(self) -> bool:
        """Whether `origins` were read, or take so little time to read that a name of a row is worth it."""
        rows = sum(entry.rows for entry in self.manifest.ledger)
        return "origins" in self.__dict__ or 0 < rows <= MAX_NAMED_ROWS

    def shard_table(self, shard: int) -> pa.Table:
        """The sequences of a shard by its number, checked and memory-mapped. Raises DatasetError as `open_shard`."""
        return self._shard(shard).table

    def row_number(self, shard: str, row: int) -> int | None:
        """The number of the sequence that is `row` in this shard; None if the dataset or split has no such shard."""
        paths = [entry.path for entry in self.shards]
        if shard not in paths or not 0 <= row < self.shards[paths.index(shard)].rows:
            return None
        at = paths.index(shard)
        return row + (self._row_ends[at - 1] if at else 0)

    def __repr__(self) -> str:
        return str(self.summary())

    def _repr_html_(self) -> str:
        return html.dataset_html(self)

    def _shard(self, number: int) -> _Shard:
        found = self._open.pop(number, None)
        if found is None:
            table = open_shard(self.path, self.shards[number], self.manifest)
            found = _Shard(table, np.cumsum(pc.list_value_length(table["seq_lengths"]).to_numpy(), dtype=np.int64))
        self._open[number] = found
        if len(self._open) > MAX_OPEN_SHARDS:
            self._open.popitem(last=False)
        return found

    def _row(self, shard: int, row: int, number: int) -> Row:
        opened = self._shard(shard)
        cells = opened.table.slice(row, 1).to_pylist()[0]
        first = (self._sample_ends[shard - 1] if shard else 0) + (int(opened.sample_ends[row - 1]) if row else 0)
        samples = []
        start = 0
        for index, (length, record_id) in enumerate(zip(cells["seq_lengths"], cells["record_ids"], strict=True)):
            ids, labels = (cells[name][start : start + length] for name in ("input_ids", "labels"))
            samples.append(self._sample(record_id, ids, labels, (shard, row, index), first + index))
            start += length
        return Row(tuple(samples), self.shards[shard].path, row, number)

    def _sample(
        self, record_id: str, ids: list[int], labels: list[int], place: tuple[int, int, int], number: int
    ) -> Sample:
        shard, row, index = place
        path = self.shards[shard].path
        return Sample(record_id, ids, labels, path, row, index, self.decoder, self.control_ids, number, self)


def open_dataset(path: str | Path) -> Dataset:
    """Open a folder written by `sftdata prepare`. Raises DatasetError if it is not a dataset."""
    folder = local_folder(path)
    return Dataset(folder, Manifest.load(folder))


def _locate(ends: Sequence[int], at: int) -> tuple[int, int]:
    """(shard, index within the shard) of item `at`, given the running totals after each shard."""
    shard = bisect_right(ends, at)
    return shard, at - (ends[shard - 1] if shard else 0)
