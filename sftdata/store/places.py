"""The places that the ledger gives to packed rows, held against the shards, one to one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from sftdata.errors import DatasetError
from sftdata.records.record import sample_digest
from sftdata.store.ledger import LEDGER_SCHEMA, PLACE
from sftdata.store.manifest import Manifest
from sftdata.store.proof import PREPARE_AGAIN, PackedRows

Ints64 = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Places:
    """Every place in the ledger, sorted by shard, row and index, with the packed ledger row it belongs to."""

    folder: Path
    packed: pa.Table  # the ledger's packed rows
    is_text: NDArray[np.bool_]  # of each packed row: its source is plain text
    shard_starts: Ints64  # the number of places before each shard; one more entry than shards
    owner: Ints64  # of each place: its row in `packed`
    row: Ints64
    index: Ints64
    digest: Any  # of each place: sample_digest of its sample, in hex
    num_turns: Ints64  # of each place: the turns trained in its sample
    tokens: Ints64  # of each packed row: tokens found in shards so far
    trained: Ints64

    def of_shard(self, number: int) -> ShardPlaces:
        """The places in one shard."""
        return ShardPlaces(self, int(self.shard_starts[number]), int(self.shard_starts[number + 1]))

    def check_tokens(self) -> None:
        """Each packed row has the tokens that the ledger says. To be called when all shards were checked."""
        for column, found in (("num_tokens", self.tokens), ("num_trained_tokens", self.trained)):
            stated = self.packed[column].to_numpy()
            if (wrong := stated != found).any():
                row = int(np.argmax(wrong))
                what = f"{column} is {stated[row]}, but its samples hold {found[row]}"
                raise _ledger_error(self.folder, self.packed, row, what)


@dataclass(slots=True)
class ShardPlaces:
    """The ledger's places in one shard, used up row by row."""

    places: Places
    next: int  # the first place not used yet
    end: int

    def check(self, rows: PackedRows) -> NDArray[np.bool_]:
        """Hold the next rows against their places, count their tokens, and give which samples are plain text.

        Raises DatasetError where a sample has no place, a place no sample, or the record is another.
        """
        count = min(rows.num_samples, self.end - self.next)
        here = slice(self.next, self.next + count)
        row, index = rows.row_of_sample, rows.index_of_sample
        wrong = (row[:count] != self.places.row[here]) | (index[:count] != self.places.index[here])
        if wrong.any():
            at = int(np.argmax(wrong))
            place = self.next + at
            if (self.places.row[place], self.places.index[place]) > (row[at], index[at]):
                raise rows.error_in(at, "is in no row of the ledger")
            raise self._no_sample(rows.where, place)
        if count < rows.num_samples:
            raise rows.error_in(count, "is in no row of the ledger")
        owner = self.places.owner[here]
        stated = self.places.packed["record_id"].take(pa.array(owner))
        differs = pc.not_equal(rows.record_ids, stated.combine_chunks())
        if pc.any(differs).as_py():
            at = int(np.argmax(differs.to_numpy(zero_copy_only=False)))
            raise rows.error_in(at, f"the ledger has the record {stated[at]} in this place")
        np.add.at(self.places.tokens, owner, np.diff(rows.sample_starts))
        np.add.at(self.places.trained, owner, rows.trained_counts)
        self._check_digests(rows, count)
        self.next += count
        is_text: NDArray[np.bool_] = self.places.is_text[owner]
        return is_text

    def _check_digests(self, rows: PackedRows, count: int) -> None:
        """Each sample is, id by id and label by label, the one that was encoded and proven."""
        stated = self.places.digest.slice(self.next, count).to_pylist()
        ids, labels = memoryview(rows.ids.tobytes()), memoryview(rows.labels.tobytes())
        ends = (4 * rows.sample_starts).tolist()
        for at, (start, end, digest) in enumerate(zip(ends, ends[1:], stated, strict=False)):
            if sample_digest(ids[start:end], labels[start:end]).hex() != digest:
                raise rows.error_in(at, "is not the sample that was encoded: its tokens or labels were changed")

    def check_runs(self, rows: PackedRows) -> None:
        """Each trained turn is one run. To be called after `check`, for rows that are proven otherwise."""
        stated = self.places.num_turns[self.next - rows.num_samples : self.next]
        if (wrong := stated != rows.run_counts).any():
            at = int(np.argmax(wrong))
            runs = f"{rows.run_counts[at]} runs of trained tokens" if rows.run_counts[at] != 1 else "one trained run"
            raise rows.error_in(at, f"holds {runs}, but by the ledger {stated[at]} of its turns are trained")

    def check_done(self, where: str) -> None:
        """Every place was used. To be called at the shard's end."""
        if self.next < self.end:
            raise self._no_sample(where, self.next)

    def _no_sample(self, where: str, place: int) -> DatasetError:
        """The ledger has a place that holds no sample, or is given twice."""
        spot = f"{where}, row {self.places.row[place]}, sample {self.places.index[place]}"
        what = f"its place {spot} holds no sample, or that of another row"
        return _ledger_error(self.places.folder, self.places.packed, int(self.places.owner[place]), what)


def places_of(folder: Path, packed: pa.Table, manifest: Manifest) -> Places:
    """The places of the ledger's packed rows.

    Raises DatasetError where a record id stands twice, a place is in an unknown shard or one of another split, or the
    turns and digests do not fit the places.
    """
    ids = packed["record_id"]
    if pc.count_distinct(ids).as_py() < packed.num_rows:
        first: NDArray[np.int64] = np.unique(ids.to_numpy().astype(str), return_index=True)[1]
        again = int(np.setdiff1d(np.arange(packed.num_rows), first)[0])
        raise _ledger_error(folder, packed, again, f"an earlier row has the same record id, {ids[again]}")
    flat = pa.concat_arrays([pa.array([], PLACE), *(chunk.flatten() for chunk in packed["places"].chunks)])
    owner = np.repeat(np.arange(packed.num_rows), pc.list_value_length(packed["places"]).to_numpy())
    shard, row, index = (_ints(flat, field, manifest) for field in ("shard", "row", "index"))
    if (lost := (shard < 0) | (row < 0) | (index < 0)).any():
        at = int(np.argmax(lost))
        raise _ledger_error(folder, packed, int(owner[at]), f"its place {flat[at].as_py()} is in no shard")
    splits = pa.array([entry.split for entry in manifest.shards], pa.string())
    other = pc.not_equal(splits.take(pa.array(shard)), packed["split"].take(pa.array(owner)).combine_chunks())
    if pc.any(other).as_py():
        at = int(np.argmax(other.to_numpy(zero_copy_only=False)))
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
    """A column with an entry for each place, flat. Raises DatasetError where a row has more or fewer than places."""
    counts = pc.list_value_length(packed[name]).fill_null(0).to_numpy()
    places = np.bincount(owner, minlength=packed.num_rows)
    if (wrong := counts != places).any():
        row = int(np.argmax(wrong))
        raise _ledger_error(folder, packed, row, f"it has {places[row]} places, but {counts[row]} {name}")
    empty = pa.array([], LEDGER_SCHEMA.field(name).type.value_type)
    return pa.concat_arrays([empty, *(chunk.flatten() for chunk in packed[name].chunks)])


def _num_turns(folder: Path, packed: pa.Table, owner: Ints64, is_text: NDArray[np.bool_], manifest: Manifest) -> Ints64:
    """The number of turns trained in each place.

    Raises DatasetError where a place names no turn, a turn is trained twice in one copy of a record, a source's
    records have more copies than its `repeat` allows, turns are not in order, or a plain text, which is one turn, has
    another.
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

    check(counts == 0, owner, "it names no turn that is trained in one of its places", counts)
    check(turns < 1, row, "turns count from 1, but it names {}", turns)
    limit = _repeats(packed, manifest)
    order = np.lexsort((turns, row))
    again = (np.diff(row[order]) == 0) & (np.diff(turns[order]) == 0)
    again_in_one = (np.diff(place) == 0) & (np.diff(turns) == 0)
    check(again_in_one, row[1:], "its turn {} is trained twice", turns[1:])
    check(again & (limit[row[order][1:]] == 1), row[order][1:], "its turn {} is trained twice", turns[order][1:])
    if again.any():
        _check_copies(folder, packed, owner, row, turns, limit)
    check((np.diff(place) == 0) & (np.diff(turns) < 0), row[1:], "its turn {} stands behind a later one", turns[1:])
    check(is_text[row] & (turns != 1), row, "it is plain text, which is one turn, but it names turn {}", turns)
    return counts


def _repeats(packed: pa.Table, manifest: Manifest) -> Ints64:
    """How often each packed row may stand in the shards."""
    allowed: dict[str, int] = {}
    for source in manifest.config.get("sources", ()):
        allowed[source["path"]] = max(allowed.get(source["path"], 1), source.get("repeat", 1))
    values = np.array([*allowed.values(), 1], np.int64)
    at = pc.index_in(packed["source"], value_set=pa.array(allowed, pa.string())).fill_null(len(allowed))
    repeats: Ints64 = values[at.to_numpy()]
    return repeats


def _check_copies(folder: Path, packed: pa.Table, owner: Ints64, row: Ints64, turns: Ints64, limit: Ints64) -> None:
    """Records that stand several times: as often as their source allows, each turn as often, each copy the same.

    `owner` has the row of each place, `row` that of each trained turn.
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
        what = f"it stands {most[at]} times in the shards, but its source is repeated {limit[at]} times at most"
        raise _ledger_error(folder, packed, at, what)
    for at in np.flatnonzero(most > 1).tolist():
        samples: dict[tuple[int, ...], set[str]] = {}
        for named, digest in zip(packed["turns"][at].as_py(), packed["digests"][at].as_py()):
            samples.setdefault(tuple(named), set()).add(digest)
        if any(len(digests) > 1 for digests in samples.values()) or len(packed["turns"][at]) != most[at] * len(samples):
            raise _ledger_error(folder, packed, at, "its copies are not the same samples")


def _ints(places: Any, field: str, manifest: Manifest) -> Ints64:
    """A field of the places as numbers, -1 for null and for a shard that the manifest does not know."""
    values = places.field(field)
    if field == "shard":
        values = pc.index_in(values, value_set=pa.array([shard.path for shard in manifest.shards], pa.string()))
    numbers: Ints64 = values.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
    return numbers


def _ledger_error(folder: Path, packed: pa.Table, row: int, what: str) -> DatasetError:
    """What is wrong with a packed row of the ledger."""
    return DatasetError(str(folder / "ledger"), f"the row of {packed['where'][row]}: {what}", PREPARE_AGAIN)
