"""Mixtures: how often each record is used, so that every source has its share of the trained tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sftdata.errors import ConfigError

Ints = npt.NDArray[np.int64]


class SourceShare(NamedTuple):
    """What a source may give."""

    max_records: int | None = None  # of its records that got this far, the most that are used
    repeat: int = 1  # how often a record is used: always, without weights; at most, with them
    weight: float | None = None  # share of the trained tokens, relative to the other sources' weights


class Got(NamedTuple):
    """One line of the table of asked and got."""

    asked: float | None  # share of the trained tokens; None without weights
    got: float
    records: int  # that are used at least once
    copies: int  # uses of records
    trained_tokens: int  # in all copies
    available_tokens: int  # trained tokens that max_records and repeat would have allowed


class Mixture(NamedTuple):
    """How often each record is used, and why not where it is not."""

    copies: Ints
    over_max: npt.NDArray[np.bool_]  # dropped by max_records
    over_weight: npt.NDArray[np.bool_]  # dropped by weight
    table: list[Got]  # a line for every source


def check_shares(sources: Sequence[SourceShare]) -> None:
    """Raises ConfigError where some sources have a weight and some have none: what is a share of the rest?"""
    weights = [source.weight for source in sources]
    if any(weight is None for weight in weights) and any(weight is not None for weight in weights):
        missing = weights.index(None)
        raise ConfigError(
            f"sources.{missing}.weight", "is missing, and other sources have one", "give every source a weight, or none"
        )
    if weights and all(weight == 0 for weight in weights):
        raise ConfigError("sources.0.weight", "every source's weight is 0", "give one source at least a weight above 0")


def mix(
    source: Ints,
    hashes: npt.NDArray[np.uint64],
    trained_tokens: Ints,
    alive: npt.NDArray[np.bool_],
    shares: Sequence[SourceShare],
) -> Mixture:
    """Choose records, and how often each is used. One entry per record in `source` (an index into `shares`), `hashes`
    (of the record's id) and `trained_tokens`; records that are not `alive` take no part.

    A source's records are taken in the order of their hashes, so that neither the order of the rows nor the other
    sources decide which ones. With weights, the total is the largest at which no source runs out: the scarcest gives
    all it has, the others stop at their share, short of it by less than the smallest record left over. A source that
    has nothing left is passed by.
    Raises ConfigError where only some sources have weights.
    """
    check_shares(shares)
    copies, over_max = np.zeros(len(source), np.int64), np.zeros(len(source), bool)
    queues = []
    for number, share in enumerate(shares):
        rows = np.flatnonzero(alive & (source == number))
        rows = rows[np.argsort(hashes[rows], kind="stable")]
        if share.max_records is not None:
            over_max[rows[share.max_records :]] = True
            rows = rows[: share.max_records]
        queues.append(rows)
    available = [int(trained_tokens[rows].sum()) * share.repeat for rows, share in zip(queues, shares)]
    asked = asked_shares(shares)
    total = min((have / want for have, want in zip(available, asked) if want and have), default=0.0)
    for rows, share, want in zip(queues, shares, asked):
        if want is None:
            copies[rows] = share.repeat
        elif want:
            copies[rows] = _fill(trained_tokens[rows], share.repeat, round(total * want))
    over_weight = alive & (copies == 0) & ~over_max
    used = copies * trained_tokens
    sums = np.bincount(source, weights=used, minlength=len(shares)).astype(np.int64).tolist()
    table = [
        Got(
            asked=want,
            got=tokens / max(sum(sums), 1),
            records=int(np.count_nonzero(copies[rows])),
            copies=int(copies[rows].sum()),
            trained_tokens=tokens,
            available_tokens=have,
        )
        for want, tokens, rows, have in zip(asked, sums, queues, available)
    ]
    return Mixture(copies, over_max, over_weight, table)


def asked_shares(shares: Sequence[SourceShare]) -> list[float | None]:
    """The weights, made to sum to 1; None where there are none."""
    total = sum(share.weight or 0 for share in shares)
    return [None if share.weight is None else share.weight / total for share in shares]


def _fill(tokens: Ints, repeat: int, budget: int) -> Ints:
    """How often each record is used, in order, so that together they come as close to the budget from below as
    the next records in line allow: whole rounds first, then records as they fit.
    """
    once = int(tokens.sum())
    rounds = min(budget // once, repeat) if once else repeat
    copies = np.full(len(tokens), rounds, np.int64)
    left = budget - rounds * once
    if rounds == repeat or left <= 0:
        return copies
    start = 0
    while start < len(tokens) and left > 0:
        reach = start + int(np.searchsorted(np.cumsum(tokens[start:]), left, side="right"))
        copies[start:reach] += 1
        left -= int(tokens[start:reach].sum())
        fitting = np.flatnonzero(tokens[reach:] <= left)
        start = reach + int(fitting[0]) if len(fitting) else len(tokens)
    return copies
