"""Contamination: records that hold items of an evaluation set, with the item, the matched text and a score as evidence.

There are three kinds of match, tried in this order. Words are those of `words.py`, so case and punctuation are ignored.

- exact: one turn of the record is the item, word for word.
- ngrams: more than `overlap` of the item's distinct word n-grams are in the record (Tulu 3, arXiv 2411.15124, section
  3.2: 8-grams, one half).
- contained: an item of fewer than `ngram_words` words, but at least half as many, is in the record as a whole, on word
  boundaries. Shorter items ("Hello.", "What is 2+2?") only match exactly: they appear in many texts that have nothing
  to do with the evaluation.

Each record is checked on its own against an index of the items, so workers need the index but no other records.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from sftdata.curate.words import Hashes, Ints, message_text, ngram_hashes, text_hash, word_hashes, word_spans
from sftdata.records.record import Record

EXCERPT_CHARS = 200
_FILTER_SLOTS = 8  # of the filter, for every n-gram
_COMMON = 64  # items that may hold an n-gram before it is counted once for all records that hold the same of these
_KEPT_COUNTS = 64  # such counts in memory
_CHARS_AT_ONCE = 1 << 18


@dataclass(frozen=True, slots=True)
class ContaminationSettings:
    """When a record counts as holding an evaluation item."""

    ngram_words: int = 8
    overlap: float = 0.5


@dataclass(frozen=True, slots=True)
class EvaluationItem:
    """One evaluation record: its file and line ("gsm8k_test.jsonl:17"), and the text that must not be trained on."""

    where: str
    text: str


@dataclass(frozen=True, slots=True)
class Hit:
    """The evaluation item that a record holds."""

    where: str
    kind: Literal["exact", "contained", "ngrams"]
    score: float  # share of the item's n-grams that are in the record; 1 if it is exact or contained
    excerpt: str  # of the record, at most EXCERPT_CHARS characters

    def __str__(self) -> str:
        how = {"exact": "is", "contained": "contains"}.get(self.kind, f"holds {self.score:.0%} of the word n-grams of")
        return f"{how} {self.where}: {self.excerpt!r}"


def item_text(record: Record) -> str:
    """The question of an evaluation record: its user turns, or the whole record if it has none.

    The answer is left out: a leaked question is contamination, whatever its answer.
    """
    asked = [message_text(message) for message in record.messages if message.role == "user"]
    return "\n".join(asked) if asked else "\n".join(searched_texts(record))


def searched_texts(record: Record) -> list[str]:
    """The texts of a record that are searched: every turn except system and developer turns."""
    if record.text is not None:
        return [record.text]
    return [message_text(message) for message in record.messages if message.role not in ("system", "developer")]


class _Shared(NamedTuple):
    """How many n-grams every item shares with a record, and the first item that shares the largest part of its own."""

    counts: npt.NDArray[np.int32]
    item: int
    score: float


@dataclass(frozen=True)
class EvaluationIndex:
    """The items, hashed. Everything is an array, so the index is written once and memory-mapped by every worker.

    A record's n-grams are looked up in the list of all n-grams, which says which items hold each. Where many items
    share a run of words, so do the records that hold it: what a record shares with all items by n-grams of that kind is
    worked out once for all records that hold the same of them.
    """

    settings: ContaminationSettings
    items: pa.Table  # where: string
    ngrams: Hashes  # the distinct n-grams of every item, sorted within the item
    offsets: Ints  # item i has ngrams[offsets[i] : offsets[i + 1]]
    distinct: Hashes  # the distinct n-grams of all items, sorted
    starts: Ints  # distinct[i] is held by the items holders[starts[i] : starts[i + 1]]
    holders: npt.NDArray[np.int32]
    whole_hashes: Hashes  # of whole items, for exact matches, sorted; whole_items has the item of each
    whole_items: npt.NDArray[np.int32]
    short_hashes: Hashes  # of items that may be contained, sorted; short_items and short_lengths are parallel
    short_items: npt.NDArray[np.int32]
    short_lengths: npt.NDArray[np.int32]  # in words
    first_words: Hashes  # of items that have words, but no n-gram; distinct, sorted

    @staticmethod
    def build(items: Iterable[EvaluationItem], settings: ContaminationSettings) -> EvaluationIndex:
        """Hash the items. Takes about 30 bytes per word; blank items match nothing."""
        wheres: list[str] = []
        ngrams: list[Hashes] = []
        whole: list[tuple[int, int]] = []  # (hash, item)
        short: list[tuple[int, int, int]] = []  # (hash, item, number of words)
        firsts: list[int] = []  # words
        size = settings.ngram_words
        for item in items:
            words, _ = word_hashes([item.text])
            number = len(wheres)
            wheres.append(item.where)
            ngrams.append(np.unique(ngram_hashes(words, size)))
            whole.extend((one, number) for one in text_hash(words, item.text).tolist())
            if 0 < len(words) < size:
                firsts.append(int(words[0]))
            if size <= 2 * len(words) < 2 * size:
                short.append((int(ngram_hashes(words, len(words))[0]), number, len(words)))
        offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum([len(one) for one in ngrams], dtype=np.int64)])
        flat = np.concatenate([*ngrams, np.empty(0, np.uint64)])
        owner = np.repeat(np.arange(len(wheres), dtype=np.int32), np.diff(offsets))
        order = np.argsort(flat, kind="stable")
        distinct, starts = np.unique(flat[order], return_index=True)
        whole.sort()
        short.sort()
        return EvaluationIndex(
            settings=settings,
            items=pa.table({"where": pa.array(wheres, pa.string())}),
            ngrams=flat,
            offsets=offsets,
            distinct=distinct,
            starts=np.append(starts, len(flat)).astype(np.int64),
            holders=owner[order],
            whole_hashes=np.array([one for one, _ in whole], np.uint64),
            whole_items=np.array([item for _, item in whole], np.int32),
            short_hashes=np.array([one for one, _, _ in short], np.uint64),
            short_items=np.array([item for _, item, _ in short], np.int32),
            short_lengths=np.array([length for _, _, length in short], np.int32),
            first_words=np.unique(np.array(firsts, np.uint64)),
        )

    def write(self, folder: Path) -> None:
        """Write the index into an existing folder, one file per array."""
        for name in _ARRAYS:
            np.save(folder / f"{name}.npy", getattr(self, name))
        with pa.OSFile(str(folder / "items.arrow"), "wb") as file, pa.ipc.new_file(file, self.items.schema) as writer:
            writer.write_table(self.items)

    @staticmethod
    def read(folder: Path, settings: ContaminationSettings) -> EvaluationIndex:
        """Memory-map an index that `write` wrote. `settings` are those that it was built with."""
        arrays = {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in _ARRAYS}
        with pa.memory_map(str(folder / "items.arrow")) as file:
            items = pa.ipc.open_file(file).read_all()
        return EvaluationIndex(settings=settings, items=items, **arrays)

    @property
    def num_blank(self) -> int:
        """How many items are blank, and so match nothing."""
        return int(self.items.num_rows - len(np.unique(self.whole_items)))

    @property
    def num_only_whole(self) -> int:
        """How many items have so few words that they match only a turn that is the same."""
        num_searched = int(np.count_nonzero(np.diff(self.offsets))) + len(self.short_items)
        return int(self.items.num_rows) - num_searched - self.num_blank

    @cached_property
    def ngram_filter(self) -> npt.NDArray[np.bool_]:
        """Whether there is an n-gram with these low bits: cheap, and rules out most n-grams of most records."""
        is_set = np.zeros(1 << max(10, (_FILTER_SLOTS * len(self.distinct)).bit_length()), bool)
        is_set[_slots(self.distinct, len(is_set))] = True
        return is_set

    @cached_property
    def distinct_short_lengths(self) -> list[int]:
        """The lengths, in words, of the items that may be contained."""
        return [int(length) for length in np.unique(self.short_lengths)]

    @cached_property
    def sizes(self) -> Ints:
        """The number of distinct n-grams of each item."""
        return np.diff(self.offsets)

    def most_overlap(self, ngrams: Hashes) -> tuple[int | None, float]:
        """The item with the largest share of its n-grams among these, which are distinct, and the share; of several
        such items the first. (None, overlap) if no share is larger than `overlap`.
        """
        ngrams = ngrams[self.ngram_filter[_slots(ngrams, len(self.ngram_filter))]]
        places = np.searchsorted(self.distinct, ngrams)
        places = places[self.distinct[np.minimum(places, len(self.distinct) - 1)] == ngrams] if len(ngrams) else places
        common = self.starts[places + 1] - self.starts[places] > _COMMON
        shared = self._shared(np.sort(places[common]).tobytes())
        touched, counts = np.unique(self._holders_of(places[~common]), return_counts=True)
        best, score = shared.item, shared.score
        if len(touched):
            shares = (counts + shared.counts[touched]) / self.sizes[touched]
            first = int(np.argmax(shares))
            if shares[first] > score or (shares[first] == score and touched[first] < best):
                best, score = int(touched[first]), float(shares[first])
        return (best, score) if score > self.settings.overlap else (None, self.settings.overlap)

    def _holders_of(self, places: Ints) -> npt.NDArray[np.int32]:
        """The items that hold each of these n-grams, end to end."""
        pairs = zip(self.starts[places].tolist(), self.starts[places + 1].tolist())
        return np.concatenate([np.empty(0, np.int32), *(self.holders[start:end] for start, end in pairs)])

    @cached_property
    def _shared(self) -> Callable[[bytes], _Shared]:
        """What every item shares with a record that holds these n-grams: their places in `distinct`, as bytes."""

        @lru_cache(maxsize=_KEPT_COUNTS)
        def count(places: bytes) -> _Shared:
            holders = self._holders_of(np.frombuffer(places, np.int64))
            if not len(holders):
                return _Shared(np.zeros(len(self.sizes), np.int32), -1, 0.0)
            counts = np.bincount(holders, minlength=len(self.sizes)).astype(np.int32)
            shares = counts / np.maximum(self.sizes, 1)
            item = int(np.argmax(shares))
            return _Shared(counts, item, float(shares[item]))

        return count

    def ngrams_of(self, item: int) -> Hashes:
        """The distinct n-grams of an item, sorted."""
        return self.ngrams[int(self.offsets[item]) : int(self.offsets[item + 1])]

    def where(self, item: int) -> str:
        """The file and line of an item."""
        return str(self.items["where"][item].as_py())


def _slots(hashes: Hashes, num_slots: int) -> Hashes:
    """The low bits of hashes. The number of slots is a power of two."""
    return hashes & np.uint64(num_slots - 1)


_ARRAYS = (
    "ngrams",
    "offsets",
    "distinct",
    "starts",
    "holders",
    "whole_hashes",
    "whole_items",
    "short_hashes",
    "short_items",
    "short_lengths",
    "first_words",
)


def may_hold_items(records: Sequence[Sequence[str]], index: EvaluationIndex) -> Iterator[int]:
    """Of records, each given as its turns, the numbers of those that `find_contamination` may find something in, in
    order: they hold an n-gram of an item, a word with which an item without n-grams begins, or a turn without words.
    Many records are looked at together, which takes a small part of the time.
    """
    start = 0
    while start < len(records):
        end, chars = start, 0
        while end < len(records) and chars <= _CHARS_AT_ONCE:
            chars += sum(map(len, records[end]))
            end += 1
        yield from (start + np.flatnonzero(_may_hold(records[start:end], index))).tolist()
        start = end


def _may_hold(records: Sequence[Sequence[str]], index: EvaluationIndex) -> npt.NDArray[np.bool_]:
    """Which records may hold items. An n-gram of the end of a record and the beginning of the next is no loss."""
    words, offsets = word_hashes([turn for turns in records for turn in turns])
    record = np.repeat(np.arange(len(records)), list(map(len, records)))  # of each turn
    found = np.zeros(len(records), np.bool_)
    found[record[np.diff(offsets) == 0]] = True
    of_word = np.repeat(record, np.diff(offsets))
    found[of_word[_among(words, index.first_words)]] = True
    ngrams = ngram_hashes(words, index.settings.ngram_words)
    places = np.flatnonzero(index.ngram_filter[_slots(ngrams, len(index.ngram_filter))])
    found[of_word[places[_among(ngrams[places], index.distinct)]]] = True
    return found


def _among(hashes: Hashes, known: Hashes) -> npt.NDArray[np.bool_]:
    """Which of these hashes are among the known ones, which are sorted."""
    if not len(known):
        return np.zeros(len(hashes), np.bool_)
    is_known: npt.NDArray[np.bool_] = known[np.minimum(np.searchsorted(known, hashes), len(known) - 1)] == hashes
    return is_known


def find_contamination(turns: Sequence[str], index: EvaluationIndex) -> Hit | None:
    """The evaluation item that a record with these turns holds, by the first kind of match that finds one; or None."""
    words, offsets = word_hashes(turns)
    for turn, first, last in zip(turns, offsets.tolist(), offsets[1:].tolist()):
        for whole in text_hash(words[first:last], turn):
            found = _lookup(index.whole_hashes, index.whole_items, whole)
            if found is not None:
                return Hit(index.where(found), "exact", 1.0, turn.strip()[:EXCERPT_CHARS])
    size = index.settings.ngram_words
    best, score = index.most_overlap(np.unique(ngram_hashes(words, size)))
    if best is not None:
        return Hit(
            index.where(best),
            "ngrams",
            score,
            _excerpt(turns, np.isin(ngram_hashes(words, size), index.ngrams_of(best)), size),
        )
    for length in index.distinct_short_lengths:
        ngrams = ngram_hashes(words, length)
        for place in np.flatnonzero(np.isin(ngrams, index.short_hashes)).tolist():
            found = _lookup(index.short_hashes, index.short_items, ngrams[place])
            if found is not None:
                matched = np.arange(len(ngrams)) == place
                return Hit(index.where(found), "contained", 1.0, _excerpt(turns, matched, length))
    return None


def _lookup(hashes: Hashes, items: npt.NDArray[np.int32], wanted: np.uint64) -> int | None:
    """The first item with this hash; None if there is none. `hashes` are sorted."""
    place = int(np.searchsorted(hashes, wanted))
    return int(items[place]) if place < len(hashes) and hashes[place] == wanted else None


def _excerpt(turns: Sequence[str], matched: npt.NDArray[np.bool_], length: int) -> str:
    """The longest stretch of the turns' text whose n-grams of `length` words all match, cut to EXCERPT_CHARS."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], matched, [False]])))
    starts, ends = edges[::2], edges[1::2]
    longest = int(np.argmax(ends - starts))
    text, spans = word_spans("\n".join(turns))
    first, last = int(starts[longest]), int(ends[longest]) + length - 2
    return text[spans[first][0] : spans[last][1]][:EXCERPT_CHARS]
