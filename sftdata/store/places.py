"""Checks that the ledger and the shards agree on the place of each sample, one to one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from sftdata.errors import DatasetError
from sftdata.files.regular import shorten
from sftdata.records.record import sample_digest
from sftdata.store.ledger import LEDGER_SCHEMA, PLACE, PREPARE_AGAIN
from sftdata.store.manifest import Manifest
from sftdata.store.proof import PackedRows

Ints64 = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Places:
    """All places in the ledger, sorted by shard, row and index."""

    folder: Path
    packed: pa.Table  # the packed rows of the ledger
    is_text: NDArray[np.bool_]  # for each packed row: whether its source is plain text
    shard_starts: Ints64  # number of places before each shard; one more entry than shards
    owner: Ints64  # for each place: its row in `packed`
    row: Ints64
    index: Ints64
    digest: Any  # for each place: sample_digest of its sample, in hex
    num_turns: Ints64  # for each place: number of trained turns in its sample
    tokens: Ints64  # for each packed row: tokens found in shards so far
    trained: Ints64

    def of_shard(self, number: int) -> ShardPlaces:
        """The places in one shard."""
        return ShardPlaces(self, int(self.shard_starts[number]), int(self.shard_starts[number + 1]))

    def check_tokens(self) -> None:
        """Check the token counts of each packed row. Call this after all shards are checked."""
        for column, found in (("num_tokens", self.tokens), ("num_trained_tokens", self.trained)):
            stated = self.packed[column].to_numpy()
            if (wrong := stated != found).any():
                row = int(np.argmax(wrong))
                what = f"{column} is {stated[row]}, but its samples have {found[row]}"
                raise _ledger_error(self.folder, self.packed, row, what)


@dataclass(slots=True)
class ShardPlaces:
    """The places of the ledger in one shard, checked in order."""

    places: Places
    next: int  # the first place that is not checked yet
    end: int

    def check(self, rows: PackedRows) -> NDArray[np.bool_]:
        """Compare the next rows with their places and count their tokens. Returns which samples are plain text.

        Raises DatasetError if a sample has no place, a place has no sample, or a record id or digest differs.
        """
        count = min(rows.num_samples, self.end - self.next)
        here = slice(self.next, self.next + count)
        row, index = rows.row_of_sample, rows.index_of_sample
        wrong = (row[:count] != self.places.row[here]) | (index[:count] != self.places.index[here])
        if wrong.any():
            at = int(np.argmax(wrong))
            place = self.next + at
            if (self.places.row[place], self.places.index[place]) > (row[at], index[at]):
                raise rows.error_in(at, "is not in the ledger")
            raise self._no_sample(rows.where, place)
        if count < rows.num_samples:
            raise rows.error_in(count, "is not in the ledger")
        owner = self.places.owner[here]
        stated = self.places.packed["record_id"].take(pa.array(owner))
        differs = pc.not_equal(rows.record_ids, stated.combine_chunks())
        if pc.any(differs).as_py():
            at = int(np.argmax(differs.to_numpy(zero_copy_only=False)))
            raise rows.error_in(at, f"the ledger has record {shorten(str(stated[at]))} in this place")
        np.add.at(self.places.tokens, owner, np.diff(rows.sample_starts))
        np.add.at(self.places.trained, owner, rows.trained_counts)
        self._check_digests(rows, count)
        self.next += count
        is_text: NDArray[np.bool_] = self.places.is_text[owner]
        return is_text

    def _check_digests(self, rows: PackedRows, count: int) -> None:
        """Each sample has exactly the ids and labels that were encoded and proven."""
        stated = self.places.digest.slice(self.next, count).to_pylist()
        ids, labels = memoryview(rows.ids.tobytes()), memoryview(rows.labels.tobytes())
        ends = (4 * rows.sample_starts).tolist()
        for at, (start, end, digest) in enumerate(zip(ends, ends[1:], stated, strict=False)):
            if sample_digest(ids[start:end], labels[start:end]).hex() != digest:
                raise rows.error_in(at, "is not the sample that was encoded: its tokens or labels have changed")

    def check_runs(self, rows: PackedRows) -> None:
        """Check that each trained turn is one run. Call this after `check` and after the proof of the rows."""
        stated = self.places.num_turns[self.next - rows.num_samples : self.next]
        if (wrong := stated != rows.run_counts).any():
            at = int(np.argmax(wrong))
            runs = f"{rows.run_counts[at]} runs of trained tokens" if rows.run_counts[at] != 1 else "one trained run"
            raise rows.error_in(at, f"has {runs}, but the ledger lists {stated[at]} trained turns")

    def check_done(self, where: str) -> None:
        """Check that no place is left. Call this at the end of the shard."""
        if self.next < self.end:
            raise self._no_sample(where, self.next)

    def _no_sample(self, where: str, place: int) -> DatasetError:
        """An error for a place of the ledger that has no sample, or is listed twice."""
        position = f"{where}, row {self.places.row[place]}, sample {self.places.index[place]}"
        what = f"its place {position} has no sample, or the sample of another row"
        return _ledger_error(self.places.folder, self.places.packed, int(self.places.owner[place]), what)


def read_places(folder: Path, packed: pa.Table, manifest: Manifest) -> Places:
    """The places of the packed rows of the ledger.

    Raises DatasetError if a record id occurs twice, a place is in an unknown shard or in a shard of another split, or
    the turns and digests do not match the places.
    """
    ids = packed["record_id"]
    if pc.count_distinct(ids).as_py() < packed.num_rows:
        codes = pc.dictionary_encode(ids.combine_chunks()).indices.to_numpy()
        first: NDArray[np.int64] = np.unique(codes, return_index=True)[1]
        repeated = int(np.setdiff1d(np.arange(packed.num_rows), first)[0])
        record = shorten(ids[repeated].as_py())
        raise _ledger_error(folder, packed, repeated, f"an earlier row has the same record id, {record}")
    flat = pa.concat_arrays([pa.array([], PLACE), *(chunk.flatten() for chunk in packed["places"].chunks)])
    owner = np.repeat(np.arange(packed.num_rows), pc.list_value_length(packed["places"]).to_numpy())
    shard, row, index = (_place_numbers(flat, field, manifest) for field in ("shard", "row", "index"))
    if (invalid := (shard < 0) | (row < 0) | (index < 0)).any():
        at = int(np.argmax(invalid))
        raise _ledger_error(
            folder, packed, int(owner[at]), f"its place {shorten(str(flat[at].as_py()))} is in no shard"
        )
    splits = pa.array([entry.split for entry in manifest.shards], pa.string())
    differs = pc.not_equal(splits.take(pa.array(shard)), packed["split"].take(pa.array(owner)).combine_chunks())
    if pc.any(differs).as_py():
        at = int(np.argmax(differs.to_numpy(zero_copy_only=False)))
        raise _ledger_error(folder, packed, int(owner[at]), "its place is in a shard of another split")
    order = np.lexsort((index, row, shard))
    is_text = pc.is_in(packed["source"], value_set=pa.array(sorted(manifest.text_sources), pa.string())).to_numpy()
    digest = _per_place(folder, packed, "digests", owner)
    return Places(
        folder=folder,
        packed=packed,
        is_text=is_text,
        shard_starts=np.searchsorted(shard[order], np.arange(len(manifest.shards) + 1)),
        owner=owner[order],
        digest=digest.take(pa.array(order)),
        num_turns=_num_turns(folder, packed, owner, is_text, manifest)[order],
        row=row[order],
        index=index[order],
        tokens=np.zeros(packed.num_rows, np.int64),
        trained=np.zeros(packed.num_rows, np.int64),
    )


def _per_place(folder: Path, packed: pa.Table, name: str, owner: Ints64) -> Any:
    """A list column with one entry per place, flattened. Raises DatasetError if a row has a different number."""
    counts = pc.list_value_length(packed[name]).fill_null(0).to_numpy()
    places = np.bincount(owner, minlength=packed.num_rows)
    if (wrong := counts != places).any():
        row = int(np.argmax(wrong))
        raise _ledger_error(folder, packed, row, f"it has {places[row]} places, but {counts[row]} {name}")
    empty = pa.array([], LEDGER_SCHEMA.field(name).type.value_type)
    return pa.concat_arrays([empty, *(chunk.flatten() for chunk in packed[name].chunks)])


def _num_turns(folder: Path, packed: pa.Table, owner: Ints64, is_text: NDArray[np.bool_], manifest: Manifest) -> Ints64:
    """The number of trained turns in each place.

    Raises DatasetError if a place lists no turn, a turn is trained twice in one copy of a record, a record has more
    copies than the `repeat` of its source allows, turns are out of order, or a plain text has a turn other than 1.
    """
    lists = _per_place(folder, packed, "turns", owner)
    counts: Ints64 = lists.value_lengths().fill_null(0).to_numpy().astype(np.int64)
    turns: Ints64 = lists.flatten().fill_null(0).to_numpy().astype(np.int64)
    place = np.repeat(np.arange(len(counts)), counts)
    row = owner[place]

    def check(bad: NDArray[np.bool_], rows: Ints64, what: str, values: Ints64) -> None:
        if bad.any():
            at = int(np.argmax(bad))
            raise _ledger_error(folder, packed, int(rows[at]), what.format(values[at]))

    check(counts == 0, owner, "one of its places lists no trained turn", counts)
    check(turns < 1, row, "turns are counted from 1, but it lists {}", turns)
    limit = _max_copies(packed, manifest)
    order = np.lexsort((turns, row))
    repeated = (np.diff(row[order]) == 0) & (np.diff(turns[order]) == 0)
    repeated_in_sample = (np.diff(place) == 0) & (np.diff(turns) == 0)
    check(repeated_in_sample, row[1:], "its turn {} is trained twice", turns[1:])
    check(repeated & (limit[row[order][1:]] == 1), row[order][1:], "its turn {} is trained twice", turns[order][1:])
    if repeated.any():
        _check_copies(folder, packed, row, turns, limit)
    check((np.diff(place) == 0) & (np.diff(turns) < 0), row[1:], "its turn {} comes after a later one", turns[1:])
    last = np.ones(packed.num_rows, np.int64)  # the pieces of each text are its turns 1, 2, ...
    if manifest.parts.overlong == "split":
        pairs = np.unique(np.stack([row, turns]), axis=1)[0]
        last = np.bincount(pairs, minlength=packed.num_rows)
    check(is_text[row] & (turns > last[row]), row, "it is plain text, which is one turn, but it lists turn {}", turns)
    return counts


def _max_copies(packed: pa.Table, manifest: Manifest) -> Ints64:
    """How many copies of each packed row the shards may contain."""
    allowed: dict[str, int] = {}
    for source in manifest.parts.sources:
        allowed[source.path] = max(allowed.get(source.path, 1), source.repeat)
    values = np.array([*allowed.values(), 1], np.int64)
    at = pc.index_in(packed["source"], value_set=pa.array(allowed, pa.string())).fill_null(len(allowed))
    repeats: Ints64 = values[at.to_numpy()]
    return repeats


def _check_copies(folder: Path, packed: pa.Table, row: Ints64, turns: Ints64, limit: Ints64) -> None:
    """Check repeated records: at most `limit` copies, each turn in every copy, all copies the same.

    `row` has the packed row of each trained turn.
    """
    pairs, times = np.unique(np.stack([row, turns]), axis=1, return_counts=True)
    most = np.zeros(packed.num_rows, np.int64)
    np.maximum.at(most, pairs[0], times)
    if (uneven := times != most[pairs[0]]).any():
        at = int(np.argmax(uneven))
        what = f"its turn {pairs[1][at]} is trained {times[at]} times, but another {most[pairs[0][at]]} times"
        raise _ledger_error(folder, packed, int(pairs[0][at]), what)
    if (over := most > limit).any():
        at = int(np.argmax(over))
        what = f"it is in the shards {most[at]} times, but its source is repeated at most {limit[at]} times"
        raise _ledger_error(folder, packed, at, what)
    for at in np.flatnonzero(most > 1).tolist():
        samples: dict[tuple[int, ...], set[str]] = {}
        for listed, digest in zip(packed["turns"][at].as_py(), packed["digests"][at].as_py()):
            samples.setdefault(tuple(listed), set()).add(digest)
        if any(len(digests) > 1 for digests in samples.values()) or len(packed["turns"][at]) != most[at] * len(samples):
            raise _ledger_error(folder, packed, at, "its copies are not the same samples")


def _place_numbers(places: Any, field: str, manifest: Manifest) -> Ints64:
    """A field of the places as numbers; -1 for null and for a shard that is not in the manifest."""
    values = places.field(field)
    if field == "shard":
        values = pc.index_in(values, value_set=pa.array([shard.path for shard in manifest.shards], pa.string()))
    numbers: Ints64 = values.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
    return numbers


def _ledger_error(folder: Path, packed: pa.Table, row: int, what: str) -> DatasetError:
    """An error that names a packed row of the ledger and what is wrong with it."""
    where = shorten(packed["where"][row].as_py())
    return DatasetError(str(folder / "ledger"), f"the row of {where}: {what}", PREPARE_AGAIN)
