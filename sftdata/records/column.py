"""Records as a column of Arrow tables, the form in which stages pass them on.

record  roles             contents      json
        "user assistant"  ["hi", "yo"]  null              a plain conversation
        null              []            {"messages": ...} any other record
        null              []            null              no record

The texts of plain conversations are contiguous in one buffer, so that all of them can be searched at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from sftdata.records.record import PlainRecord, Record

RECORD_TYPE = pa.struct(
    [
        ("roles", pa.string()),
        ("contents", pa.large_list(pa.large_string())),
        ("json", pa.large_binary()),
    ]
)


def record_array(records: Sequence[Record | None]) -> pa.StructArray:
    """The column of these records. Their texts must not contain lone surrogates."""
    roles: list[str | None] = []
    texts: list[str] = []
    starts = [0]
    json: list[bytes | None] = []
    for record in records:
        plain = None if record is None else record.plain
        if plain is not None:
            roles.append(_join(plain.roles))
            texts += plain.contents
            json.append(None)
        else:
            roles.append(None)
            json.append(None if record is None else record.to_json())
        starts.append(len(texts))
    columns = [
        pa.array(roles, pa.string()),
        pa.LargeListArray.from_arrays(pa.array(starts, pa.int64()), pa.array(texts, pa.large_string())),
        mostly_null_array(json, pa.large_binary()),
    ]
    return pa.StructArray.from_arrays(columns, fields=list(RECORD_TYPE))


def mostly_null_array(values: Sequence[object], type_: pa.DataType) -> pa.Array:
    """An array of these values; fast in the common case that all of them are None."""
    return pa.nulls(len(values), type_) if values.count(None) == len(values) else pa.array(values, type_)


class RecordColumn:
    """The records in a table's column `record`.

    `_texts` has the texts of all plain records: text k is turn k - _starts[row] of its row.
    """

    def __init__(self, column: pa.ChunkedArray) -> None:
        array = pa.concat_arrays(column.chunks or [pa.array([], RECORD_TYPE)])
        contents = array.field("contents")
        starts = contents.offsets.to_numpy()
        self._text_array = contents.values.slice(starts[0], starts[-1] - starts[0])
        self._starts: npt.NDArray[np.int64] = starts - starts[0]
        self._roles: list[str | None] = array.field("roles").to_pylist()
        self._texts: list[str] = self._text_array.to_pylist()
        json = array.field("json")
        self._json: list[bytes | None] | None = None if json.null_count == len(json) else json.to_pylist()

    def __iter__(self) -> Iterator[Record | None]:
        """The record of each row, or None."""
        starts = self._starts.tolist()
        for row, (roles, start, end) in enumerate(zip(self._roles, starts, starts[1:])):
            if roles is not None:
                yield PlainRecord(_split(roles), self._texts[start:end])
            else:
                payload = None if self._json is None else self._json[row]
                yield None if payload is None else Record.from_json(payload)

    def live(self, dropped: Sequence[bool]) -> tuple[list[int], list[Record]]:
        """The row numbers, from 0, and the records of the rows that have a record and are not dropped."""
        rows: list[int] = []
        records: list[Record] = []
        for row, record in enumerate(self):
            if not dropped[row] and record is not None:
                rows.append(row)
                records.append(record)
        return rows, records

    def texts_containing(self, strings: Sequence[bytes]) -> Iterator[tuple[int, str, str]]:
        """The texts of plain records that contain one of these strings, each text once: its row, its role, the text.

        The strings are UTF-8, all of the same length, at most four bytes. The result may include a text that merely
        ends with the beginning of one of them.
        """
        is_found = np.zeros(len(self._text_array), np.bool_)
        for numbers in self._text_numbers_containing(strings):
            is_found[numbers] = True
        yield from self._texts_of(np.flatnonzero(is_found))

    def _texts_of(self, numbers: npt.NDArray[np.int64]) -> Iterator[tuple[int, str, str]]:
        """The texts with these numbers: of each its row, its role, and itself."""
        rows = np.searchsorted(self._starts, numbers, side="right") - 1
        turns = (numbers - self._starts[rows]).tolist()
        for row, turn, number in zip(rows.tolist(), turns, numbers.tolist()):
            yield row, _split(self._roles[row] or "")[turn], self._texts[number]

    def texts_matching(self, pattern: str, first: bytes = b"") -> Iterator[tuple[int, str, str]]:
        """The texts of plain records in which a regular expression (RE2) finds something, as `texts_containing`.

        If it finds something only in texts that begin with one of the bytes `first`, or with white space, the others
        are left out without a search.
        """
        texts, numbers = self._text_array, np.arange(len(self._text_array))
        if first:
            numbers = self._beginning_with(first)
            texts = texts.take(pa.array(numbers))
        found = pc.match_substring_regex(texts, pattern).to_numpy(zero_copy_only=False)
        yield from self._texts_of(numbers[np.flatnonzero(found)])

    def _beginning_with(self, first: bytes) -> npt.NDArray[np.int64]:
        """The numbers of the texts that begin with one of these bytes, or with ASCII white space."""
        offsets, data = self._buffers()
        numbers = np.flatnonzero(offsets[1:] > offsets[:-1])
        is_wanted = np.zeros(256, np.bool_)
        is_wanted[[*first, *b" \t\n\f\r"]] = True
        return numbers[is_wanted[data[offsets[numbers]]]]

    def _ending_with(self, strings: Sequence[bytes]) -> npt.NDArray[np.int64]:
        """The numbers of the texts whose last two bytes are those of one of these strings."""
        offsets, data = self._buffers()
        numbers = np.flatnonzero(np.diff(offsets) > 1)
        codes = data[offsets[numbers + 1] - 2].astype(np.uint16) << 8 | data[offsets[numbers + 1] - 1]
        return numbers[np.isin(codes, [int.from_bytes(string[-2:], "big") for string in strings])]

    def _buffers(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint8]]:
        """The offsets of all texts, and the bytes that they lie in."""
        array = self._text_array
        if not len(array):
            return np.zeros(1, np.int64), np.empty(0, np.uint8)
        offsets = np.frombuffer(array.buffers()[1], np.int64)[array.offset : array.offset + len(array) + 1]
        return offsets, np.frombuffer(array.buffers()[2] or b"", np.uint8)

    def texts_at_an_end(self, strings: Sequence[str]) -> Iterator[tuple[int, str, str]]:
        """The texts of plain records that begin with one of these strings, after white space, or end with one, before a
        line break or not.
        """
        begins, ends = tuple(strings), (*strings, *(f"{string}\n" for string in strings))
        first = bytes({string.encode()[0] for string in strings})
        near = np.union1d(self._beginning_with(first), self._ending_with([end.encode() for end in ends]))
        hits = [
            number
            for number in near.tolist()
            if self._texts[number].endswith(ends) or self._texts[number].lstrip(" \t\n\f\r").startswith(begins)
        ]
        yield from self._texts_of(np.array(hits, np.int64))

    def _text_numbers_containing(self, strings: Sequence[bytes]) -> Iterator[npt.NDArray[np.int64]]:
        """The numbers of these texts, once per first byte of the strings."""
        offsets, data = self._buffers()
        size = len(strings[0]) if strings else 0
        if len(offsets) < 2 or not size or offsets[-1] - offsets[0] < size:
            return
        data = data[offsets[0] : offsets[-1]]
        wanted = [int.from_bytes(string, "little") for string in strings]
        for first in sorted({string[0] for string in strings}):
            found = np.flatnonzero(data[: len(data) - size + 1] == first)
            codes = data[found].astype(np.uint32)
            for at in range(1, size):
                codes |= data[found + at].astype(np.uint32) << np.uint32(8 * at)
            found = found[np.isin(codes, wanted)]
            yield np.searchsorted(offsets - offsets[0], found, side="right") - 1


def live_records(table: pa.Table) -> Iterator[tuple[int, Record]]:
    """The rows of a table that have a record and are not marked in its column `dropped`. See RecordColumn.live."""
    return zip(*RecordColumn(table["record"]).live(table["dropped"].to_pylist()))


@lru_cache(maxsize=1 << 12)
def _join(roles: tuple[str, ...]) -> str:
    return " ".join(roles)


@lru_cache(maxsize=1 << 12)
def _split(roles: str) -> tuple[str, ...]:
    return tuple(roles.split())
