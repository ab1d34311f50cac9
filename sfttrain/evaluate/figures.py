"""What a model gets right of trained tokens: loss, accuracy, perplexity and bits per byte, by source and by turn.

The sums are kept for each pair of a source and a turn; every other figure is a ratio of sums. Bits per byte is the loss
of all trained tokens, those that end a turn too, in bits, over the bytes of their text in UTF-8. Special tokens and
those that end a turn are no text and have no bytes: so tokenizers with other end tokens can be compared.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

TURNS = ("first", "second", "later")  # trained turn of a conversation
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Sums:
    """Sums over trained tokens, one for each cell: a source and a turn (`source * len(TURNS) + turn`)."""

    loss: Floats  # negative log-likelihood in nats
    correct: Ints  # tokens that are the model's most likely one
    tokens: Ints

    @staticmethod
    def of(cells: Ints, loss: Floats, correct: npt.NDArray[np.bool_], size: int) -> Sums:
        """The sums of some tokens, whose cells are given."""
        return Sums(
            np.bincount(cells, loss, size).astype(np.float64),
            np.bincount(cells, correct, size).astype(np.int64),
            np.bincount(cells, minlength=size),
        )

    @staticmethod
    def none(size: int) -> Sums:
        """The sums of no tokens."""
        return Sums(np.zeros(size), np.zeros(size, np.int64), np.zeros(size, np.int64))

    def __add__(self, other: Sums) -> Sums:
        return Sums(self.loss + other.loss, self.correct + other.correct, self.tokens + other.tokens)

    def as_rows(self) -> Floats:
        """The sums as three rows of numbers, to add up over processes."""
        return np.stack([self.loss, self.correct, self.tokens]).astype(np.float64)

    @staticmethod
    def from_rows(rows: Floats) -> Sums:
        """The sums of `as_rows`."""
        return Sums(rows[0], np.rint(rows[1]).astype(np.int64), np.rint(rows[2]).astype(np.int64))


def figures_of(sums: Sums, num_bytes: Ints, sources: Sequence[str]) -> dict[str, Any]:
    """The figures of all tokens, and under `sources` and `turns` those of each source and turn that has any.

    `num_bytes` has an entry for each cell. Without sources, there is one row of cells and no figures by source.
    """
    grid = np.arange(len(sums.tokens)).reshape(-1, len(TURNS))
    by_source = {name: _figures(sums, num_bytes, grid[at]) for at, name in enumerate(sources)}
    by_turn = {name: _figures(sums, num_bytes, grid[:, at]) for at, name in enumerate(TURNS)}
    return {
        **_figures(sums, num_bytes, grid.ravel()),
        "sources": {name: found for name, found in by_source.items() if found["tokens"]},
        "turns": {name: found for name, found in by_turn.items() if found["tokens"]},
    }


def _figures(sums: Sums, num_bytes: Ints, cells: Ints) -> dict[str, Any]:
    """The figures of some cells together; None for a ratio of nothing, and for a number too large for a float."""
    loss, tokens, size = float(sums.loss[cells].sum()), int(sums.tokens[cells].sum()), int(num_bytes[cells].sum())
    mean = loss / tokens if tokens else None
    return {
        "loss": mean,
        "accuracy": int(sums.correct[cells].sum()) / tokens if tokens else None,
        "perplexity": math.exp(mean) if mean is not None and mean < 700 else None,
        "bits_per_byte": loss / math.log(2) / size if size else None,
        "tokens": tokens,
        "bytes": size,
    }
