"""Records as a column of Arrow tables, the form in which they travel from stage to stage.

record  roles             contents      json
        "user assistant"  ["hi", "yo"]  null              a plain conversation
        null              []            {"messages": ...} any other record
        null              []            null              no record

Texts of plain conversations stand end to end in one buffer, where they can all be looked through at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from sftdata.records.record import PlainRecord, Record

RECORD_TYPE = pa.struct(
    [
        ("roles", pa.string()),
        ("contents", pa.large_list(pa.large_string())),
        ("json", pa.large_binary()),
    ]
)


def record_array(records: Sequence[Record | None]) -> pa.StructArray:
    """The column of these records. Their texts hold no lone surrogates."""
    roles: list[str | None] = []
    texts: list[str] = []
    starts = [0]
    others: list[bytes | None] = []
    for record in records:
        plain = None if record is None else record.plain
        if plain is not None:
            roles.append(_joined(plain.roles))
            texts += plain.contents
            others.append(None)
        else:
            roles.append(None)
            others.append(None if record is None else record.to_json())
        starts.append(len(texts))
    columns = [
        pa.array(roles, pa.string()),
        pa.LargeListArray.from_arrays(pa.array(starts, pa.int64()), pa.array(texts, pa.large_string())),
        nearly_none(others, pa.large_binary()),
    ]
    return pa.StructArray.from_arrays(columns, fields=list(RECORD_TYPE))


def nearly_none(values: Sequence[object], type_: pa.DataType) -> pa.Array:
    """An array of values that are most often all None."""
    return pa.nulls(len(values), type_) if values.count(None) == len(values) else pa.array(values, type_)


class RecordColumn:
    """The records in a table's column `record`. Text k of all is the turn k - starts[row] of its row."""

    def __init__(self, column: pa.ChunkedArray) -> None:
        array = pa.concat_arrays(column.chunks or [pa.array([], RECORD_TYPE)])
        contents = array.field("contents")
        starts = contents.offsets.to_numpy()
        self._array = contents.values.slice(starts[0], starts[-1] - starts[0])
        self._starts: npt.NDArray[np.int64] = starts - starts[0]
        self._roles: list[str | None] = array.field("roles").to_pylist()
        self._texts: list[str] = self._array.to_pylist()
        others = array.field("json")
        self._others: list[bytes | None] | None = None if others.null_count == len(others) else others.to_pylist()

    def __iter__(self) -> Iterator[Record | None]:
        """The record of each row."""
        places = self._starts.tolist()
        for row, (roles, start, end) in enumerate(zip(self._roles, places, places[1:])):
            if roles is not None:
                yield PlainRecord(_split(roles), self._texts[start:end])
            else:
                payload = None if self._others is None else self._others[row]
                yield None if payload is None else Record.from_json(payload)

    def live(self, dropped: Sequence[bool]) -> Iterator[tuple[int, Record]]:
        """The rows with a record that are not dropped already: the number of each, from 0, and its record."""
        for row, record in enumerate(self):
            if not dropped[row] and record is not None:
                yield row, record

    def texts_with(self, heads: Sequence[bytes]) -> Iterator[tuple[int, str, str]]:
        """The texts of plain records in which one of these strings stands, each once: its row, its role, itself.

        The strings are UTF-8, all of one length, of four bytes at most. A text that only ends in the beginning of one
        may be among them.
        """
        places = np.unique(np.concatenate([np.empty(0, np.int64), *self._texts_with(heads)]))
        rows = np.searchsorted(self._starts, places, side="right") - 1
        turns = (places - self._starts[rows]).tolist()
        for row, turn, place in zip(rows.tolist(), turns, places.tolist()):
            yield row, _split(self._roles[row] or "")[turn], self._texts[place]

    def _texts_with(self, heads: Sequence[bytes]) -> Iterator[npt.NDArray[np.int64]]:
        """The places of such texts, for each byte that strings begin with."""
        offsets = np.frombuffer(self._array.buffers()[1], np.int64)
        offsets = offsets[self._array.offset : self._array.offset + len(self._array) + 1]
        size = len(heads[0]) if heads else 0
        if len(offsets) < 2 or not size or offsets[-1] - offsets[0] < size:
            return
        data = np.frombuffer(self._array.buffers()[2], np.uint8)[offsets[0] : offsets[-1]]
        wanted = [int.from_bytes(head, "little") for head in heads]
        for first in sorted({head[0] for head in heads}):
            found = np.flatnonzero(data[: len(data) - size + 1] == first)
            codes = data[found].astype(np.uint32)
            for at in range(1, size):
                codes |= data[found + at].astype(np.uint32) << np.uint32(8 * at)
            found = found[np.isin(codes, wanted)]
            yield np.searchsorted(offsets - offsets[0], found, side="right") - 1


def live_records(table: pa.Table) -> Iterator[tuple[int, Record]]:
    """The live rows of a table, in whose column `dropped` the others are marked. See RecordColumn.live."""
    return RecordColumn(table["record"]).live(table["dropped"].to_pylist())


@lru_cache(maxsize=1 << 12)
def _joined(roles: tuple[str, ...]) -> str:
    return " ".join(roles)


@lru_cache(maxsize=1 << 12)
def _split(roles: str) -> tuple[str, ...]:
    return tuple(roles.split())
