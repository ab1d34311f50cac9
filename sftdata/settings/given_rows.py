"""Rows that are given as Python objects in place of a path: which objects are rows, and what they are called."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

ROWS = "rows"  # what rows are called that have no name of their own
# What tables have that a value in a row, such as an array of numpy, has not; some tables are no iterables.
_TABLES = ("to_batches", "to_dicts", "to_pylist", "iterrows", "__arrow_c_stream__", "with_format")
_MAX_NAME_CHARS = 100


@dataclass(frozen=True)
class WrittenRows:
    """Rows that were given as Python objects, and are in a file now."""

    count: int
    sha256: str  # of the rows as JSON lines


def are_rows(value: object) -> bool:
    """Whether a value holds rows, and is neither a path nor a mapping of settings or of splits."""
    if isinstance(value, (str, bytes, os.PathLike, Mapping, BaseModel, type)):
        return False
    return isinstance(value, Iterable) or any(hasattr(value, name) for name in _TABLES)


def are_splits(value: object) -> bool:
    """Whether a value is a mapping of splits, such as a datasets.DatasetDict: every value is a table, or a list of
    dicts.
    """
    return isinstance(value, Mapping) and bool(value) and all(map(_is_table, value.values()))


def _is_table(value: object) -> bool:
    if isinstance(value, (list, tuple)):
        return not value or (isinstance(value[0], Mapping) and not is_turn(value[0]))
    return isinstance(value, Iterator) or any(hasattr(value, name) for name in _TABLES)


def is_turn(value: Mapping[Any, Any]) -> bool:
    """Whether a dict is a turn of a conversation: a list of such dicts is no list of rows."""
    return any(key in value for key in ("role", "from", "speaker"))


def as_source(value: Any) -> Any:
    """A source as a mapping: {path: ...} for a path alone, {rows: ...} for rows alone, or in the place of a path."""
    if isinstance(value, (str, os.PathLike)):
        return {"path": os.fspath(value)}
    if are_rows(value) or (are_splits(value) and not value.keys() & {"path", ROWS}):
        return {ROWS: value}
    path = value.get("path") if isinstance(value, Mapping) else None
    if isinstance(value, Mapping) and ((are_rows(path) and _is_table(path)) or are_splits(path)):
        if value.get(ROWS) is not None:
            raise ValueError("path and rows are both given; give one of them")
        return {**{key: item for key, item in value.items() if key != "path"}, ROWS: path}
    return value


def with_name(source: Any) -> Any:
    """The mapping of a source of rows with their name as its path, which is what the ledger calls them.

    Raises ValueError if rows and a path are given, or a name without rows, or one that cannot be shown.
    """
    source = as_source(source)
    if not isinstance(source, Mapping):
        return source
    name, path = source.get("name"), source.get("path")
    if source.get(ROWS) is None:
        if name is not None:
            raise ValueError("name is for rows that are given in place of a path; a file has a name of its own")
        return source
    if isinstance(name, str):
        if not 0 < len(name) <= _MAX_NAME_CHARS or not name.isprintable() or name != name.strip() or "://" in name:
            raise ValueError(f"name must be a short text on one line, and no address (got {name[:_MAX_NAME_CHARS]!r})")
        path = name if path in (None, name) or _is_usual(path) else path
    if path not in (None, name) and not _is_usual(path):
        raise ValueError("path and rows are both given; give one of them")
    return {**source, "path": path or ROWS}


def _is_usual(path: object) -> bool:
    """Whether a name is one that rows get without being given one."""
    return isinstance(path, str) and re.fullmatch(rf"{ROWS}(-\d+)?", path) is not None


def as_sources(value: Any) -> Any:
    """Sources as a list of mappings, in which each source of rows without a name gets one of its own: rows, rows-2."""
    if isinstance(value, (str, os.PathLike, Mapping)) or (are_rows(value) and not isinstance(value, (list, tuple))):
        value = [value]
    if not isinstance(value, Sequence):
        return value
    groups = [as_source(item) for item in value]
    unnamed = [
        at
        for at, group in enumerate(groups)
        if isinstance(group, Mapping) and group.get(ROWS) is not None and group.get("name") is None
    ]
    for number, at in enumerate(unnamed[1:], 2):
        groups[at] = {"path": f"{ROWS}-{number}", **groups[at]}
    return groups


def check_names(sources: Sequence[Any]) -> None:
    """Raise ValueError if rows are called like another source: the ledger would not tell their rows apart."""
    paths = [source.path for source in sources]
    for source in sources:
        if source.rows is not None and paths.count(source.path) > 1:
            raise ValueError(f"two of them are called {source.path}; give the rows a name of their own")
