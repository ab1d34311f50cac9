"""A prepared dataset, opened for viewing. Rows and samples by number; each access reads only the shard it needs."""

from __future__ import annotations

import operator
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import SupportsIndex

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sftdata.errors import DatasetError, pluralize
from sftdata.records.labels import IGNORE
from sftdata.store.checked import check_tokenizer, open_shard
from sftdata.store.manifest import Manifest, ShardEntry
from sftdata.view import html
from sftdata.view.decoder import Decoder, TokenSpan
from sftdata.view.summary import Summary, summarize, token_counts


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """One sample of a packed row: its ids and labels, and where it is."""

    record_id: str
    input_ids: Sequence[int]
    labels: Sequence[int]  # the id if trained, else -100; not shifted
    shard: str  # as in the manifest, e.g. train/00000-of-00008.arrow
    row: int  # within the shard, as in the ledger's places
    index: int  # within the row
    decoder: Decoder = field(repr=False)
    control_ids: frozenset[int] = field(repr=False)

    @property
    def num_tokens(self) -> int:
        """The number of tokens, trained or not."""
        return len(self.input_ids)

    @property
    def num_trained_tokens(self) -> int:
        """The number of tokens with loss."""
        return sum(label != IGNORE for label in self.labels)

    @property
    def text(self) -> str:
        """The whole sample decoded, including control tokens."""
        return self.decoder.decode(self.input_ids)

    @property
    def title(self) -> str:
        """Where the sample is, in one line."""
        return f"sample {self.index} of row {self.row} in {self.shard}"

    @property
    def counts(self) -> str:
        """Its number of tokens and the trained share, in a few words."""
        return token_counts(self.num_tokens, self.num_trained_tokens)

    def spans(self) -> list[TokenSpan]:
        """The text of each token, in order. Joined, they are `text`."""
        return self.decoder.spans(self.input_ids)

    def __repr__(self) -> str:
        return f"<{self.title}: {self.counts}, record {self.record_id}>"

    def _repr_html_(self) -> str:
        return html.sample_html(self)


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """One packed row: the samples in one sequence of training, in order."""

    samples: tuple[Sample, ...]
    shard: str
    row: int  # within the shard
    number: int  # within the dataset or split that was opened

    @property
    def num_tokens(self) -> int:
        """The number of tokens, trained or not."""
        return sum(sample.num_tokens for sample in self.samples)

    @property
    def num_trained_tokens(self) -> int:
        """The number of tokens with loss."""
        return sum(sample.num_trained_tokens for sample in self.samples)

    @property
    def title(self) -> str:
        """Where the row is and what it contains, in one line."""
        counts = f"{pluralize(len(self.samples), 'sample')}, {token_counts(self.num_tokens, self.num_trained_tokens)}"
        return f"row {self.number} (row {self.row} of {self.shard}): {counts}"

    def __repr__(self) -> str:
        return f"<{self.title}>"

    def _repr_html_(self) -> str:
        return html.row_html(self)


class Dataset:
    """A prepared dataset, or one split of it. Rows are numbered across shards, in the order of the manifest.

    Opening a dataset reads only the manifest. Accessing a row checks and memory-maps the shard that contains it.
    """

    def __init__(self, path: Path, manifest: Manifest, split: str | None = None) -> None:
        self.path = path
        self.manifest = manifest
        self.split_name = split
        self._shards: list[ShardEntry] = [shard for shard in manifest.shards if split in (None, shard.split)]
        self._row_ends = list(accumulate(shard.rows for shard in self._shards))
        self._sample_ends = list(accumulate(shard.samples for shard in self._shards))
        self._last_shard: tuple[int, pa.Table] | None = None  # number and rows of the shard accessed last

    def __len__(self) -> int:
        """The number of packed rows."""
        return self._row_ends[-1] if self._row_ends else 0

    @property
    def num_samples(self) -> int:
        """The number of samples in all rows."""
        return self._sample_ends[-1] if self._sample_ends else 0

    def __getitem__(self, number: SupportsIndex) -> Row:
        """A packed row by number; negative numbers count from the end. Raises DatasetError if there is no such row."""
        at = self._resolve(number, len(self), "row")
        shard, row = _locate(self._row_ends, at)
        return self._row(shard, row, at)

    def __iter__(self) -> Iterator[Row]:
        for at in range(len(self)):
            yield self[at]

    def sample(self, number: SupportsIndex) -> Sample:
        """A sample by its number across all rows. Raises DatasetError if there is no such sample."""
        at = self._resolve(number, self.num_samples, "sample")
        shard, in_shard = _locate(self._sample_ends, at)
        table = self._table(shard)
        ends = np.cumsum(pc.list_value_length(table["seq_lengths"]).to_numpy())
        row = int(np.searchsorted(ends, in_shard, side="right"))
        first = int(ends[row - 1]) if row else 0
        rows_before = self._row_ends[shard - 1] if shard else 0
        return self._row(shard, row, rows_before + row).samples[in_shard - first]

    def split(self, name: str) -> Dataset:
        """One split, numbered from 0. Raises DatasetError if the dataset has no such split."""
        known = self.manifest.splits
        if name not in known:
            raise DatasetError(str(self.path), f"has no split {name!r}", f"it has {', '.join(known) or 'none'}")
        return Dataset(self.path, self.manifest, name)

    def summary(self) -> Summary:
        """The contents of the dataset, or of this split, from the manifest alone."""
        return summarize(self.path.resolve().name, self.manifest, self.split_name)

    @cached_property
    def decoder(self) -> Decoder:
        """The tokenizer of the dataset. Raises DatasetError if it is not the one that was written."""
        return Decoder.from_file(check_tokenizer(self.path, self.manifest))

    @cached_property
    def control_ids(self) -> frozenset[int]:
        """Ids of control tokens: those in the manifest, and those that the tokenizer marks as special."""
        return frozenset(self.manifest.tokenizer.control_ids) | self.decoder.special_ids

    def __repr__(self) -> str:
        return str(self.summary())

    def _repr_html_(self) -> str:
        return html.summary_html(self.summary())

    def _resolve(self, number: SupportsIndex, length: int, noun: str) -> int:
        """The number as an index from 0. Raises DatasetError if it is out of range."""
        at = operator.index(number)
        if not -length <= at < length:
            known = f"{noun}s are numbered 0 to {length - 1:,}" if length else f"there are no {noun}s"
            raise DatasetError(str(self.path), f"has no {noun} {at:,}", known)
        return at % length

    def _table(self, shard: int) -> pa.Table:
        if self._last_shard is None or self._last_shard[0] != shard:
            self._last_shard = shard, open_shard(self.path, self._shards[shard], self.manifest)
        return self._last_shard[1]

    def _row(self, shard: int, row: int, number: int) -> Row:
        cells = self._table(shard).slice(row, 1).to_pylist()[0]
        path = self._shards[shard].path
        samples = []
        start = 0
        for index, (length, record_id) in enumerate(zip(cells["seq_lengths"], cells["record_ids"], strict=True)):
            ids, labels = (cells[name][start : start + length] for name in ("input_ids", "labels"))
            samples.append(Sample(record_id, ids, labels, path, row, index, self.decoder, self.control_ids))
            start += length
        return Row(tuple(samples), path, row, number)


def open_dataset(path: str | Path) -> Dataset:
    """Open a folder written by `sftdata prepare`. Raises DatasetError if it is not a dataset."""
    return Dataset(Path(path), Manifest.load(Path(path)))


def _locate(ends: Sequence[int], at: int) -> tuple[int, int]:
    """(shard, index within the shard) of item `at`, given the running totals after each shard."""
    shard = bisect_right(ends, at)
    return shard, at - (ends[shard - 1] if shard else 0)
