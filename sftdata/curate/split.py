"""Which records are held out for validation: by a hash of their content, so that equal content stays on one side."""

from __future__ import annotations

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
