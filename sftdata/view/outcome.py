"""What happened to the data beyond the counts of the manifest, from the ledger; and what of it deserves a warning."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from sftdata.errors import DatasetError, pluralize
from sftdata.files.parquet_file import read_row_groups
from sftdata.reasons import WHAT_HELPS
from sftdata.records.faults import ERROR_LOG, INTERNAL_ERROR
from sftdata.store.ledger import LEDGER_SCHEMA, keep_columns
from sftdata.store.manifest import EncodingEntry, Manifest
from sftdata.view.figures import places_of, read_ledger_once
from sftdata.view.layout import first_few, shortened
from sftdata.view.notes import ways_out
from sftdata.view.unused import contradictions, group_in, override

MAX_DETAILS = 3  # of a reason
MAX_DISTINCT = 20_000  # details of a row group that are looked at
DETAIL_WIDTH = 160
WARN_DROPPED = 0.2  # share of the rows above which their loss is pointed out
# Stripping is suggested from this many answers, or this share of the packed rows.
MIN_ENDINGS, MIN_ENDINGS_SHARE = 10, 0.01
FEW_TOKENS, FEW_SHARE = 3, 0.05  # trained tokens of a conversation, its end token included; and of how many it is said
FEW_HELD_OUT = 20  # conversations, below which the loss on them says little
ASKED_FOR = {"over_max_records", "over_weight", "over_cap"}  # reasons that are no loss
_NUMBER = re.compile(r"\d[\d,.]*")
_SETTING = re.compile(r"`([a-z_.0-9]+=[^`]*)`")

Ints = npt.NDArray[np.int64]


class Group(NamedTuple):
    """The rows of one source, or with one value of a kept column."""

    name: str | None  # None: the rows without a value
    rows: int
    packed: int
    tokens: int
    trained_tokens: int


class Detail(NamedTuple):
    """What the ledger says of rows that were dropped for one reason; if they differ in their numbers, of the first."""

    text: str
    rows: int
    differs: bool


@dataclass(frozen=True)
class Facts:
    """What only the ledger has. `by` is the kept column that the groups are of; None if they are of the sources."""

    details: Mapping[str, tuple[Detail, ...]]  # reason -> the commonest
    by: str | None
    groups: tuple[Group, ...]  # in the order of their first rows for sources, else the largest first
    several: int  # conversations that became more than one sample
    several_first: str | None  # the first of them
    few: int  # conversations of which at most FEW_TOKENS tokens are trained; 0 if their share is below FEW_SHARE
    few_first: str | None


class Caution(NamedTuple):
    """A warning: what is so, of which share of the rows, an example, and the setting that changes it."""

    name: str
    text: str
    share: float | None = None
    example: str | None = None
    setting: str | None = None
    rank: int = 1  # those with the least come first

    def to_dict(self) -> dict[str, Any]:
        """As JSON types."""
        return {name: value for name, value in self._asdict().items() if name != "rank"}


def read_facts(folder: str | Path, manifest: Manifest, by: str | None = None) -> Facts:
    """What the ledger of a dataset says beyond the counts. `by` is a kept column to group the rows by; without one they
    are grouped by source if there are several. Raises DatasetError if the ledger cannot be read or lacks the column.
    """
    counted = LedgerFacts(folder, manifest, by)
    read_ledger_once(folder, manifest, [counted])
    return counted.facts()


class LedgerFacts:
    """Adds up row groups of a ledger. Raises DatasetError if it lacks the column `by`."""

    def __init__(self, folder: str | Path, manifest: Manifest, by: str | None = None) -> None:
        sources = manifest.parts.sources
        if by is None:
            column = "source" if len(sources) > 1 else None
        else:
            column = keep_columns([name for source in sources for name in source.keep]).get(by)
            if column is None:
                hint = f"add it to `keep` of the source: keep: [{by}]"
                raise DatasetError(str(folder), f"keeps no column {by!r}", hint)
        has_several = sum(shard.samples for shard in manifest.shards) != manifest.counts.packed
        names = ["reason", "num_tokens", "num_trained_tokens"]
        names += ["detail"] if manifest.counts.num_dropped else []
        names += ["digests"] if has_several else []
        self.names = list(dict.fromkeys([*names, *([column] if column else [])]))
        self._column, self._by, self._packed = column, by, manifest.counts.packed
        self._details: dict[str, dict[str, list[Any]]] = {}  # by reason and detail: the first, rows, differs
        self._groups: dict[str | None, Ints] = {}
        self._several, self._few = _Rows(), _Rows()

    def add(self, table: pa.Table, place: tuple[Path, int]) -> None:
        """Add a row group of the ledger, and where it is."""
        is_packed = table["reason"].is_null().to_numpy()
        if "detail" in table.column_names:
            self._add_details(table.select(["reason", "detail"]).filter(pc.is_valid(table["reason"])))
        trained = table["num_trained_tokens"].fill_null(0).to_numpy()
        copies: Any = 1
        if "digests" in table.column_names:
            places, samples = places_of(table["digests"])
            copies = np.maximum(places, 1)
            self._several.add((samples > 1) & is_packed, place)
        self._few.add(is_packed & (trained <= FEW_TOKENS * copies), place)
        if self._column:
            self._add_groups(table, is_packed, trained)

    def _add_details(self, dropped: pa.Table) -> None:
        pairs = dropped.filter(pc.is_valid(dropped["detail"]))
        reasons, details = (pc.dictionary_encode(pairs[name].combine_chunks()) for name in ("reason", "detail"))
        codes = (
            reasons.indices.to_numpy().astype(np.int64) * max(1, len(details.dictionary)) + details.indices.to_numpy()
        )
        values, firsts, counts = np.unique(codes, return_index=True, return_counts=True)
        for at in np.argsort(firsts)[:MAX_DISTINCT].tolist():
            reason, detail = divmod(int(values[at]), len(details.dictionary))
            text = details.dictionary[detail].as_py()
            found = self._details.setdefault(reasons.dictionary[reason].as_py(), {})
            entry = found.setdefault(_NUMBER.sub("0", text), [text, 0, False])
            entry[1] += int(counts[at])
            entry[2] |= entry[0] != text

    def _add_groups(self, table: pa.Table, is_packed: npt.NDArray[np.bool_], trained: Ints) -> None:
        column = pc.dictionary_encode(table[self._column].combine_chunks(), null_encoding="encode")
        codes, size = column.indices.to_numpy(), len(column.dictionary)
        tokens = table["num_tokens"].fill_null(0).to_numpy()
        weights = [None, *(np.where(is_packed, values, 0) for values in (1, tokens, trained))]
        sums = np.stack([np.bincount(codes, one, size).astype(np.int64) for one in weights], axis=1)
        for name, numbers in zip(column.dictionary.to_pylist(), sums):
            self._groups[name] = self._groups.get(name, 0) + numbers

    def facts(self) -> Facts:
        """The sums. The names of first rows are read where they are shown."""
        details = {
            reason: tuple(Detail(*entry) for entry in sorted(found.values(), key=lambda one: -one[1])[:MAX_DETAILS])
            for reason, found in self._details.items()
        }
        groups = [Group(name, *numbers.tolist()) for name, numbers in self._groups.items()]
        if self._by is not None:
            groups.sort(key=lambda group: (-group.trained_tokens, -group.rows, group.name or ""))
        few, several = self._few if self._few.number >= FEW_SHARE * self._packed else _Rows(), self._several
        return Facts(details, self._by, tuple(groups), several.number, several.first(), few.number, few.first())


class _Rows:
    """How many rows were found, and the place of the first of them in the ledger."""

    def __init__(self) -> None:
        self.number = 0
        self._place: tuple[Path, int, int] | None = None

    def add(self, chosen: npt.NDArray[np.bool_], place: tuple[Path, int]) -> None:
        """Count rows of a row group."""
        self.number += int(np.count_nonzero(chosen))
        if self._place is None and chosen.any():
            self._place = (*place, int(np.argmax(chosen)))

    def first(self) -> str | None:
        """The name of the first one."""
        if self._place is None:
            return None
        path, group, row = self._place
        (table,) = read_row_groups(path, LEDGER_SCHEMA, ["where"], [group])
        return str(table["where"][row].as_py())


def find_cautions(manifest: Manifest, facts: Facts | None) -> list[Caution]:
    """What of a dataset deserves a warning, the most important first. Without `facts`, what the manifest knows."""
    found = [*_lost_rows(manifest), *_validation(manifest)]
    if manifest.encoding is not None:
        found += [*_endings(manifest, manifest.encoding), *_added_system(manifest, manifest.encoding)]
        found += [*_context(manifest, manifest.encoding), *_texts(manifest, manifest.encoding)]
    found += [Caution("contradiction", text, setting=setting) for text, setting in contradictions(manifest.config)]
    if facts is not None:
        found += [*_several(manifest, facts), *_few(manifest, facts)]
    return sorted(found, key=lambda one: (one.rank, -(0.5 if one.share is None else one.share)))


def share_text(part: int, whole: int) -> str:
    """A share as a percentage; never 100.0% if something is missing, or 0.0% if there is something."""
    if not whole:
        return "-"
    if 0 < part < 0.0005 * whole:
        return "<0.1%"
    return ">99.9%" if 0.9995 * whole <= part < whole else f"{part / whole:.1%}"


def _part(part: int, whole: int) -> float | None:
    return min(1.0, part / whole) if whole else None


def _lost_rows(manifest: Manifest) -> Iterator[Caution]:
    """Rows lost to faults of this program, many lost for other reasons, and those that a setting trains."""
    counts = manifest.counts
    if faults := counts.dropped_as(INTERNAL_ERROR):
        are, traces = ("is", "its traceback") if faults == 1 else ("are", "their tracebacks")
        text = (
            f"{pluralize(faults, 'row')} ({share_text(faults, counts.rows_read)}) {are} lost to faults of sftdata: "
            f"{ERROR_LOG} has {traces}; please report them"
        )
        share = _part(faults, counts.rows_read)
        yield Caution("internal_error", text, share, counts.examples.get(INTERNAL_ERROR), rank=0)
    lost = {reason: n for some in counts.dropped.values() for reason, n in some.items() if reason not in ASKED_FOR}
    ways = {reason: way for reason, way in ways_out(manifest).items() if reason in lost}
    number = sum(lost.values())
    if number > WARN_DROPPED * counts.rows_read:
        most = max(lost, key=lambda reason: lost[reason])
        text = (
            f"{pluralize(number, 'row')} ({share_text(number, counts.rows_read)} of the rows read) "
            f"{'is' if number == 1 else 'are'} dropped, most of them as {most} ({lost[most]:,})"
        )
        setting = ways.get(most) or _setting_for(most, len(manifest.parts.sources))
        yield Caution("dropped", text, _part(number, counts.rows_read), counts.examples.get(most), setting)
        ways = {reason: way for reason, way in ways.items() if way != setting}
    for way in dict.fromkeys(ways.values()):
        reasons = [reason for reason in ways if ways[reason] == way]
        number = sum(lost[reason] for reason in reasons)
        text = f"{pluralize(number, 'row')} ({share_text(number, counts.rows_read)}) dropped as {' and '.join(reasons)}"
        text += ": a setting that was tried trains such rows"
        yield Caution("way_out", text, _part(number, counts.rows_read), counts.examples.get(reasons[0]), way)


def _setting_for(reason: str, num_sources: int) -> str | None:
    """A setting that may keep the rows dropped for a reason, if there is one that needs no name of the user's data."""
    for setting in _SETTING.findall(WHAT_HELPS.get(reason, "")):
        if not set(setting) & set("[{") and (num_sources == 1 or not setting.startswith("sources.")):
            return shlex.quote(setting)
    return None


def _validation(manifest: Manifest) -> Iterator[Caution]:
    """A validation split that says little, or takes more than is trained."""
    part = manifest.parts.split
    wanted = None if part is None else part.validation
    if not wanted:
        return
    held = sum(shard.samples for shard in manifest.shards if shard.split == "validation")
    total = sum(shard.samples for shard in manifest.shards)
    if held < FEW_HELD_OUT and total:
        have = "has no conversation" if not held else f"has only {pluralize(held, 'conversation')}"
        better = min(100, total // 10)
        setting = override("split.validation", better) if better > held else None
        text = f"the validation split {have}: the loss on it says little"
        yield Caution("tiny_validation", text, _part(held, total), setting=setting, rank=2)


def _endings(manifest: Manifest, encoding: EncodingEntry) -> Iterator[Caution]:
    """End tokens that were left in the data as text."""
    if encoding.stripped_answers:
        return
    number = encoding.foreign_ends or sum(encoding.trailing_control.values())
    if not number or (number < MIN_ENDINGS and number < MIN_ENDINGS_SHARE * manifest.counts.packed):
        return
    tokens, whole = first_few([*encoding.trailing_control]), _num_looked_at(manifest)
    noun, ends = ("row", "has an answer that ends") if encoding.foreign_ends else ("answer", "ends")
    if number != 1:
        ends = "have an answer that ends" if encoding.foreign_ends else "end"
    share = f" ({share_text(number, whole)})" if encoding.foreign_ends else ""
    who = f"{pluralize(number, noun)}{share}"
    text = f"{who} {ends} in {tokens}, left over from another model: yours would learn to write it"
    if encoding.only_control:
        them = pluralize(encoding.only_control, "answer")
        text += f"; {them} with nothing else would be dropped as empty_answer with the setting"
    setting = override("clean.strip_trailing_control", True)
    yield Caution("foreign_ends", text, _part(number, whole), encoding.first_rows.get("foreign_ends"), setting)


def _num_looked_at(manifest: Manifest) -> int:
    """The rows that were encoded, and their exact duplicates."""
    early = ("read", "format", "validate", "filter", "privacy", "dedup", "decontaminate")
    lost = [manifest.counts.dropped.get(stage, {}) for stage in early]
    others = sum(number for reasons in lost for reason, number in reasons.items() if reason != "duplicate")
    return manifest.counts.rows_read - others


def _added_system(manifest: Manifest, encoding: EncodingEntry) -> Iterator[Caution]:
    """A system prompt that the template writes where a conversation has none."""
    for prompt, number in encoding.added_system.items():
        packed = manifest.counts.packed
        whom = f"all {pluralize(number, 'conversation')}"
        if number < packed:
            whom = f"{pluralize(number, 'conversation')} ({share_text(number, packed)})"
        text = f'the template adds a system prompt to {whom}: "{shortened(prompt, 100)}"'
        own = [at for at, source in enumerate(manifest.config.get("sources") or ()) if _lacks_system(source)]
        setting = override(f"sources.{own[0]}.system", "You are a helpful assistant.") if own else None
        text += "; each source has a setting for its own" if len(own) > 1 else ""
        example = encoding.first_rows.get("added_system")
        yield Caution("added_system", text, _part(number, manifest.counts.packed), example, setting, rank=2)


def _lacks_system(source: object) -> bool:
    return isinstance(source, dict) and not source.get("system") and source.get("format") != "text"


def _context(manifest: Manifest, encoding: EncodingEntry) -> Iterator[Caution]:
    """Rows and turns that are trained without something, or not at all."""
    packed = manifest.counts.packed
    for name, number in encoding.lost_context.items():
        are = "is trained behind a prompt without its" if number == 1 else "are trained behind prompts without their"
        text, setting = f"{pluralize(number, 'row')} {are} {name}", override("lost_context", "drop")
        yield Caution("lost_context", text, _part(number, packed), setting=setting)
    for reason, number in encoding.left_out.items():
        turns, are = pluralize(number, "turn"), "is" if number == 1 else "are"
        text = f"{turns} of rows that are trained otherwise {are} left out as {reason}: see the ledger"
        yield Caution("left_out", text, _part(number, packed))


def _texts(manifest: Manifest, encoding: EncodingEntry) -> Iterator[Caution]:
    """Texts that are trained as they are, though their owner may mean something else."""
    packed = manifest.counts.packed
    if total := sum(encoding.rendered.values()):
        are = "is itself a chat" if total == 1 else "are themselves chats"
        named = ", ".join(f"{family} {number:,}" for family, number in encoding.rendered.items())
        text = (
            f"{pluralize(total, 'message')} {are} in the marks of a template ({named}), trained as text: "
            "write the turns as messages, without marks"
        )
        yield Caution("rendered", text, _part(total, packed))
    if number := encoding.media_marks:
        has = "has" if number == 1 else "have"
        marked = f"{pluralize(number, 'message')} {has} the mark of a picture or a sound"
        text = f"{marked} (such as <image>), which is only text"
        yield Caution("media_marks", text, _part(number, packed))
    if number := encoding.tools_twice:
        lists = "lists its" if number == 1 else "list their"
        text = (
            f"{pluralize(number, 'row')} {lists} tools in the system message too, and a template that writes tools "
            "writes them twice: take the list out of the system message"
        )
        yield Caution("tools_twice", text, _part(number, packed))


def _several(manifest: Manifest, facts: Facts) -> Iterator[Caution]:
    """Conversations that became several samples."""
    number, packed = facts.several, manifest.counts.packed
    if not number:
        return
    became = "conversation became several samples" if number == 1 else "conversations became several samples each"
    text = f"{number:,} {became} ({share_text(number, packed)}): "
    split = manifest.encoding.split_conversations + manifest.encoding.split_texts if manifest.encoding else 0
    if split:
        text += "they are longer than a sequence"
        setting = override("pack.seq_len", 2 * manifest.seq_len)
    else:
        text += "the template writes earlier turns differently once others follow, so answers have prompts of their own"
        setting = override("train_on", "last")
    yield Caution("several_samples", text, _part(number, packed), facts.several_first, setting, rank=2)


def _few(manifest: Manifest, facts: Facts) -> Iterator[Caution]:
    """Conversations of which hardly anything is trained."""
    number, packed = facts.few, manifest.counts.packed
    if not number:
        return
    are = "conversation has" if number == 1 else "conversations have"
    text = (
        f"{number:,} {are} at most {FEW_TOKENS} trained tokens, the end token among them "
        f"({share_text(number, packed)}): answers of a word or two"
    )
    setting = override("filters.min_answer_words", 3)
    if group_in(manifest.config, "filters").get("preset", "off") == "off":  # which the setting alone would change
        setting = override("filters", {"preset": "off", "min_answer_words": 3})
    yield Caution("short_answers", text, _part(number, packed), facts.few_first, setting, rank=2)
