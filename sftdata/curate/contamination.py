"""Contamination: records that hold items of an evaluation set, with the item, the matched text and a score as evidence.

Three ways to match, tried in this order. Words are those of `words.py`, so case and punctuation do not count.

- exact: one turn of the record is the item, word for word.
- ngrams: more than `overlap` of the item's distinct word n-grams are in the record (Tulu 3, arXiv 2411.15124, section
  3.2: 8-grams, one half).
- contained: an item of fewer than `ngram_words` words, but at least half as many, stands in the record as a whole, on
  word boundaries. Still shorter items ("Hello.", "What is 2+2?") match exactly or not at all: they stand in many texts
  that have nothing to do with the evaluation.

Each record is judged by itself against an index of the items, so workers need the index and nothing of other records.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from sftdata.curate.words import Hashes, Ints, message_text, run_hashes, whole_hash, word_spans, words_in
from sftdata.records.record import Record

EXCERPT_CHARS = 200
_FLAGS = 16  # places of the first filter for every n-gram in the index


@dataclass(frozen=True, slots=True)
class ContaminationSettings:
    """When a record counts as holding an evaluation item."""

    ngram_words: int = 8
    overlap: float = 0.5


@dataclass(frozen=True, slots=True)
class Item:
    """One evaluation record: where it stands ("gsm8k_test.jsonl:17"), and the text that must not be trained on."""

    where: str
    text: str


@dataclass(frozen=True, slots=True)
class Hit:
    """The evaluation item that a record holds."""

    where: str
    kind: Literal["exact", "contained", "ngrams"]
    score: float  # share of the item that is in the record; 1 where it is exact or contained
    excerpt: str  # of the record, at most EXCERPT_CHARS characters

    def __str__(self) -> str:
        how = {"exact": "is", "contained": "contains"}.get(self.kind, f"holds {self.score:.0%} of the word n-grams of")
        return f"{how} {self.where}: {self.excerpt!r}"


def item_text(record: Record) -> str:
    """What an evaluation record asks: its user turns, or all of it where there are none.

    The answer is left out, for a leaked question is contamination whatever answer stands beside it.
    """
    asked = [message_text(message) for message in record.messages if message.role == "user"]
    return "\n".join(asked) if asked else "\n".join(turns_of(record))


def turns_of(record: Record) -> list[str]:
    """The texts of a record that are searched: every turn but the system's."""
    if record.text is not None:
        return [record.text]
    return [message_text(message) for message in record.messages if message.role not in ("system", "developer")]


@dataclass(frozen=True)
class Index:
    """The items, hashed. Everything is an array, so that it can be written once and mapped by every worker.

    To find the items of which a record holds more than `overlap`, it is enough to look for the rarest n-grams of each
    item (its triggers), as many as cannot all be missing; what they bring up is then counted in full.
    """

    settings: ContaminationSettings
    items: pa.Table  # where: string
    grams: Hashes  # the distinct n-grams of every item, sorted within the item
    firsts: Ints  # item i has grams[firsts[i] : firsts[i + 1]]
    triggers: Hashes  # sorted; with trigger_items, the item each belongs to
    trigger_items: npt.NDArray[np.int32]
    wholes: Hashes  # sorted hashes of whole items; with whole_items
    whole_items: npt.NDArray[np.int32]
    shorts: Hashes  # sorted hashes of the items that are searched as a whole; with short_items and short_lengths
    short_items: npt.NDArray[np.int32]
    short_lengths: npt.NDArray[np.int32]

    @staticmethod
    def build(items: Iterable[Item], settings: ContaminationSettings) -> Index:
        """Hash the items. About 20 bytes for a word of theirs; blank items are left out of every search."""
        wheres: list[str] = []
        grams: list[Hashes] = []
        wholes: list[tuple[int, int]] = []
        shorts: list[tuple[int, int, int]] = []
        size = settings.ngram_words
        for item in items:
            words, _ = words_in([item.text])
            number = len(wheres)
            wheres.append(item.where)
            grams.append(np.unique(run_hashes(words, size)))
            wholes.extend((one, number) for one in whole_hash(words, item.text).tolist())
            if size <= 2 * len(words) < 2 * size:
                shorts.append((int(run_hashes(words, len(words))[0]), number, len(words)))
        firsts = np.concatenate([np.zeros(1, np.int64), np.cumsum([len(one) for one in grams], dtype=np.int64)])
        flat = np.concatenate([*grams, np.empty(0, np.uint64)])
        triggers, trigger_items = _triggers(flat, firsts, settings.overlap)
        wholes.sort()
        shorts.sort()
        return Index(
            settings=settings,
            items=pa.table({"where": pa.array(wheres, pa.string())}),
            grams=flat,
            firsts=firsts,
            triggers=triggers,
            trigger_items=trigger_items,
            wholes=np.array([one for one, _ in wholes], np.uint64),
            whole_items=np.array([item for _, item in wholes], np.int32),
            shorts=np.array([one for one, _, _ in shorts], np.uint64),
            short_items=np.array([item for _, item, _ in shorts], np.int32),
            short_lengths=np.array([length for _, _, length in shorts], np.int32),
        )

    def write(self, folder: Path) -> None:
        """Write the index into an existing folder, a file for every array."""
        for name in _ARRAYS:
            np.save(folder / f"{name}.npy", getattr(self, name))
        with pa.OSFile(str(folder / "items.arrow"), "wb") as file, pa.ipc.new_file(file, self.items.schema) as writer:
            writer.write_table(self.items)

    @staticmethod
    def read(folder: Path, settings: ContaminationSettings) -> Index:
        """Map the index that `write` wrote. `settings` are those that it was built with."""
        arrays = {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in _ARRAYS}
        with pa.memory_map(str(folder / "items.arrow")) as file:
            items = pa.ipc.open_file(file).read_all()
        return Index(settings=settings, items=items, **arrays)

    @cached_property
    def flags(self) -> npt.NDArray[np.bool_]:
        """Whether any trigger starts with these bits: most n-grams of most records end here."""
        flags = np.zeros(1 << max(10, (_FLAGS * len(self.triggers)).bit_length()), bool)
        flags[self._places(self.triggers)] = True
        return flags

    @cached_property
    def lengths(self) -> list[int]:
        """The lengths, in words, of the items that are searched as a whole."""
        return [int(length) for length in np.unique(self.short_lengths)]

    def _places(self, grams: Hashes, flags: int | None = None) -> Hashes:
        size = flags or 1 << max(10, (_FLAGS * len(self.triggers)).bit_length())
        return grams & np.uint64(size - 1)

    def brought_up(self, grams: Hashes) -> Ints:
        """The items that have a trigger among these n-grams."""
        grams = grams[self.flags[self._places(grams, len(self.flags))]]
        starts, ends = (np.searchsorted(self.triggers, grams, side) for side in ("left", "right"))
        found = [self.trigger_items[start:end] for start, end in zip(starts.tolist(), ends.tolist()) if end > start]
        return np.unique(np.concatenate(found)).astype(np.int64) if found else np.empty(0, np.int64)

    def grams_of(self, item: int) -> Hashes:
        """The distinct n-grams of an item, sorted."""
        return self.grams[int(self.firsts[item]) : int(self.firsts[item + 1])]

    def where(self, item: int) -> str:
        """Where an item stands."""
        return str(self.items["where"][item].as_py())


_ARRAYS = (
    "grams",
    "firsts",
    "triggers",
    "trigger_items",
    "wholes",
    "whole_items",
    "shorts",
    "short_items",
    "short_lengths",
)


def _triggers(grams: Hashes, firsts: Ints, overlap: float) -> tuple[Hashes, npt.NDArray[np.int32]]:
    """The rarest n-grams of each item: of m, so many that floor(overlap * m) + 1 matches must hit one of them."""
    sizes = np.diff(firsts)
    owner = np.repeat(np.arange(len(sizes)), sizes)
    _, inverse, counts = np.unique(grams, return_inverse=True, return_counts=True)
    order = np.lexsort((grams, counts[inverse], owner))
    rank = np.arange(len(grams)) - firsts[owner]  # `order` keeps every item's n-grams in the item's own places
    needed = sizes - np.floor(overlap * sizes).astype(np.int64)
    chosen = order[rank < needed[owner]]
    chosen = chosen[np.argsort(grams[chosen], kind="stable")]
    return grams[chosen], owner[chosen].astype(np.int32)


def find_contamination(turns: Sequence[str], index: Index) -> Hit | None:
    """The evaluation item that a record of these turns holds, the best match first; None where it holds none."""
    flat, firsts = words_in(turns)
    for turn, first, last in zip(turns, firsts.tolist(), firsts[1:].tolist()):
        for whole in whole_hash(flat[first:last], turn):
            found = _lookup(index.wholes, index.whole_items, whole)
            if found is not None:
                return Hit(index.where(found), "exact", 1.0, turn.strip()[:EXCERPT_CHARS])
    size = index.settings.ngram_words
    best, score = _most_overlap(np.unique(run_hashes(flat, size)), index)
    if best is not None:
        return Hit(
            index.where(best),
            "ngrams",
            score,
            _excerpt(turns, np.isin(run_hashes(flat, size), index.grams_of(best)), size),
        )
    for length in index.lengths:
        runs = run_hashes(flat, length)
        for place in np.flatnonzero(np.isin(runs, index.shorts)).tolist():
            found = _lookup(index.shorts, index.short_items, runs[place])
            if found is not None:
                matched = np.arange(len(runs)) == place
                return Hit(index.where(found), "contained", 1.0, _excerpt(turns, matched, length))
    return None


def _most_overlap(grams: Hashes, index: Index) -> tuple[int | None, float]:
    """The item of which the largest share of n-grams is among these, and that share, where it is enough."""
    best, score = None, index.settings.overlap
    for item in index.brought_up(grams).tolist():
        own = index.grams_of(item)
        share = int(np.count_nonzero(np.isin(own, grams, assume_unique=True))) / len(own)
        if share > score:
            best, score = item, share
    return best, score


def _lookup(hashes: Hashes, items: npt.NDArray[np.int32], wanted: np.uint64) -> int | None:
    """The first item of a hash, in sorted hashes."""
    place = int(np.searchsorted(hashes, wanted))
    return int(items[place]) if place < len(hashes) and hashes[place] == wanted else None


def _excerpt(turns: Sequence[str], matched: npt.NDArray[np.bool_], length: int) -> str:
    """The longest stretch of the turns' text whose runs of `length` words all match, cut to EXCERPT_CHARS."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], matched, [False]])))
    starts, ends = edges[::2], edges[1::2]
    longest = int(np.argmax(ends - starts))
    text, spans = word_spans("\n".join(turns))
    first, last = int(starts[longest]), int(ends[longest]) + length - 2
    return text[spans[first][0] : spans[last][1]][:EXCERPT_CHARS]
