"""Which files are which split, by the naming rules of the Hugging Face hub."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from sftdata.errors import SourceError
from sftdata.read.units import Source

# As datasets.data_files has them; here without regard to case.
_KEYWORDS = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "dev", "val"),
    "test": ("test", "testing", "eval", "evaluation"),
}
_SHARD = re.compile(r"data/(\w+(?:\.\w+)*)-\d{5}-of-\d{5}[^/]*\.[^/]*")
_BY_FOLDER = {
    split: re.compile(rf"(?:.*/)?(?:[^/]*[-._ 0-9])?(?:{'|'.join(words)})(?:[-._ 0-9][^/]*)?/.*", re.IGNORECASE)
    for split, words in _KEYWORDS.items()
}
_BY_FILE = {
    split: re.compile(rf"(?:.*/)?(?:[^/]*[-._ 0-9])?(?:{'|'.join(words)})[-._ 0-9][^/]*", re.IGNORECASE)
    for split, words in _KEYWORDS.items()
}
_FOR_TESTS = re.compile(
    r"(?:^|[^a-z])(?:(?:test|eval|valid|validation|dev|val)(?:[ _-]?(?:set|data|split))?|hold[ _-]?out|held[ _-]?out)"
    r"(?:[^a-z]|$)",
    re.IGNORECASE,
)
ValueT = TypeVar("ValueT")


@dataclass
class Choice:
    """Which split and subset of a source are read, and whether the settings that say so had anything to choose from."""

    source: Source
    default: str  # the split if the source asks for none
    split_used: bool = False
    subset_used: bool = False

    @property
    def wanted(self) -> str:
        """The split to read."""
        return self.source.split or self.default

    def of(self, splits: Mapping[str, ValueT], where: str) -> ValueT:
        """The wanted one of the splits of `where`. Raises SourceError if there is no such split."""
        self.split_used = True
        if self.wanted in splits:
            return splits[self.wanted]
        known = ", ".join(splits) or "none of its splits has files"
        raise SourceError(where, f"has no split {self.wanted}", f"set split to one that it has: {known}")

    def check_used(self) -> None:
        """Raise SourceError where `split` or `subset` is set, but the source has nothing to choose from."""
        for name, value, used in (
            ("split", self.source.split, self.split_used),
            ("subset", self.source.subset, self.subset_used),
        ):
            if value is not None and not used:
                what = f"{name}: {value} does nothing for this source, which has no {name}s"
                raise SourceError(self.source.path, what, f"remove {name}")


def splits_by_name(names: Iterable[str]) -> dict[str, list[str]]:
    """The splits that names of files, relative to their folder, stand for; empty if they say nothing of splits.

    First come shards as push_to_hub writes them (data/train-00000-of-00001.parquet), then folders named after a split,
    then files. A file that the rule in force does not name is in no split.
    """
    names = list(names)
    splits: dict[str, list[str]] = {}
    for name in names:
        if shard := _SHARD.fullmatch(name):
            splits.setdefault(shard[1], []).append(name)
    for rules in (_BY_FOLDER, _BY_FILE):
        if not splits:
            found = {split: [name for name in names if rule.fullmatch(name)] for split, rule in rules.items()}
            splits = {split: members for split, members in found.items() if members}
    return splits


def may_be_for_tests(name: str) -> bool:
    """Whether a file that the hub's rules take for no split may be kept from training, by its name: `testset.jsonl`,
    `holdout.jsonl`.
    """
    return _FOR_TESTS.search(name) is not None


def first_names(names: Sequence[str], limit: int = 4) -> str:
    """The first few of these names, and the number of the others."""
    more = len(names) - limit
    return ", ".join(names[:limit]) + (f" and {more:,} more" if more > 0 else "")
