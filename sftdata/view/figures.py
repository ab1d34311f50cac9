"""Histograms of a dataset: tokens of its conversations, and the share of them that is trained.

They come from the ledger, a row group at a time, or from the shards of a dataset without one. What is held is how often
each length occurs, and no more.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from sftdata.files.parquet_file import read_row_groups
from sftdata.store.checked import open_shard
from sftdata.store.ledger import LEDGER_SCHEMA
from sftdata.store.manifest import Manifest
from sftdata.view.find.columns import SampleColumns

MAX_BINS = 30
SHARE_BINS = 20  # of 5% each
OVERLONG = "overlong"
TEXT = "text"
FAR = 5  # a limit more than this many times what nearly all lengths reach is not drawn
NEARLY_ALL = 0.995

Ints = npt.NDArray[np.int64]


class Histogram(NamedTuple):
    """How many values are in each bin. Bin `n` has those from `edges[n]` on, below `edges[n + 1]`; the last one has all
    others too if `is_open`. `others` are values of another kind, which are drawn on top.
    """

    edges: tuple[int, ...]
    counts: tuple[int, ...]
    others: tuple[int, ...] = ()
    is_open: bool = False


@dataclass(frozen=True)
class Figures:
    """Of the packed conversations of a dataset or split; of its samples where no ledger says what belongs together."""

    noun: str  # conversation, text or sample
    number: int
    median: float  # tokens
    longest: int  # tokens of a packed one
    tokens: Histogram  # `others`: rows that were dropped as overlong
    overlong: int
    shares: Histogram | None  # trained tokens in percent of all; None for texts, and if all are trained


def read_figures(folder: str | Path, manifest: Manifest, split: str | None = None) -> Figures | None:
    """The figures of a dataset, or of one split; None if it has no conversations. Raises DatasetError if the ledger or
    a shard cannot be read.
    """
    if manifest.ledger:
        counted = LedgerFigures(manifest, split)
        read_ledger_once(folder, manifest, [counted])
        return counted.figures()
    tally, shards = _Tally(), [one for one in manifest.shards if split in (None, one.split)]
    columns = SampleColumns(len(shards), lambda at: open_shard(Path(folder), shards[at], manifest))
    tally.add_packed(columns.num_tokens, columns.num_trained_tokens)
    return tally.figures("sample", manifest.seq_len)


class OfLedger(Protocol):
    """Something that is counted of a ledger, a row group at a time."""

    @property
    def names(self) -> Sequence[str]:
        """The columns that are needed."""

    def add(self, table: pa.Table, place: tuple[Path, int]) -> None:
        """Count a row group, and where it is: its file and its number there."""


def read_ledger_once(folder: str | Path, manifest: Manifest, counted: Sequence[OfLedger]) -> None:
    """Read the columns that are needed, once. Raises DatasetError if the ledger cannot be read."""
    names = list(dict.fromkeys(name for one in counted for name in one.names))
    for entry in manifest.ledger:
        path = Path(folder, entry.path)
        for number, table in enumerate(read_row_groups(path, LEDGER_SCHEMA, names)):
            for one in counted:
                one.add(table.select(list(one.names)), (path, number))


class LedgerFigures:
    """The figures of a dataset with a ledger, or of one split."""

    def __init__(self, manifest: Manifest, split: str | None = None) -> None:
        self.names = ["num_tokens", "num_trained_tokens"]
        self.names += ["reason"] if manifest.counts.num_dropped else []
        self.names += ["split"] if split is not None else []
        # Only where a conversation has more than one sample.
        self.names += ["digests"] if sum(one.samples for one in manifest.shards) != manifest.counts.packed else []
        self._manifest, self._split, self._tally = manifest, split, _Tally()

    def add(self, table: pa.Table, place: tuple[Path, int]) -> None:
        """Count a row group."""
        chosen = pc.is_valid(table["num_tokens"])  # the others were dropped before they were encoded
        if self._split is not None:
            chosen = pc.and_(chosen, pc.equal(table["split"], self._split))
        self._tally.add(table.filter(chosen))

    def figures(self) -> Figures | None:
        """What was counted; None if there are no conversations."""
        noun = TEXT if self._manifest.template is None else "conversation"
        return self._tally.figures(noun, self._manifest.seq_len)


class _Tally:
    """How often each length and each share occurs."""

    def __init__(self) -> None:
        self._packed, self._overlong = _Lengths(), _Lengths()
        self._shares = np.zeros(SHARE_BINS, np.int64)
        self._is_all_trained = True

    def add(self, table: pa.Table) -> None:
        """Count rows of the ledger."""
        tokens, trained = (table[name].fill_null(0).to_numpy() for name in ("num_tokens", "num_trained_tokens"))
        is_packed = np.ones(len(tokens), np.bool_)
        if "reason" in table.column_names:
            is_packed = table["reason"].is_null().to_numpy()
            is_overlong = pc.fill_null(pc.equal(table["reason"], OVERLONG), False).to_numpy()
            self._overlong.add(tokens[is_overlong])
        copies = copies_of(table["digests"])[is_packed] if "digests" in table.column_names else 1
        self.add_packed(tokens[is_packed] // copies, trained[is_packed] // copies)

    def add_packed(self, tokens: Ints, trained: Ints) -> None:
        """Count conversations by their tokens, and those of them that are trained."""
        self._packed.add(tokens)
        self._is_all_trained &= bool((tokens == trained).all())
        bins = np.minimum(trained * SHARE_BINS // np.maximum(tokens, 1), SHARE_BINS - 1)
        self._shares += np.bincount(bins, minlength=SHARE_BINS)

    def figures(self, noun: str, limit: int) -> Figures | None:
        """What was counted."""
        packed, overlong = self._packed, self._overlong
        if not packed.number:
            return None
        edges, is_open = token_edges([packed, overlong], limit)
        counts, others = (one.in_bins(edges) for one in (packed, overlong))
        step = 100 // SHARE_BINS
        shares = Histogram(tuple(range(0, 101, step)), tuple(self._shares.tolist()))
        return Figures(
            noun,
            packed.number,
            packed.median,
            packed.at_share(1.0),
            Histogram(edges, counts, others if overlong.number else (), is_open),
            overlong.number,
            None if self._is_all_trained or noun == TEXT else shares,
        )


class _Lengths:
    """How often each length occurs: as many numbers as there are different lengths."""

    def __init__(self) -> None:
        self._values, self._counts = np.empty(0, np.int64), np.empty(0, np.int64)
        self.number = 0

    def add(self, lengths: Ints) -> None:
        """Count some more."""
        values, counts = np.unique(lengths, return_counts=True)
        every = np.union1d(self._values, values)
        total = np.zeros(len(every), np.int64)
        total[np.searchsorted(every, self._values)] += self._counts
        total[np.searchsorted(every, values)] += counts
        self._values, self._counts = every, total
        self.number += len(lengths)

    def at_share(self, share: float) -> int:
        """The least length that is not exceeded by this share of all; 0 without any."""
        if not self.number:
            return 0
        place = np.searchsorted(np.cumsum(self._counts), max(1, np.ceil(share * self.number)))
        return int(self._values[min(int(place), len(self._values) - 1)])

    @property
    def median(self) -> float:
        """The middle one; of an even number, halfway between the two in the middle."""
        ends = np.cumsum(self._counts)
        low, high = (
            int(self._values[np.searchsorted(ends, at + 1)]) for at in ((self.number - 1) // 2, self.number // 2)
        )
        return (low + high) / 2

    def in_bins(self, edges: Sequence[int]) -> tuple[int, ...]:
        """How many are in each bin; the last one has all that are longer."""
        bins = np.clip(np.searchsorted(edges, self._values, side="right") - 1, 0, len(edges) - 2)
        return tuple(np.bincount(bins, self._counts, len(edges) - 1).astype(np.int64).tolist())


def copies_of(digests: pa.ChunkedArray) -> Ints:
    """How many times each row was packed: its places, divided by the different samples in them; at least 1."""
    number, distinct = places_of(digests)
    copies: Ints = np.maximum(number // np.maximum(distinct, 1), 1)
    return copies


def places_of(digests: pa.ChunkedArray) -> tuple[Ints, Ints]:
    """How many places each row has, and how many different samples are in them."""
    column = digests.combine_chunks()
    number = pc.fill_null(pc.list_value_length(column), 0).to_numpy(zero_copy_only=False).astype(np.int64)
    distinct = np.minimum(number, 1)
    many = np.flatnonzero(number > 1)  # few, if any: only of these the digests are looked at
    if len(many):
        code = pc.dictionary_encode(column.take(pa.array(many)).flatten())
        owner = np.repeat(np.arange(len(many)), number[many])
        pairs = np.unique(owner * len(code.dictionary) + code.indices.to_numpy())
        distinct[many] = np.bincount(pairs // len(code.dictionary), minlength=len(many))
    return number, distinct


def token_edges(lengths: Sequence[_Lengths], limit: int) -> tuple[tuple[int, ...], bool]:
    """Edges of bins of one round width, from 0 on, and whether some lengths are beyond the last one.

    They cover nearly all lengths of the first kind, and the limit of a sequence if that is not far beyond.
    """
    nearly_all = lengths[0].at_share(NEARLY_ALL)
    longest = max(one.at_share(1.0) for one in lengths)
    end = max(nearly_all, limit) if limit <= FAR * nearly_all else nearly_all
    if longest <= 1.5 * end:
        end = max(end, longest + 1)
    width = round_width(end, MAX_BINS - 1)
    edges = tuple(range(0, -(-end // width) * width + 1, width))
    if longest < edges[-1]:
        return edges, False
    return (*edges, edges[-1] + width), True


def round_width(span: int, most: int) -> int:
    """The least of 1, 2, 5, 10, 20, 50, ... of which at most `most` cover a span."""
    for width in _round_numbers():
        if width * most >= span:
            return width
    raise AssertionError  # there is always a larger one


def _round_numbers() -> Iterable[int]:
    power = 1
    while True:
        yield from (power, 2 * power, 5 * power)
        power *= 10
