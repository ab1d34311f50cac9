"""Mixtures: how often each record is used, so that every source has its share of the trained tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sftdata.errors import ConfigError

Ints = npt.NDArray[np.int64]


class SourceShare(NamedTuple):
    """What is requested of one source."""

    max_records: int | None = None  # the most of its remaining records that are used
    repeat: int = 1  # uses of each record; with weights, the most uses of a record
    weight: float | None = None  # share of the trained tokens, relative to the other sources' weights


class MixedSource(NamedTuple):
    """What one source contributes to the mixture. The fields are those of the manifest's MixtureEntry."""

    asked: float | None  # requested share of the trained tokens; None without weights
    got: float  # actual share of the trained tokens
    records: int  # used at least once
    copies: int  # uses of records
    trained_tokens: int  # in all copies
    available_tokens: int  # trained tokens that max_records and repeat would have allowed


class Mixture(NamedTuple):
    """How often each record is used, and which setting drops the records that are not."""

    copies: Ints
    over_max: npt.NDArray[np.bool_]  # dropped by max_records
    over_weight: npt.NDArray[np.bool_]  # dropped by weight
    sources: list[MixedSource]


def check_shares(sources: Sequence[SourceShare]) -> None:
    """Raise ConfigError if only some sources have a weight, or if all weights are 0."""
    weights = [source.weight for source in sources]
    if any(weight is None for weight in weights) and any(weight is not None for weight in weights):
        missing = weights.index(None)
        raise ConfigError(
            f"sources.{missing}.weight", "is missing, but other sources have one", "give every source a weight, or none"
        )
    if weights and all(weight == 0 for weight in weights):
        raise ConfigError("sources.0.weight", "every source's weight is 0", "give at least one source a weight above 0")


def mix(
    source: Ints | npt.NDArray[np.int32],
    hashes: npt.NDArray[np.uint64],
    trained_tokens: Ints,
    live: npt.NDArray[np.bool_],
    shares: Sequence[SourceShare],
) -> Mixture:
    """Choose records, and how often each is used. One entry per record in `source` (an index into `shares`), `hashes`
    (of the record's id) and `trained_tokens`; records that are not `live` are ignored.

    A source's records are taken in the order of their hashes, so the choice depends on neither the order of the rows
    nor the other sources. With weights, the total is the largest at which no source runs out: the scarcest source is
    used up, and the others stop at their share, short of it by less than their smallest unused record. A source
    without records does not limit the total.
    Raises ConfigError if only some sources have weights.
    """
    check_shares(shares)
    copies, over_max = np.zeros(len(source), np.int64), np.zeros(len(source), bool)
    rows_by_source = []
    for number, share in enumerate(shares):
        rows = np.flatnonzero(live & (source == number))
        rows = rows[np.argsort(hashes[rows], kind="stable")]
        if share.max_records is not None:
            over_max[rows[share.max_records :]] = True
            rows = rows[: share.max_records]
        rows_by_source.append(rows)
    available = [int(trained_tokens[rows].sum()) * share.repeat for rows, share in zip(rows_by_source, shares)]
    requested = requested_shares(shares)
    total = min((tokens / part for tokens, part in zip(available, requested) if part and tokens), default=0.0)
    for rows, share, part in zip(rows_by_source, shares, requested):
        if part is None:
            copies[rows] = share.repeat
        elif part:
            copies[rows] = _fill(trained_tokens[rows], share.repeat, round(total * part))
    over_weight = live & (copies == 0) & ~over_max
    used = copies * trained_tokens
    used_by_source = np.bincount(source, weights=used, minlength=len(shares)).astype(np.int64).tolist()
    sources = [
        MixedSource(
            asked=part,
            got=tokens / max(sum(used_by_source), 1),
            records=int(np.count_nonzero(copies[rows])),
            copies=int(copies[rows].sum()),
            trained_tokens=tokens,
            available_tokens=available_tokens,
        )
        for part, tokens, rows, available_tokens in zip(requested, used_by_source, rows_by_source, available)
    ]
    return Mixture(copies, over_max, over_weight, sources)


def requested_shares(shares: Sequence[SourceShare]) -> list[float | None]:
    """The weights, scaled to sum to 1; None for sources without a weight."""
    total = sum(share.weight or 0 for share in shares)
    return [None if share.weight is None else share.weight / total for share in shares]


def _fill(tokens: Ints, repeat: int, budget: int) -> Ints:
    """How often to use each record so that the sum of tokens comes as close to the budget as possible without
    exceeding it: as many passes over all records as fit, then single records in order, skipping those that do not fit.
    """
    once = int(tokens.sum())
    passes = min(budget // once, repeat) if once else repeat
    copies = np.full(len(tokens), passes, np.int64)
    left = budget - passes * once
    if passes == repeat or left <= 0:
        return copies
    start = 0
    while start < len(tokens) and left > 0:
        end = start + int(np.searchsorted(np.cumsum(tokens[start:]), left, side="right"))
        copies[start:end] += 1
        left -= int(tokens[start:end].sum())
        fitting = np.flatnonzero(tokens[end:] <= left)
        start = end + int(fitting[0]) if len(fitting) else len(tokens)
    return copies
