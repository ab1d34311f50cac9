"""Rows on which the curation stages have something to do, and settings that turn all of them on."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

from raw_rows import chat

LONG = "The train to the coast leaves at nine and calls at every village on the way down to the sea before noon."
GOOD = "Paris is the capital of France."
QUESTION = (
    "Natalia sold 48 clips to her friends in April, and then she sold half as many clips in May. How many in all?"
)
PRIVATE = [
    chat("Whom do I write to?", "Write to jane.doe@example-mail.org, please."),
    chat("Whom do I write to?", "Write to john.roe@example-mail.org, please."),
    chat("And the card?", "Use 4539 1488 0343 6467 for that."),
    chat("Capital of France?", GOOD),
]


def planted(number: int, changes: int = 3) -> list[dict[str, Any]]:
    """A long conversation of words of its own, and copies that differ in one word each."""
    words = [f"w{number}x{at}" for at in range(60)]
    rows = [chat(f"Tell me about {number}.", " ".join(words) + ".")]
    for change in range(changes):
        other = list(words)
        other[20 * change + 5] = "other"
        rows.append(chat(f"Tell me about {number}.", " ".join(other) + "."))
    return rows


def everything(tests: Path) -> dict[str, Any]:
    return {
        "filters": "default",
        "privacy": "redact",
        "dedup": {"near": {"threshold": 0.8}, "prefix": {"chars": 60}, "caps": [{"column": "user", "max_records": 3}]},
        "decontaminate": {"against": [str(tests)]},
        "split": {"validation": 0.3, "by": "user"},
    }


def many_rows() -> list[dict[str, Any]]:
    rows = [*PRIVATE, chat(QUESTION, "72"), *itertools.chain.from_iterable(map(planted, range(12)))]
    rows += [chat(f"Question {n}", "```\nx") for n in range(5)]
    rows += [chat(f"{LONG} Why {n}?", f"w{n} " * 20) for n in range(3)] + [chat(f"Q{n}", f"A{n}") for n in range(20)]
    return [{**row, "user": n % 9} for n, row in enumerate(rows)]
