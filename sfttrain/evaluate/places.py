"""Which source and which turn each trained token of a split belongs to, and how many bytes of text there are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sftdata.errors import DatasetError
from sftdata.store.manifest import ShardEntry
from sftdata.view.decoder import Decoder
from sftdata.view.find.origins import load_origins, ranks_of_turns
from sfttrain.data import Shards
from sfttrain.evaluate.figures import TURNS, Ints, Sums, figures_of

IGNORE = -100
TOKENIZER_JSON = "tokenizer.json"
Ids = npt.NDArray[np.int64]
Ranks = dict[tuple[str, int, int], tuple[int, ...]]  # of shard, sequence and index: see ranks_of_turns


@dataclass(frozen=True, slots=True)
class Places:
    """The cells (see figures.py) of the trained tokens of a split, and the bytes of their text."""

    sources: tuple[str, ...]  # none: the dataset has no ledger that can be read, so there is one row of cells
    cells: Ints  # of each trained token, in the order of the sequences
    starts: Ints  # where the cells of each sequence begin, and at last where they end
    num_bytes: Ints  # of each cell

    @property
    def size(self) -> int:
        """The number of cells."""
        return len(self.num_bytes)

    def cells_of(self, sequences: Sequence[int]) -> Ints:
        """The cells of the trained tokens of some sequences, one behind the other."""
        parts = [self.cells[self.starts[number] : self.starts[number + 1]] for number in sequences]
        return np.concatenate(parts) if parts else np.empty(0, np.int64)

    def figures(self, sums: Sums) -> dict[str, Any]:
        """The figures of these sums."""
        return figures_of(sums, self.num_bytes, self.sources)


def load_places(shards: Shards, split: str) -> Places:
    """The places of a split, read once. Raises DatasetError for a shard that is damaged.

    A turn is a run of trained tokens. Where a conversation became several samples, its turns are counted over all of
    them, as the ledger says.
    """
    entries = [shard for shard in shards.manifest.shards if shard.split == split and shard.rows]
    sources, source_of, ranks = _from_ledger(shards, entries)
    measure = ByteCounter(shards)
    cells: list[Ints] = []
    counts = [0]
    num_bytes = np.zeros(max(len(sources), 1) * len(TURNS), np.int64)
    sample = 0
    for shard, row, samples in _sequences(shards, split, entries):
        trained = 0
        for index, (ids, labels) in enumerate(samples):
            source = int(source_of[sample]) if sources else 0
            sample += 1
            runs = runs_of(labels)
            known = ranks.get((shard, row, index), ())
            for at, (start, end) in enumerate(runs):
                rank = known[at] if len(known) == len(runs) else at
                cell = source * len(TURNS) + min(rank, len(TURNS) - 1)
                cells.append(np.full(end - start, cell, np.int64))
                num_bytes[cell] += measure.between(ids, start, end)
                trained += end - start
        counts.append(trained)
    joined = np.concatenate(cells) if cells else np.empty(0, np.int64)
    return Places(sources, joined, np.cumsum(counts), num_bytes)


def _from_ledger(shards: Shards, entries: Sequence[ShardEntry]) -> tuple[tuple[str, ...], Ints, Ranks]:
    """The names of the sources, the source of each sample, and the turns of samples that share a conversation.

    Nothing of them without a ledger, or with a damaged one: `sftdata verify` says what is wrong with it.
    """
    try:
        origins = load_origins(shards.path, shards.manifest, entries)
        ranks = ranks_of_turns(shards.path, shards.manifest)
    except DatasetError:
        origins, ranks = None, {}
    if origins is None:
        return (), np.empty(0, np.int64), {}
    names = tuple(origins.source.dictionary.to_pylist())
    return names, origins.source.indices.to_numpy(zero_copy_only=False)[origins.row_of].astype(np.int64), ranks


def _sequences(
    shards: Shards, split: str, entries: Sequence[ShardEntry]
) -> Iterator[tuple[str, int, list[tuple[Ids, Ids]]]]:
    """The shard, the number within it, and the ids and labels of the samples of each sequence of a split."""
    rows = shards.rows(split)
    if rows is None:
        return
    numpy = rows.with_format("numpy")
    number = 0
    for entry in entries:
        for at in range(entry.rows):
            yield entry.path, at, samples_of(numpy[number])
            number += 1


def samples_of(row: Mapping[str, Ids]) -> list[tuple[Ids, Ids]]:
    """The ids and labels of each sample of a sequence, from its columns as arrays."""
    edges = np.cumsum(row["seq_lengths"])[:-1]
    return list(zip(np.split(row["input_ids"], edges), np.split(row["labels"], edges), strict=True))


def runs_of(labels: Ids) -> list[tuple[int, int]]:
    """Start and end of each run of trained tokens of a sample.

    labels  . . . 6 7 . 9     (. is IGNORE)     [(3, 5), (6, 7)]
    """
    edges = np.flatnonzero(np.diff(labels != IGNORE, prepend=False, append=False))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


class ByteCounter:
    """The bytes of text, in UTF-8, of tokens of samples. Special tokens and those that end a turn are no text."""

    def __init__(self, shards: Shards) -> None:
        self._decoder = Decoder.from_file(shards.tokenizer / TOKENIZER_JSON)
        self._no_text = np.array(
            sorted({*self._decoder.special_ids, *shards.manifest.tokenizer.end_of_turn_ids}), np.int64
        )

    def between(self, ids: Ids, start: int, end: int) -> int:
        """The bytes of the tokens from `start` to `end` of a sample, as they are decoded within it.

        A character whose bytes are spread over tokens on both sides of `start` counts with the later ones.
        """
        table = self._decoder.byte_table
        if table is not None:
            part = ids[start:end]
            return table.num_bytes(part[~np.isin(part, self._no_text)].astype(np.int32))
        return sum(
            len(span.text.encode("utf-8", "replace"))
            for span in self._decoder.spans(ids[:end].tolist())
            if span.end > start and not np.isin(ids[span.start], self._no_text)
        )
