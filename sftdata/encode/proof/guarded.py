"""Proven texts on their way to the guarded tokenizer: one sample, and the samples of many records end to end."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import NamedTuple

from sftdata.encode.tokenizer.control import PRIVATE


class GuardedSample(NamedTuple):
    """A sample's text for the guarded tokenizer, cut at its completions: pieces[1], pieces[3], ... are trained."""

    pieces: tuple[str, ...]
    turns: tuple[int, ...]  # 0-based, one for each trained piece

    @property
    def controls(self) -> list[int]:
        """How many control tokens there are in each piece."""
        return [piece.count(PRIVATE) for piece in self.pieces]


class GuardedBatch:
    """The samples of the records of a batch, in the order of the records.

    pieces    <u>hi</u><a>  yo</a>  \\n | <u>well?</u><a>  no</a>  \\n
    controls  3             1       0    3                1       0     control tokens that the template wrote in each
    starts    0                          3                         6    of samples + 1, in pieces
    turns     (1,)                       (1,)                           trained in each sample, 0-based
    owners    0                          2                              the record of each sample, from 0
    """

    def __init__(self) -> None:
        self.pieces: list[str] = []
        self.controls: list[int] = []
        self.starts = [0]
        self.turns: list[tuple[int, ...]] = []
        self.owners: list[int] = []

    def add(self, owner: int, pieces: Sequence[str], controls: Sequence[int], turns: tuple[int, ...]) -> None:
        """Add a sample of a record, which is no earlier one than the last."""
        self.pieces += pieces
        self.controls += controls
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
