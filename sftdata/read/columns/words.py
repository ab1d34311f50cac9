"""The words in the names of columns: which say something about the row, or that an answer is better or worse."""

from __future__ import annotations

import re

# A column whose name ends in one of these says something about the row.
_ABOUT = {
    *("id", "uuid", "guid", "index", "idx", "key", "hash", "url", "uri", "link", "file", "path", "source", "split"),
    *("date", "time", "timestamp", "created", "updated", "lang", "language", "model", "version", "license", "author"),
    *("name", "category", "type", "topic", "tags", "score", "rating"),
}
# What the names of answers say that are not to be trained on, as whole words and as the beginning of one; and what
# those of the answers say that are better than others.
_REJECTED = {"bad", "badly", "worse", "worst", "lose", "loser", "losing", "lost", "neg", "negatives", "schlecht"}
_REJECTING = ("reject", "incorrect", "wrong", "distract", "negativ", "hallucinat", "dispref", "unpref", "falsch")
_PREFERRED = {"chosen", "correct", "best", "accepted", "preferred", "right", "winner", "winning", "better", "gold"}
_NOT = {"not", "non", "less", "least", "un"}  # before one of _PREFERRED
_WORDS = re.compile(r"[^\W\d_]+", re.UNICODE)
_CAMEL = re.compile(r"(?<=[a-zß-ÿ])(?=[A-Z])")


def words_of(path: str) -> list[str]:
    """The words of a path in lower case: `meta.userMessage` -> meta, user, message."""
    return [word.lower() for word in _WORDS.findall(_CAMEL.sub(" ", path))]


def stems(path: str) -> set[str]:
    """The words of a path, and those in the plural without their last letter too."""
    words = words_of(path)
    return {*words, *(word[:-1] for word in words if word.endswith("s"))}


def is_about(path: str) -> bool:
    """Whether a column says something about the row, such as where it is from, by its name."""
    words = words_of(path)
    return bool(words) and words[-1] in _ABOUT


def is_rejected(path: str) -> bool:
    """Whether a column holds answers that are not to be trained on, by its name."""
    words = words_of(path)
    if any(word in _REJECTED or word.startswith(_REJECTING) for word in words):
        return True
    return any(one in _NOT and other in _PREFERRED for one, other in zip(words, words[1:]))


def is_preferred(path: str) -> bool:
    """Whether a column holds answers that are better than others, by its name: `chosen`, or `best_answer`. A column
    with such a name alone may say whether another one is.
    """
    words = words_of(path)
    return words == ["chosen"] or (len(words) > 1 and not _PREFERRED.isdisjoint(words))
