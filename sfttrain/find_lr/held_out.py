"""The sequences of a sweep: those that each rate trains, and those that judge it, the same for all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sftdata.errors import ConfigError, pluralize
from sftdata.store.manifest import SplitStats
from sfttrain.data import TRAIN, VALIDATION, Shards
from sfttrain.trainer.order import epoch_order

if TYPE_CHECKING:
    from datasets import Dataset

SHARE = 0.1  # of the train sequences, held out where there is no validation split
MAX_TOKENS, MIN_SEQUENCES = 131_072, 16  # that judge a rate: more would take more time than the steps


@dataclass(frozen=True, slots=True)
class SweepShards(Shards):
    """A dataset as a sweep sees it: some of its sequences, by split."""

    chosen: tuple[int, ...] | None = None  # the sequences to train; None: all of the split
    judges: tuple[int, ...] = ()  # the sequences that judge, of `judged`
    judged: str = VALIDATION  # the split that they are from

    def rows(self, split: str) -> Dataset | None:
        """The chosen sequences of a split: see Shards.rows."""
        if split == VALIDATION:
            rows = self.whole.rows(self.judged)
            return None if rows is None else rows.select(self.judges)
        rows = self.whole.rows(split)
        return rows if rows is None or self.chosen is None else rows.select(self.chosen)

    def lengths(self, split: str) -> list[int]:
        """The tokens of each chosen sequence of a split: see Shards.lengths."""
        if split == VALIDATION:
            lengths = self.whole.lengths(self.judged)
            return [lengths[number] for number in self.judges]
        lengths = self.whole.lengths(split)
        return lengths if self.chosen is None else [lengths[number] for number in self.chosen]

    def where(self, split: str, sequences: Sequence[int]) -> list[str]:
        """The rows of the input in some of the chosen sequences: see Shards.where."""
        if split == TRAIN and self.chosen is not None:
            sequences = [self.chosen[number] for number in sequences]
        return self.whole.where(split, sequences)

    @property
    def whole(self) -> Shards:
        """The dataset with all of its sequences."""
        return Shards(self.path, self.manifest, self.stamps, self.opened)

    @property
    def train_stats(self) -> SplitStats:
        """The train split without what is held out."""
        stats = self.manifest.splits[TRAIN]
        if self.chosen is None:
            return stats
        return stats._replace(rows=len(self.chosen), tokens=sum(self.lengths(TRAIN)))

    @property
    def judge_tokens(self) -> int:
        """The tokens that judge a rate."""
        return sum(self.lengths(VALIDATION))

    @property
    def in_words(self) -> str:
        """Which sequences judge a rate."""
        number = len(self.judges)
        if self.chosen is not None:
            return (
                f"the shards have no validation split: {number:,} of {number + len(self.chosen):,} train sequences "
                f"{'is' if number == 1 else 'are'} held out of the sweep to judge the rates, drawn by the seed"
            )
        all_rows = self.manifest.splits[VALIDATION].rows
        if number < all_rows:
            return f"{number:,} of {pluralize(all_rows, 'validation sequence')} judge the rates, drawn by the seed"
        return f"{pluralize(number, 'validation sequence')} {'judges' if number == 1 else 'judge'} the rates"


def shards_to_sweep(shards: Shards, seed: int) -> SweepShards:
    """The dataset with the sequences that judge: of its validation split, or a tenth of the train split held out.

    Which ones depends on the seed alone. Raises ConfigError where one train sequence is all there is.
    """
    validation = shards.manifest.splits.get(VALIDATION)
    if validation is not None and validation.rows and validation.trained_tokens:
        number = min(validation.rows, _most(validation))
        judges = _drawn(validation.rows, number, seed)
        return SweepShards(shards.path, shards.manifest, shards.stamps, shards.opened, None, judges)
    train = shards.manifest.splits[TRAIN]
    if train.rows < 2:
        what = "has one sequence and no validation split, so nothing is left to judge a rate by"
        raise ConfigError(str(shards.path), what, "prepare it with split.validation or shorter sequences")
    number = min(max(1, round(SHARE * train.rows)), _most(train))
    held = _drawn(train.rows, number, seed)
    left = tuple(sorted(set(range(train.rows)) - set(held)))
    return SweepShards(shards.path, shards.manifest, shards.stamps, shards.opened, left, held, TRAIN)


def _most(split: SplitStats) -> int:
    """The most sequences of a split that judge a rate."""
    return max(MIN_SEQUENCES, int(MAX_TOKENS // (split.tokens / split.rows)))


def _drawn(rows: int, number: int, seed: int) -> tuple[int, ...]:
    """This number of the sequences, drawn by the seed, in the order of the shards."""
    return tuple(sorted(int(one) for one in epoch_order(rows, 1, seed)[:number]))
