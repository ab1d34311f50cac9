"""Which records are held out for validation: by a hash of what must stay on one side, such as equal content."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

TRAIN, VALIDATION = "train", "validation"


def choose_validation(
    hashes: npt.NDArray[np.uint64], candidates: npt.NDArray[np.bool_], validation: int | float
) -> npt.NDArray[np.bool_]:
    """Which records go to the validation split.

    `hashes` are uniform hashes of the records' content, equal for equal content. A share below 1 takes the records
    whose hash lies in that share of all hashes, so that a record's side does not depend on the other records; a number
    takes the candidates with the lowest hashes, and with them every candidate of equal content.
    """
    if validation <= 0:
        return np.zeros(len(hashes), bool)
    if validation < 1:
        return candidates & (hashes < np.uint64(min(int(validation * 2**64), 2**64 - 1)))
    chosen = np.sort(hashes[candidates])
    if len(chosen) == 0:
        return np.zeros(len(hashes), bool)
    bound: np.uint64 = chosen[min(int(validation), len(chosen)) - 1]
    held: npt.NDArray[np.bool_] = candidates & (hashes <= bound)
    return held


def joined_hashes(hashes: npt.NDArray[np.uint64], groupings: Sequence[npt.NDArray[Any]]) -> npt.NDArray[np.uint64]:
    """One hash for all records that must stay on one side: those of an equal hash, or of an equal value in one of the
    groupings, and those linked by others.

    A record with nothing but its equals keeps its hash. Where different hashes meet, the least of them is mixed once
    more, for the least of several is no longer uniform.
    """
    codes = [np.unique(values, return_inverse=True)[1].reshape(-1) for values in (hashes, *groupings)]
    least = hashes.copy()
    while True:
        before = least.copy()
        for group in codes:
            lowest = np.full(len(hashes), np.iinfo(np.uint64).max, np.uint64)
            np.minimum.at(lowest, group, least)
            least = lowest[group]
        if np.array_equal(least, before):
            break
    met = np.isin(least, least[least != hashes])
    return np.where(met, _mixed(least), hashes)


def _mixed(values: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Every bit of a value spread over all bits (the finalizer of SplitMix64)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
