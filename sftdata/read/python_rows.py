"""Rows that are given as Python objects -> a JSON-lines file, which is read like any other."""

from __future__ import annotations

import datetime
import decimal
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from sftdata.errors import SourceError
from sftdata.read.readers.tables import batch_rows, to_json_value
from sftdata.read.splits import first_names


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
            given = (batch for table in given.with_format("arrow").iter(1000) for batch in table.to_batches())
            yield from (row for batch in given for row in batch_rows(batch))
        else:
            yield from ({name: to_json_value(value) for name, value in row.items()} for row in given)
    elif hasattr(given, "to_batches"):  # of pyarrow
        yield from (row for batch in given.to_batches() for row in batch_rows(batch))
    elif hasattr(given, "iterrows") and hasattr(given, "to_dict"):  # of pandas
        yield from given.to_dict("records")
    elif hasattr(given, "to_dicts"):  # of polars
        yield from given.to_dicts()
    elif isinstance(given, Iterable) and not isinstance(given, (str, bytes)):
        yield from given
    else:
        what = f"is {type(given).__name__}, not rows"
        raise SourceError(where, what, "give a list of dicts, or a datasets.Dataset")


def _plain(value: Any) -> Any:
    """A value that JSON has no form for, in the form that it has in other files. Raises TypeError."""
    if type(value).__name__ in ("NAType", "NaTType"):  # a missing value of pandas
        return None
    if isinstance(value, (datetime.date, datetime.time)):
        return value.isoformat()
    if isinstance(value, (decimal.Decimal, datetime.timedelta)):
        return str(value)
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if hasattr(value, "tolist"):  # of numpy
        return value.tolist()
    raise TypeError(f"it holds a {type(value).__name__}")
