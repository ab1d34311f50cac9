"""Prompts that begin alike: InstructGPT dropped those that share a long common prefix (arXiv 2203.02155, section 3.2).

The paper does not say how long. Here a prompt is dropped if its first `chars` characters, in Unicode NFKC, casefolded
and with single spaces, are those of a kept prompt. Shorter prompts are not compared.
"""

from __future__ import annotations

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
