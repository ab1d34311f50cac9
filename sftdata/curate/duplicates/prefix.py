"""Prompts that begin alike: InstructGPT dropped those that share a long common prefix (arXiv 2203.02155, section 3.2).

The paper does not say how long. Here a prompt is dropped if its first `chars` characters, in Unicode NFKC, casefolded
and with single spaces, are those of a kept prompt. Shorter prompts are not compared.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from xxhash import xxh3_128_digest

from sftdata.curate.words import normalized, text_of
from sftdata.records.record import Record

PREFIX_BYTES = 16


def prefix_key(record: Record, chars: int) -> bytes | None:
    """PREFIX_BYTES bytes that are equal for records whose prompts begin alike; None if the prompt is shorter.

    The prompt is the user turns. A system prompt is left out, because many rows share one.
    """
    prefix = " ".join(normalized(text_of(record, "prompt")).split())[:chars]
    if len(prefix) < chars:
        return None
    return xxh3_128_digest(prefix.encode("utf-8", "surrogatepass"))


def drop_shared_prefixes(
    keys: npt.NDArray[np.uint64], present: npt.NDArray[np.bool_], preference: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """The kept row that each row shares its prefix with, -1 if the row itself is kept.

    `keys` are the prefix keys as two integers per row, [rows, 2]; rows without one are not `present`. Of rows that
    share a prefix, the first in `preference` is kept; rows that are not in `preference` are ignored.
    """
    rows = preference[present[preference]]
    duplicate_of = np.full(len(keys), -1, np.int64)
    _, first, group = np.unique(keys[rows], axis=0, return_index=True, return_inverse=True)
    survivor = rows[first[group.reshape(-1)]]
    duplicate_of[rows] = np.where(survivor == rows, -1, survivor)
    return duplicate_of
