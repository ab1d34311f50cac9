"""Texts of some of the rows: a few bytes for each beside the text, and no Python object."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Ints = npt.NDArray[np.int64] | npt.NDArray[np.int32]


class RowTexts:
    """Texts of rows, in the order in which they are put."""

    def __init__(self) -> None:
        self._put: list[tuple[npt.NDArray[np.int32], pa.Array]] = []

    def put(self, rows: Ints, texts: pa.Array) -> None:
        """Give rows, ascending, their texts: an array of strings, or of codes for strings. One that a row has is
        replaced.
        """
        if len(rows):
            self._put.append((rows.astype(np.int32), texts))

    def put_valid(self, first: int, column: pa.ChunkedArray) -> None:
        """Give rows from `first` on the texts of a column that is mostly null."""
        if column.null_count < len(column):
            self.put(first + np.flatnonzero(column.is_valid().to_numpy()), column.drop_null().combine_chunks())

    def between(self, first: int, last: int) -> Iterator[tuple[int, str]]:
        """The rows from `first` on and before `last` that have a text, with it; of a row with two texts the last comes
        last.
        """
        for rows, texts in self._put:
            if rows[0] < last and rows[-1] >= first:
                start, end = np.searchsorted(rows, [first, last]).tolist()
                yield from zip(rows[start:end].tolist(), texts[start:end].to_pylist())

    def parts(self) -> Iterator[tuple[npt.NDArray[np.int64], pa.Array]]:
        """All rows with a text and their texts, some at a time."""
        for rows, texts in self._put:
            yield rows.astype(np.int64), texts


def coded(values: Ints, text: Callable[[int], str]) -> pa.Array:
    """The text of each of these values, of which many are equal, as codes."""
    distinct, codes = np.unique(values, return_inverse=True)
    texts = pa.array(map(text, distinct.tolist()), pa.string())
    return pa.DictionaryArray.from_arrays(pa.array(codes.reshape(-1), pa.int32()), texts)
