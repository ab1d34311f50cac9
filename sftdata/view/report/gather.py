"""What a report takes from the ledger: which rows it shows, and what it counts. A row group at a time is in memory."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from sftdata.store.ledger import checked_ledger, ledger_names
from sftdata.store.manifest import Manifest

EXAMPLES = 5  # of a reason
PAIRS = 8  # of near-duplicates
HITS = 20  # of contamination
NEAR, SAME = ("near_duplicate", "semantic_duplicate"), ("duplicate", "shared_prefix")
# How a detail says what a row shares with an evaluation item, and what one says of personal data.
HIT = re.compile(r"(is|contains|holds \d+% of the word n-grams of) (.+?):(\d+): ")
_KIND = re.compile(r"(\d+) ([a-z_]+)(?= in |, |$)")

Ints = npt.NDArray[np.int64]
Row = Mapping[str, Any]


@dataclass
class Ledger:
    """What the ledger says, in numbers, and the places of the rows to show: their numbers in the order of the input."""

    examples: dict[str, list[int]] = field(default_factory=dict)
    near: list[int] = field(default_factory=list)
    hits: list[int] = field(default_factory=list)
    hits_by: Counter[tuple[str, str, str]] = field(default_factory=Counter)  # source, evaluation file, how
    private_by: Counter[tuple[str, str]] = field(default_factory=Counter)  # source and kind, of rows dropped for it
    private_rows: Counter[str] = field(default_factory=Counter)  # by source
    # Of each packed row: its number, its source (a number in `sources`), tokens, trained tokens; and of its first
    # sample the shard (a number among those of the manifest; -1 if it has no such shard) and its trained turns.
    sources: list[str] = field(default_factory=list)
    packed: Ints = field(default_factory=lambda: np.empty((6, 0), np.int64))


def read_ledger_facts(folder: Path, manifest: Manifest) -> Ledger:
    """Read the ledger once. Raises DatasetError if it is damaged."""
    found = Ledger()
    wanted = {
        reason: _spread(number, EXAMPLES)
        for some in manifest.counts.dropped.values()
        for reason, number in some.items()
    }
    shards = pa.array([shard.path for shard in manifest.shards], pa.string())
    seen: Counter[str] = Counter()
    similar: list[tuple[npt.NDArray[np.float64], Ints]] = []
    packed: list[Ints] = []
    first = 0
    for entry in manifest.ledger:
        for table in checked_ledger(folder, entry):
            reasons = table["reason"]
            for reason in pc.unique(reasons).drop_null().to_pylist():
                numbers = first + _places(pc.equal(reasons, reason))
                chosen = [at - seen[reason] for at in wanted.get(reason, ())]
                found.examples.setdefault(reason, []).extend(
                    int(numbers[at]) for at in chosen if 0 <= at < len(numbers)
                )
                seen[reason] += len(numbers)
                if reason in NEAR:
                    similarity = table["similarity"].take(pa.array(numbers - first)).fill_null(0).to_numpy()
                    similar.append((similarity, numbers))
            _count_hits(found, table, first)
            _count_private(found, table)
            packed.append(_packed(found, table, first, shards))
            first += table.num_rows
    found.packed = np.concatenate(packed, axis=1) if packed else found.packed
    found.near = _least_and_most_similar(similar)
    return found


def rows_at(folder: Path, manifest: Manifest, numbers: Iterable[int]) -> dict[int, dict[str, Any]]:
    """The rows of the ledger with these numbers. Raises DatasetError if it is damaged."""
    left = sorted(set(numbers))
    found: dict[int, dict[str, Any]] = {}
    first = 0
    for entry in manifest.ledger:
        if not any(first <= number < first + entry.rows for number in left):
            first += entry.rows
            continue
        for table in checked_ledger(folder, entry):
            here = [number for number in left if first <= number < first + table.num_rows]
            if here:
                taken = table.take(pa.array([number - first for number in here])).to_pylist()
                found |= dict(zip(here, taken, strict=True))
            first += table.num_rows
    return found


def numbers_of(folder: Path, manifest: Manifest, names: Sequence[str]) -> dict[str, int]:
    """The numbers of the rows with these names; of a name that several rows have, the first."""
    found: dict[str, int] = {}
    wanted = pa.array(list(dict.fromkeys(names)), pa.string())
    first = 0
    for entry in manifest.ledger if len(wanted) else ():
        for column in ledger_names(folder, entry):
            for at in _places(pc.is_in(column, value_set=wanted)).tolist():
                found.setdefault(column[at].as_py(), first + at)
            first += len(column)
    return found


def _count_hits(found: Ledger, table: pa.Table, first: int) -> None:
    """Which evaluation files rows repeat, and how."""
    at = _places(pc.equal(table["reason"], "contaminated"))
    if not len(at):
        return
    found.hits += (first + at[: max(0, HITS - len(found.hits))]).tolist()
    for source, detail in _pairs(table, at):
        match = HIT.match(detail)
        how = "other" if match is None else {"is": "equal", "contains": "contained"}.get(match[1], "n-grams")
        found.hits_by[source, match[2] if match is not None else "-", how] += 1


def _count_private(found: Ledger, table: pa.Table) -> None:
    """Which kinds of personal data rows were dropped for."""
    for source, detail in _pairs(table, _places(pc.equal(table["reason"], "private_data"))):
        found.private_rows[source] += 1
        for number, kind in _KIND.findall(detail):
            if len(number) < 10:
                found.private_by[source, kind] += int(number)


def _pairs(table: pa.Table, at: Ints) -> Iterator[tuple[str, str]]:
    """Source and detail of some rows."""
    for one in table.select(["source", "detail"]).take(pa.array(at)).to_batches(max_chunksize=1 << 12):
        for source, detail in zip(one.column(0).to_pylist(), one.column(1).to_pylist(), strict=True):
            yield source, detail or ""


def _packed(found: Ledger, table: pa.Table, first: int, shards: pa.Array) -> Ints:
    at = _places(pc.is_null(table["reason"]))
    column = pc.dictionary_encode(table["source"].combine_chunks())
    names = column.dictionary.to_pylist()
    found.sources += [name for name in names if name not in found.sources]
    codes = np.array([found.sources.index(name) for name in names], np.int64)[column.indices.to_numpy()]
    tokens, trained = (table[name].fill_null(0).to_numpy() for name in ("num_tokens", "num_trained_tokens"))
    places = pc.list_element(table["places"].combine_chunks().take(pa.array(at)), 0)
    shard = pc.fill_null(pc.index_in(places.field("shard"), value_set=shards), -1).to_numpy(zero_copy_only=False)
    turns = pc.fill_null(
        pc.list_value_length(pc.list_element(table["turns"].combine_chunks().take(pa.array(at)), 0)), 0
    )
    numbers = (shard, turns.to_numpy(zero_copy_only=False))
    return np.stack([first + at, codes[at], tokens[at], trained[at], *(one.astype(np.int64) for one in numbers)])


def _least_and_most_similar(parts: Sequence[tuple[npt.NDArray[np.float64], Ints]]) -> list[int]:
    """Some near-duplicates, from the least to the most similar."""
    if not parts:
        return []
    similarity, numbers = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    order = np.lexsort((numbers, similarity))
    return [int(numbers[order[at]]) for at in _spread(len(order), PAIRS)]


def _spread(number: int, some: int) -> list[int]:
    """Some places among a number of them, from the first to the last."""
    if number <= some:
        return list(range(number))
    return [at * (number - 1) // (some - 1) for at in range(some)]


def _places(mask: Any) -> Ints:
    """Where a mask is true."""
    filled = pc.fill_null(mask, False)
    values = filled.to_numpy() if isinstance(filled, pa.ChunkedArray) else filled.to_numpy(zero_copy_only=False)
    return np.flatnonzero(values).astype(np.int64)
