"""Rows that are given as Python objects -> a JSON-lines file, which is read like any other."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from sftdata.errors import SourceError
from sftdata.read.readers.arrow_values import batch_rows, reject_same_names, shortest, to_json_value
from sftdata.read.splits import first_names
from sftdata.records.record import Drop

BATCH_ROWS = 1000  # as many rows of a table are Python objects at a time
_MEDIA = {"Image", "Audio", "Video", "Pdf", "Nifti", "Mesh"}  # types of `datasets` whose values are files
_MAX_WHOLE = 2.0**53  # up to here a float holds every whole number
_started: weakref.WeakSet[Any] = weakref.WeakSet()  # what can be read once, and was

Say = Callable[[str], None]


def _say_nothing(text: str) -> None:
    """For callers that show no notes."""


def write_rows(
    rows: object,
    path: Path,
    where: str,
    split: str | None,
    *,
    keep: Iterable[str] = (),
    note: Say = _say_nothing,
    advance: Callable[[int], None] | None = None,
) -> tuple[int, str]:
    """Write one line for each row. Returns the number of rows and the SHA-256 of the lines.

    `rows` is an iterable of dicts; a datasets.Dataset; a table of pandas, polars, pyarrow, or anything else that gives
    Arrow data; or a mapping of splits, such as a datasets.DatasetDict, of which `split` is written. `where` is what
    messages call it. `keep` names columns that may hold pictures or sound, since nothing is trained of them. `note` is
    called with what is changed in all rows, `advance` with numbers of rows that are written.

    Raises SourceError if it is something else, was read before and can be read only once, or holds a value that JSON
    has no form for.
    """
    rows = _of_split(rows, where, split)
    is_once = _can_be_read_once(rows)
    if is_once:
        _refuse_twice(rows, where)
    digest, count = hashlib.sha256(), 0
    encode = json.JSONEncoder(default=_plain).encode
    with path.open("wb") as file:
        for row in _values(rows, where, frozenset(keep), note):
            count += 1
            if isinstance(row, Drop):
                raise SourceError(f"{where}:{count}", f"cannot be read ({row.detail})", "correct the row")
            if count == 1:
                _refuse_other_rows(row, where)
            try:
                line = encode(row).encode() + b"\n"
            except (TypeError, ValueError, RecursionError) as error:
                raise _unwritable(row, f"{where}:{count}", error) from error
            digest.update(line)
            file.write(line)
            if advance is not None and count % BATCH_ROWS == 0:
                advance(BATCH_ROWS)
    if not count:
        hint = "it can be read only once: give it anew, or as a list" if is_once else "give at least one row"
        raise SourceError(where, "holds no rows", hint)
    return count, digest.hexdigest()


def number_of_rows(rows: object, split: str | None) -> int | None:
    """How many rows there are, where that is known before they are read."""
    if isinstance(rows, Mapping):
        rows = rows.get(split or "train")
    try:
        return len(rows)  # type: ignore[arg-type]
    except TypeError:
        return None


def is_split(rows: object) -> bool:
    """Whether rows are given as a mapping of splits, so that the setting `split` has something to choose from."""
    return isinstance(rows, Mapping)


def _of_split(rows: object, where: str, split: str | None) -> object:
    if not isinstance(rows, Mapping):
        return rows
    wanted = split or "train"
    if wanted in rows and not isinstance(rows[wanted], str):
        return rows[wanted]
    known = first_names(list(map(str, rows)), 12) or "none"
    hint = f"set split to one that it has: {known}; if these are columns, give a list of rows"
    raise SourceError(where, f"has no split {wanted}", hint)


def _can_be_read_once(rows: object) -> bool:
    """Whether this is a generator, a reader or another iterator, which is empty once it was read."""
    return isinstance(rows, Iterator) or (hasattr(rows, "read_next_batch") and hasattr(rows, "schema"))


def _refuse_twice(rows: object, where: str) -> None:
    """Raise SourceError for an iterator that was read before, if only in part: what is left is not all of it. (Of one
    that takes no weak reference, such as a `map`, this is not known.)
    """
    try:
        if rows in _started:
            what = f"is a {type(rows).__name__}, which can be read only once, and was read before"
            raise SourceError(where, what, "give it anew, or as a list or a table")
        _started.add(rows)
    except TypeError:
        pass


def _refuse_other_rows(row: object, where: str) -> None:
    """Raise SourceError if the first row is not a dict."""
    if isinstance(row, Mapping):
        return
    hint = "give dicts with the names of the columns"
    if isinstance(row, (tuple, list)):
        hint += ", such as {'prompt': ..., 'completion': ...}, or {'messages': [...]} for a list of turns"
    if isinstance(row, os.PathLike):
        hint = "give paths as a list, or a glob as a text"
    raise SourceError(f"{where}:1", f"is a {type(row).__name__}, not a dict", hint)


def _unwritable(row: Any, where: str, error: Exception) -> SourceError:
    """The error for a row with a value that JSON has no form for, with the name of its column."""
    what = str(error)
    for name, value in row.items() if isinstance(row, Mapping) else ():
        try:
            json.dumps({name: value}, default=_plain)
        except (TypeError, ValueError, RecursionError) as one:
            what = str(one) if len(row) == 1 else f"{one}, in the column {str(name)[:60]!r}"
            break
    return SourceError(where, f"cannot be written as JSON ({what})", "convert it")


def _values(rows: object, where: str, keep: frozenset[str], note: Say) -> Iterator[Any]:
    """Each row as a value that JSON can hold, but for values that `_plain` knows."""
    given: Any = rows
    if hasattr(given, "with_format") and hasattr(given, "features"):  # of datasets
        yield from _of_datasets(given, where, keep)
    elif hasattr(given, "iter_slices") and hasattr(given, "to_dicts"):  # of polars
        yield from _of_polars(given, where)
    elif hasattr(given, "iterrows") and hasattr(given, "to_dict"):  # of pandas
        yield from _of_pandas(given, where, note)
    elif hasattr(given, "to_batches"):  # a table, or a dataset, of pyarrow
        yield from _of_tables([given], where)
    elif hasattr(given, "read_next_batch") or (hasattr(given, "to_pylist") and hasattr(given, "schema")):
        yield from _of_batches([given] if hasattr(given, "to_pylist") else given, where)
    elif (reader := _arrow_reader(given)) is not None:  # of any library that gives Arrow data
        yield from _of_batches(reader, where)
    elif isinstance(given, Iterable) and not isinstance(given, (str, bytes)):
        yield from given
    else:
        what = f"is {type(given).__name__}, not rows"
        hint = "call its method collect" if hasattr(given, "collect") else "give a list of dicts, or a datasets.Dataset"
        raise SourceError(where, what, hint)


def _arrow_reader(given: Any) -> Any:
    """The record batches of an object that gives Arrow data; None if it gives none, or only one column of values."""
    if not hasattr(given, "__arrow_c_stream__"):
        return None
    import pyarrow as pa

    try:
        return pa.RecordBatchReader.from_stream(given)
    except pa.ArrowInvalid:
        return None


def _of_datasets(given: Any, where: str, keep: frozenset[str]) -> Iterator[Any]:
    """The rows of a Dataset or an IterableDataset. Raises SourceError at the first one with a picture or a sound."""
    media = {name: kind for name, one in (given.features or {}).items() if name not in keep and (kind := _media(one))}
    if hasattr(given, "num_rows"):
        rows = _of_tables(given.with_format("arrow").iter(BATCH_ROWS), where)
    else:
        rows = ({name: to_json_value(value) for name, value in row.items()} for row in given)
    for number, row in enumerate(rows, 1) if media else ():
        for name in media:
            if isinstance(row, Mapping) and row.get(name):
                what = f"has a value of type {media[name]} in the column {name}, which cannot be trained on"
                hint = f"remove the column with remove_columns({name!r}), or name it in keep to train on the text alone"
                raise SourceError(f"{where}:{number}", what, hint)
        yield row
    if not media:
        yield from rows


def _media(feature: Any) -> str | None:
    """The type of the pictures or sounds in a column, however deep they are in it; None if it has none."""
    inner: list[Any] = []
    if isinstance(feature, Mapping):
        inner = list(feature.values())
    elif isinstance(feature, (list, tuple)):
        inner = list(feature)
    elif getattr(feature, "_type", None) in _MEDIA:
        return str(feature._type)
    elif hasattr(feature, "feature"):
        inner = [feature.feature]
    return next((kind for one in inner if (kind := _media(one))), None)


def _of_polars(frame: Any, where: str) -> Iterator[Any]:
    """The rows of a table of polars, as those of a table of Arrow where its columns have types of Arrow."""
    for part in frame.iter_slices(BATCH_ROWS):
        try:
            table = part.to_arrow()
        except Exception:  # noqa: BLE001 (of a column of Python objects; polars raises several kinds)
            yield from part.to_dicts()
        else:
            yield from _of_tables([table], where)


def _of_tables(tables: Iterable[Any], where: str) -> Iterator[dict[str, Any] | Drop]:
    """The rows of tables of pyarrow that share a schema."""
    for number, table in enumerate(tables):
        if not number:
            reject_same_names(table.schema, where)
        is_whole = hasattr(table, "combine_chunks")  # a dataset of pyarrow reads its files as it goes
        for batch in table.to_batches(max_chunksize=BATCH_ROWS) if is_whole else table.to_batches():
            yield from _of_batches([batch], where)


def _of_batches(batches: Iterable[Any], where: str) -> Iterator[dict[str, Any] | Drop]:
    """The rows of record batches, few at a time."""
    for number, batch in enumerate(batches):
        if not number:
            reject_same_names(batch.schema, where)
        for start in range(0, batch.num_rows, BATCH_ROWS):
            yield from batch_rows(batch.slice(start, BATCH_ROWS))


def _of_pandas(frame: Any, where: str, note: Say) -> Iterator[dict[str, Any]]:
    """The rows of a table of pandas. Its index is no column, unless it has a name."""
    if frame.columns.nlevels > 1:
        raise SourceError(where, "has columns with names in several levels", "give each column one name")
    named = [name for name in frame.index.names if name is not None]
    twice = [str(name) for name in frame.columns[frame.columns.duplicated()]]
    twice += [str(name) for at, name in enumerate(named) if name in frame.columns or name in named[:at]]
    if twice:
        raise SourceError(where, f"has two columns {twice[0]!r}", "give each a different name")
    if named:
        frame = frame.reset_index(level=named)
    kinds = {name: str(kind).lower() for name, kind in frame.dtypes.items()}
    narrow = {name: np.dtype(kind).type for name, kind in kinds.items() if kind in ("float16", "float32")}
    whole = [name for name, kind in kinds.items() if kind.startswith("float") and _is_whole_but_for_gaps(frame[name])]
    if whole:
        columns = ", ".join(map(str, whole))
        note(f"whole numbers in columns with missing cells are read as 1, not as the 1.0 that pandas has: {columns}")
    for start in range(0, len(frame), BATCH_ROWS):
        for row in frame.iloc[start : start + BATCH_ROWS].to_dict("records"):
            for name, value in row.items():
                if isinstance(value, float):
                    if value != value:
                        row[name] = None
                    elif name in whole:
                        row[name] = int(value)
                    elif name in narrow:
                        row[name] = shortest(narrow[name], value)
            yield row


def _is_whole_but_for_gaps(column: Any) -> bool:
    """Whether a column of floats has missing cells and whole numbers: pandas has no other form for such integers."""
    gaps = column.isna()
    values = column[~gaps].to_numpy(np.float64)
    if not gaps.any() or not len(values):
        return False
    return bool((np.abs(values) < _MAX_WHOLE).all() and (values == np.floor(values)).all())


def _plain(value: Any) -> Any:
    """A value that JSON has no form for, in the form that it has in other files. Raises TypeError."""
    if type(value).__name__ in ("NAType", "NaTType"):  # a missing value of pandas
        return None
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:  # the file of a picture or a sound, as `datasets` has it
            return {"bytes": base64.b64encode(value).decode()}
    if isinstance(value, (np.ndarray, np.generic)):
        return _of_numpy(value)
    if isinstance(value, Mapping):
        return dict(value)
    found = to_json_value(value)
    if found is value:
        raise TypeError(f"it holds a {type(value).__name__}")
    return found


def _of_numpy(value: Any) -> Any:
    """Numbers of numpy as Python has them; those of 32 bits with the digits of their own precision."""
    if value.dtype.kind in "mM":  # in nanoseconds they are plain numbers in Python
        inner = value.astype(f"{value.dtype.kind}8[us]") if "ns" in value.dtype.str else value
        return inner.tolist()
    narrow = value.dtype in (np.float16, np.float32)
    return np.asarray(value.astype(str), np.float64).tolist() if narrow else value.tolist()
