"""Regular expressions of JSON schemas, found in texts in time that grows with the text alone, whatever they say.

RE2 does that: the engine of Arrow, which has no backtracking. What it has no form for (lookarounds, references back) is
not judged, and neither is what RE2, Python and JavaScript, whose expressions JSON Schema means, read differently.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

import pyarrow as pa
import pyarrow.compute as pc

MAX_PATTERN = 2_000  # characters
MAX_COST = 20_000_000  # states of the expression, times characters: below a second
_CACHED_CHARS = 100
_CODE = re.compile(r"(?<!\\)((?:\\\\)*)\\u([0-9A-Fa-f]{4})")
# Of ASCII letters alone in RE2 and JavaScript, of all letters in Python.
_CLASSES = re.compile(r"\\[wWdDsSbB]")
# What the engines read differently: {,3}, [[:alpha:]], \C, \Q, [] and [^].
_UNCERTAIN = re.compile(r"\{,|\[:|\\[CQEZG]|\[\^?\]")
_COUNT = re.compile(r"\{(\d{1,4})(?:,(\d{0,4}))?\}")


def search(pattern: str, texts: Sequence[str]) -> list[bool | None]:
    """Whether a regular expression finds something in each of these texts; None where that is not certain."""
    if len(texts) == 1 and len(texts[0]) <= _CACHED_CHARS:
        return [_search_short(pattern, texts[0])]
    return _search(pattern, texts)


@lru_cache(maxsize=1 << 12)
def _search_short(pattern: str, text: str) -> bool | None:
    return _search(pattern, [text])[0]


def _search(pattern: str, texts: Sequence[str]) -> list[bool | None]:
    unknown: list[bool | None] = [None] * len(texts)
    if len(pattern) > MAX_PATTERN or _UNCERTAIN.search(pattern):
        return unknown
    if num_states(pattern) * sum(map(len, texts)) > MAX_COST:
        return unknown
    try:
        found = pc.match_substring_regex(pa.array(texts, pa.string()), _CODE.sub(r"\1\\x{\2}", pattern)).to_pylist()
    except (pa.ArrowInvalid, UnicodeEncodeError):  # no expression of RE2, or half a character
        return unknown
    is_ascii = _CLASSES.search(pattern) is None
    return [hit if is_ascii or text.isascii() else None for hit, text in zip(found, texts, strict=True)]


def num_states(pattern: str) -> int:
    """About how many states an expression has: its characters, times the counts around them, as in (a{9}){9}."""
    sums, last, at = [0], 1, 0
    while at < len(pattern):
        char = pattern[at]
        count = _COUNT.match(pattern, at)
        if char == "(":
            sums.append(0)
            at += 1
            continue
        if count:
            times = max(int(count[1]), int(count[2] or 0), 1)
            sums[-1] += last * (times - 1)
            last *= times
            at = count.end()
            continue
        last = 1 + sums.pop() if char == ")" and len(sums) > 1 else 1
        sums[-1] += last
        at += 2 if char == "\\" else 1
    return sum(sums) + 1
