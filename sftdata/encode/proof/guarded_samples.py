"""Samples as guarded text, ready to be encoded: one sample, and the samples of a batch of records.

Guarded text is text for the guarded tokenizer, in which control tokens have private names (see tokenizer/control.py).
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from sftdata.encode.template.conversation import Refusal
from sftdata.encode.tokenizer.control import PRIVATE

Note = tuple[str, str]  # a Counter of EncodingStats, and a key of it


class GuardedSample(NamedTuple):
    """A sample as guarded text, cut at its completions: pieces[1], pieces[3], ... are trained."""

    pieces: tuple[str, ...]
    turns: tuple[int, ...]  # 0-based, one per trained piece

    @property
    def controls(self) -> list[int]:
        """The number of control tokens in each piece."""
        return [piece.count(PRIVATE) for piece in self.pieces]


class GuardedBatch:
    """The samples of a batch of records, in the order of the records.

    pieces    <u>hi</u><a>  yo</a>  \\n | <u>well?</u><a>  no</a>  \\n
    controls  3             1       0    3                1       0     control tokens that the template wrote in each
    starts    0                          3                         6    the first piece of each sample, and the end
    turns     (1,)                       (1,)                           the trained turns of each sample, 0-based
    owners    0                          2                              the record of each sample, from 0
    notes     {2: Counter(...)}                                         what to count of a record, see stats.py
    tallies   {("thinking", "prompt"): [0, 2]}                          the records of which to count this once
    left_out  {2: [Refusal(...)]}                                       turns that are not proven, of trained records
    """

    def __init__(self) -> None:
        self.pieces: list[str] = []
        self.controls: list[int] = []
        self.starts = [0]
        self.turns: list[tuple[int, ...]] = []
        self.owners: list[int] = []
        self.notes: dict[int, Counter[Note]] = {}
        self.tallies: dict[Note, list[int]] = {}
        self.left_out: dict[int, list[Refusal]] = {}

    def note(self, owner: int, kind: str, name: str, number: int = 1) -> None:
        """Note something about a record, to be counted if its samples are proven."""
        self.notes.setdefault(owner, Counter())[kind, name] += number

    def tally(self, note: Note, owner: int) -> None:
        """Note something once about a record, as `note`; faster, for what may be said of every record."""
        self.tallies.setdefault(note, []).append(owner)

    def add(self, owner: int, pieces: Sequence[str], controls: Sequence[int], turns: tuple[int, ...]) -> None:
        """Add a sample of a record. Records must be added in order."""
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
