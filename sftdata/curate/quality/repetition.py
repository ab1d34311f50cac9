"""How much an answer repeats itself: the measures of Gopher (arXiv 2112.11446, table A1)."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence

from sftdata.curate.quality.settings import RepetitionConfig

_HAS_WORD = re.compile(r"\w")
_DEFAULT = RepetitionConfig()
_PARAGRAPH = re.compile(r"\n\s*\n")


def repetition(text: str, limits: RepetitionConfig) -> tuple[str, str] | None:
    """What repeats too much and the passage repeated most, or None: ("60% of the lines appear earlier", "I see.").

    Words are separated by white space, and only characters in words are counted. Lines without a letter or digit
    (braces, table rules) are ignored. An n-gram counts as repeated from its second occurrence on, and a character in
    several repeated n-grams counts once.
    """
    words = text.split()
    if len(words) < limits.min_words:
        return None
    if len(words) < limits.long_words:
        limits = _DEFAULT
    if "\n" in text and (found := _repeated_parts(text, limits)):
        return found
    # If repeated n-grams cover a share of the text, repeated words cover at least that share. Counting words is cheap,
    # and rules out nearly every text.
    num_chars = sum(map(len, words))
    repeated = 1 - sum(map(len, set(words))) / num_chars
    if repeated > min(limits.top_ngrams.values(), default=1.0) * 2 / 3 and (found := _frequent_ngrams(words, limits)):
        return found
    if repeated > min(limits.duplicate_ngrams.values(), default=1.0):
        return _repeated_ngrams(words, limits)
    return None


def _repeated_parts(text: str, limits: RepetitionConfig) -> tuple[str, str] | None:
    """Lines and paragraphs that repeat an earlier one."""
    for kind, parts, max_share, max_char_share in (
        ("lines", text.splitlines(), limits.duplicate_lines, limits.duplicate_line_chars),
        ("paragraphs", _PARAGRAPH.split(text), limits.duplicate_paragraphs, limits.duplicate_paragraph_chars),
    ):
        parts = [stripped for part in parts if (stripped := part.strip())]
        if len(set(parts)) == len(parts):
            continue
        parts = [part for part in parts if _HAS_WORD.search(part)]
        counts = Counter(parts)
        if len(counts) == len(parts):
            continue
        share = 1 - len(counts) / len(parts)
        char_share = 1 - sum(map(len, counts)) / sum(map(len, parts))
        if share > max_share or char_share > max_char_share:
            most = max(counts, key=lambda part: (counts[part] - 1) * len(part))
            if share > max_share:
                return f"{share:.0%} of the {kind} appear earlier", most
            return f"{char_share:.0%} of the characters are in {kind} that appear earlier", most
    return None


def _frequent_ngrams(words: Sequence[str], limits: RepetitionConfig) -> tuple[str, str] | None:
    """One n-gram that makes up too much of the text. It must occur at least three times."""
    num_chars = sum(map(len, words))
    for length, max_share in sorted(limits.top_ngrams.items()):
        counts = Counter(_ngrams(words, length))
        ngram, count = max(counts.items(), key=lambda item: item[1] * sum(map(len, item[0])), default=((), 0))
        share = count * sum(map(len, ngram)) / num_chars
        if count >= 3 and share > max_share:
            return f"{share:.0%} of the characters are in {count} times the same {length} words", " ".join(ngram)
    return None


def _repeated_ngrams(words: Sequence[str], limits: RepetitionConfig) -> tuple[str, str] | None:
    """N-grams that repeat an earlier one.

    A repeated 10-gram contains repeated 5-grams, so the share of characters in repeated n-grams only falls with n. Once
    it is below the lowest limit, no larger n can exceed its own limit.
    """
    num_chars = sum(map(len, words))
    lowest = min(limits.duplicate_ngrams.values(), default=1.0)
    for length, max_share in sorted(limits.duplicate_ngrams.items()):
        covered, first = _covered_by_repeats(words, length)
        share = sum(len(word) for word, inside in zip(words, covered) if inside) / num_chars if first >= 0 else 0.0
        if share > max_share:
            passage = " ".join(words[first : first + length])
            return f"{share:.0%} of the characters are in runs of {length} words that appear earlier", passage
        if share <= lowest:
            return None
    return None


def _covered_by_repeats(words: Sequence[str], length: int) -> tuple[bytearray, int]:
    """For every word, whether it is in a repeated n-gram, and the start of the first repeated n-gram (-1: none)."""
    ngrams = list(_ngrams(words, length))
    covered = bytearray(len(words))
    if len(set(ngrams)) == len(ngrams):
        return covered, -1
    seen: set[tuple[str, ...]] = set()
    first = -1
    for start, ngram in enumerate(ngrams):
        if ngram in seen:
            covered[start : start + length] = b"\1" * length
            first = start if first < 0 else first
        else:
            seen.add(ngram)
    return covered, first


def _ngrams(words: Sequence[str], length: int) -> Iterator[tuple[str, ...]]:
    """All n-grams of that many words, in order."""
    return zip(*(words[offset:] for offset in range(length)))
