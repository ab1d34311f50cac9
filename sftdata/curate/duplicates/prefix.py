"""Prompts that begin alike: InstructGPT dropped those that share a long common prefix (arXiv 2203.02155, section 3.2).

The paper does not say how long. Here a prompt is dropped where its first `chars` characters, in Unicode NFKC,
casefolded and with single spaces, are those of a kept prompt; a shorter prompt is left to the other steps.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from xxhash import xxh3_128_digest

from sftdata.curate.words import normal, text_of
from sftdata.records.record import Record

PREFIX_BYTES = 16


def prefix_key(record: Record, chars: int) -> bytes | None:
    """PREFIX_BYTES bytes that two records share where their prompts begin alike; None for a shorter prompt.

    The prompt is the user's turns; a system prompt, which many rows share, is no part of it.
    """
    prefix = " ".join(normal(text_of(record, "prompt")).split())[:chars]
    if len(prefix) < chars:
        return None
    return xxh3_128_digest(prefix.encode("utf-8", "surrogatepass"))


def drop_shared_prefixes(
    keys: npt.NDArray[np.uint64], present: npt.NDArray[np.bool_], preference: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """The kept row that each row shares its prefix with, -1 where it is kept.

    `keys` are the prefix keys as two integers a row, [rows, 2]; rows without one are not `present`. Of rows that share
    a prefix, the first in `preference` is kept; rows that are not in `preference` take no part.
    """
    rows = preference[present[preference]]
    duplicate_of = np.full(len(keys), -1, np.int64)
    _, first, group = np.unique(keys[rows], axis=0, return_index=True, return_inverse=True)
    survivor = rows[first[group.reshape(-1)]]
    duplicate_of[rows] = np.where(survivor == rows, -1, survivor)
    return duplicate_of
