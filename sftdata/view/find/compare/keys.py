"""A ledger in a few numbers a row, by which the rows of two ledgers are found in each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from xxhash import xxh3_128

from sftdata.errors import DatasetError
from sftdata.files.parquet_file import read_row_groups
from sftdata.files.regular import regular_file
from sftdata.store.ledger import LEDGER_SCHEMA, PACKED, checked_ledger
from sftdata.store.manifest import Manifest

Ints = npt.NDArray[np.int64]
_ID_CHARS = 32  # of a record id: hex digits
_STATE = ("fate", "reason", "split")  # what happened to a row


@dataclass(frozen=True)
class NarrowLedger:
    """What of a ledger is in memory: for each row its key, and what happened to it."""

    keys: npt.NDArray[np.uint64]  # two for each row: its record id, or a hash of why it has none
    state: npt.NDArray[np.int32]  # index into states
    states: tuple[tuple[str | None, ...], ...]  # fate, reason, split
    source: npt.NDArray[np.int32]  # index into sources
    sources: tuple[str, ...]
    num_tokens: Ints  # -1 where it is null
    num_trained_tokens: Ints

    @staticmethod
    def load(folder: Path, manifest: Manifest) -> NarrowLedger:
        """The ledger of a dataset. Raises DatasetError if there is none, or it is damaged."""
        if not manifest.ledger:
            raise DatasetError(str(folder), "contains no ledger", "give a folder written by `sftdata prepare`")
        states: dict[tuple[Any, ...], int] = {}
        sources: dict[tuple[Any, ...], int] = {}
        seen: dict[str, int] = {}
        parts: list[list[npt.NDArray[Any]]] = []
        for entry in manifest.ledger:
            for table in checked_ledger(folder, entry):
                numbers = [
                    pc.fill_null(table[name], -1).to_numpy().astype(np.int64)
                    for name in ("num_tokens", "num_trained_tokens")
                ]
                parts.append(
                    [_keys(table, seen), _codes(table, _STATE, states), _codes(table, ("source",), sources), *numbers]
                )
        keys, state, source, tokens, trained = (np.concatenate(columns) for columns in zip(*parts))
        named = tuple(str(source) for (source,) in sources)
        return NarrowLedger(keys, state, tuple(states), source, named, tokens, trained)

    @property
    def is_packed(self) -> npt.NDArray[np.bool_]:
        """Which rows are packed."""
        return np.array([state[0] == PACKED for state in self.states], np.bool_)[self.state]

    def fate(self, row: int) -> str:
        """What happened to a row, in words: `packed in train`, `dropped: duplicate`."""
        return fate_text(self.states[int(self.state[row])])


def fate_text(state: Sequence[str | None]) -> str:
    """`packed in train`, `dropped: duplicate`."""
    fate, reason, split = state
    return f"{fate}: {reason}" if reason is not None else f"{fate} in {split}"


def row_names(folder: Path, manifest: Manifest, rows: Ints) -> pa.Array:
    """`where` of these rows of a ledger, by their numbers in it, in any order."""
    order = np.argsort(rows, kind="stable")
    found: list[pa.Array] = []
    first = done = 0
    for entry in manifest.ledger:
        path = folder / entry.path
        regular_file(path, folder, entry.size_bytes)
        for table in read_row_groups(path, LEDGER_SCHEMA, ["where"]):
            end = int(np.searchsorted(rows[order], first + table.num_rows, side="left"))
            found += table["where"].take(pa.array(rows[order[done:end]] - first)).chunks
            first, done = first + table.num_rows, end
    names = pa.chunked_array(found, pa.string()).combine_chunks()
    return names.take(pa.array(np.argsort(order, kind="stable")))


def joined(ours: npt.NDArray[np.uint64], theirs: npt.NDArray[np.uint64]) -> tuple[Ints, Ints]:
    """The rows of two ledgers with equal keys side by side; -1 where a row has no other half. Those of the first are in
    their order, then those that only the second has.
    """
    tables = [
        pa.table({"high": keys[:, 0], "low": keys[:, 1], name: np.arange(len(keys))})
        for keys, name in ((ours, "a"), (theirs, "b"))
    ]
    pairs = tables[0].join(tables[1], keys=["high", "low"], join_type="full outer")
    a, b = (pc.fill_null(pairs[name], -1).to_numpy() for name in ("a", "b"))
    order = np.lexsort((b, a, a < 0))
    return a[order], b[order]


def _codes(table: pa.Table, names: Sequence[str], known: dict[tuple[Any, ...], int]) -> npt.NDArray[np.int32]:
    """Numbers for the values of some columns together; `known` gets those that are new."""
    code = np.zeros(table.num_rows, np.int64)
    for name in names:
        column = pc.dictionary_encode(table[name].combine_chunks(), null_encoding="encode")
        code = code * max(len(column.dictionary), 1) + column.indices.to_numpy()
    firsts, inverse = np.unique(code, return_index=True, return_inverse=True)[1:]
    values = [tuple(table[name][first].as_py() for name in names) for first in firsts.tolist()]
    numbers = np.array([known.setdefault(value, len(known)) for value in values], np.int32)
    return numbers[inverse.reshape(-1)] if len(numbers) else np.empty(0, np.int32)


def _keys(table: pa.Table, seen: dict[str, int]) -> npt.NDArray[np.uint64]:
    """The record id of each row as two numbers. Where it has none, nothing is known of its content but why it was
    dropped: a hash of that, and of how often it was `seen` before.
    """
    ids = table["record_id"].combine_chunks()
    keys = np.zeros((len(ids), 2), np.uint64)
    is_id = pc.fill_null(pc.match_substring_regex(ids, f"^[0-9a-f]{{{_ID_CHARS}}}$"), False).to_numpy(
        zero_copy_only=False
    )
    keys[is_id] = _from_hex(ids.filter(pa.array(is_id)))
    others = np.flatnonzero(~is_id)
    rows = table.select(["record_id", "source", "reason", "detail"]).take(pa.array(others)).to_pylist()
    for number, row in zip(others.tolist(), rows, strict=True):
        name = "\0".join(map(str, row.values()))
        seen[name] = seen.get(name, 0) + 1
        keys[number] = np.frombuffer(xxh3_128(f"{name}\0{seen[name]}".encode()).digest(), ">u8")
    return keys


def _from_hex(ids: pa.Array) -> npt.NDArray[np.uint64]:
    """Texts of 32 hex digits as two numbers each."""
    if len(ids) == 0:
        return np.empty((0, 2), np.uint64)
    text = pc.binary_join(pa.ListArray.from_arrays(pa.array([0, len(ids)], pa.int32()), ids), "")[0].as_py()
    return np.frombuffer(bytes.fromhex(text), ">u8").reshape(-1, 2).astype(np.uint64)
