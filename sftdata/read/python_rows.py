"""Rows that are given as Python objects -> a JSON-lines file, which is read like any other."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from sftdata.errors import SourceError
from sftdata.read.readers.arrow_values import batch_rows, reject_same_names, shortest, to_json_value
from sftdata.read.splits import first_names
from sftdata.records.record import Drop


def write_rows(rows: object, path: Path, where: str, split: str | None) -> tuple[int, str]:
    """Write one line for each row. Returns the number of rows and the SHA-256 of the lines.

    `rows` is an iterable of dicts, a datasets.Dataset, a table of pandas, polars or pyarrow; or a mapping of splits,
    such as a datasets.DatasetDict, of which `split` is written. `where` is what messages call it. Raises SourceError if
    it is something else, or holds a value that JSON has no form for.
    """
    digest, count = hashlib.sha256(), 0
    with path.open("wb") as file:
        for row in _values(_of_split(rows, where, split), where):
            count += 1
            if isinstance(row, Drop):
                raise SourceError(f"{where}:{count}", f"cannot be read ({row.detail})", "correct the row")
            if count == 1 and not isinstance(row, Mapping):
                hint = "give dicts with the names of the columns"
                if isinstance(row, (tuple, list)):
                    hint += ", such as {'prompt': ..., 'completion': ...}, or {'messages': [...]} for a list of turns"
                raise SourceError(f"{where}:1", f"is a {type(row).__name__}, not a dict", hint)
            try:
                line = json.dumps(row, default=_plain).encode() + b"\n"
            except (TypeError, ValueError, RecursionError) as error:
                raise SourceError(f"{where}:{count}", f"cannot be written as JSON ({error})", "convert it") from error
            digest.update(line)
            file.write(line)
    return count, digest.hexdigest()


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


def _values(rows: object, where: str) -> Iterator[Any]:
    """Each row as a value that JSON can hold, but for values that `_plain` knows."""
    given: Any = rows
    if hasattr(given, "with_format") and hasattr(given, "features"):  # of datasets
        if hasattr(given, "num_rows"):
            yield from _of_tables(given.with_format("arrow").iter(1000), where)
        else:
            yield from ({name: to_json_value(value) for name, value in row.items()} for row in given)
    elif hasattr(given, "to_batches"):  # of pyarrow
        yield from _of_tables([given], where)
    elif hasattr(given, "iterrows") and hasattr(given, "to_dict"):  # of pandas
        yield from _of_pandas(given, where)
    elif hasattr(given, "to_dicts"):  # of polars
        yield from given.to_dicts()
    elif isinstance(given, Iterable) and not isinstance(given, (str, bytes)):
        yield from given
    else:
        what = f"is {type(given).__name__}, not rows"
        raise SourceError(where, what, "give a list of dicts, or a datasets.Dataset")


def _of_tables(tables: Iterable[Any], where: str) -> Iterator[dict[str, Any] | Drop]:
    """The rows of tables of pyarrow that share a schema."""
    for number, table in enumerate(tables):
        if not number:
            reject_same_names(table.schema, where)
        for batch in table.to_batches():
            yield from batch_rows(batch)


def _of_pandas(frame: Any, where: str) -> Iterator[dict[str, Any]]:
    """The rows of a table of pandas."""
    twice = [str(name) for name in frame.columns[frame.columns.duplicated()]]
    if twice:
        raise SourceError(where, f"has two columns {twice[0]!r}", "give each a different name")
    kinds = {name: str(kind).lower() for name, kind in frame.dtypes.items()}
    narrow = {name: np.dtype(kind).type for name, kind in kinds.items() if kind in ("float16", "float32")}
    for row in frame.to_dict("records"):
        for name, kind in narrow.items():
            if isinstance(row[name], float):
                row[name] = shortest(kind, row[name])
        yield row


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
        narrow = value.dtype in (np.float16, np.float32)
        return np.asarray(value.astype(str), np.float64).tolist() if narrow else value.tolist()
    found = to_json_value(value)
    if found is value:
        raise TypeError(f"it holds a {type(value).__name__}")
    return found
