"""Proven texts on their way to the guarded tokenizer: one sample, and the samples of many records end to end."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from typing import NamedTuple


class GuardedSample(NamedTuple):
    """A sample's text for the guarded tokenizer, cut at its completions: pieces[1], pieces[3], ... are trained."""

    pieces: tuple[str, ...]
    turns: tuple[int, ...]  # 0-based, one for each trained piece


class GuardedBatch:
    """The samples of the records of a batch, in the order of the records.

    pieces  <u>hi</u><a>  yo</a>  \\n | <u>well?</u><a>  no</a>  \\n
    starts  0                          3                         6     of samples + 1, in pieces
    turns   (1,)                       (1,)                            trained in each sample, 0-based
    owners  0                          2                               the record of each sample, from 0
    """

    def __init__(self) -> None:
        self.pieces: list[str] = []
        self.starts = [0]
        self.turns: list[tuple[int, ...]] = []
        self.owners: list[int] = []

    def add(self, owner: int, pieces: Iterable[str], turns: tuple[int, ...]) -> None:
        """Add a sample of a record, which is no earlier one than the last."""
        self.pieces += pieces
        self.starts.append(len(self.pieces))
        self.turns.append(turns)
        self.owners.append(owner)

    def samples_of(self, owner: int) -> list[GuardedSample]:
        """The samples of a record."""
        samples = range(bisect_left(self.owners, owner), bisect_right(self.owners, owner))
        return [GuardedSample(tuple(self.pieces_of(sample)), self.turns[sample]) for sample in samples]

    def pieces_of(self, sample: int) -> Sequence[str]:
        """The pieces of a sample."""
        return self.pieces[self.starts[sample] : self.starts[sample + 1]]
