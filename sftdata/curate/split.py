"""Which records are held out for validation, by a hash of what must stay on one side of the split, such as content."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from sftdata.curate.duplicates.grouping import groups_of_equal
from sftdata.curate.words import splitmix64

TRAIN, VALIDATION = "train", "validation"


def choose_validation(
    hashes: npt.NDArray[np.uint64], candidates: npt.NDArray[np.bool_], validation: int | float
) -> npt.NDArray[np.bool_]:
    """Which records go to the validation split.

    `hashes` are uniform hashes of the records' content, equal for equal content. If `validation` is a share below 1,
    it takes the records whose hash is in that share of the hash range, so a record's side does not depend on other
    records. Otherwise it is a number: the candidates with the lowest hashes, plus every candidate with equal content.
    """
    if validation <= 0:
        return np.zeros(len(hashes), bool)
    if validation < 1:
        return candidates & (hashes < np.uint64(min(int(validation * 2**64), 2**64 - 1)))
    ordered = np.sort(hashes[candidates])
    if len(ordered) == 0:
        return np.zeros(len(hashes), bool)
    bound: np.uint64 = ordered[min(int(validation), len(ordered)) - 1]
    is_held_out: npt.NDArray[np.bool_] = candidates & (hashes <= bound)
    return is_held_out


def joined_hashes(hashes: npt.NDArray[np.uint64], groupings: Sequence[npt.NDArray[Any]]) -> npt.NDArray[np.uint64]:
    """One hash for all records that must stay on one side: those with an equal hash, those with an equal value in one
    of the groupings, and those linked through other records.

    A record that is grouped only with records of the same hash keeps its hash. Where different hashes are joined, the
    smallest is hashed again, because the minimum of several uniform hashes is not uniform.

    Memory: 30 bytes for each record, and 100 for each that shares a hash or a value with another one.
    """
    grouped = np.zeros(len(hashes), np.bool_)
    for values in (hashes, *groupings):
        members, _ = groups_of_equal(splitmix64(values.astype(np.uint64)))  # all that are equal, and a few more
        grouped[members] = True
    joined = hashes.copy()
    joined[grouped] = _joined(hashes[grouped], [values[grouped] for values in groupings])
    return joined


def _joined(hashes: npt.NDArray[np.uint64], groupings: Sequence[npt.NDArray[Any]]) -> npt.NDArray[np.uint64]:
    """`joined_hashes`, by following the links of all records until nothing changes."""
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
    is_joined = np.isin(least, least[least != hashes])
    return np.where(is_joined, splitmix64(least), hashes)
