"""The rows in one JSON value: an array, an object that holds one, or a table as pandas and datasets write it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sftdata.errors import SourceError, pluralize
from sftdata.read.formats.fields import key_list
from sftdata.read.formats.shapes.known import detect_format

_TURN = {"role", "from"}
_PARTS = {"train", "validation", "valid", "dev", "test", "chosen", "rejected"}  # not names of rows
_RECORDS = "in pandas: df.to_json(PATH, orient='records', lines=True)"


def rows_in(value: object, name: str) -> list[object]:
    """The rows of a parsed file. Raises SourceError where it may hold rows in several ways.

    [row, ...]                                                  pandas: orient=records
    {"data": [row, ...], ...}        one list of rows, any key   orient=table
    {"columns": [...], "data": [[value, ...], ...]}             orient=split
    {"0": row, "1": row}             rows by their names         orient=index
    {"prompt": {"0": value, ...}, "completion": {...}}          orient=columns
    {"prompt": [value, ...], "completion": [...]}               to_dict("list")
    row                              anything else
    """
    if isinstance(value, list):
        return value
    if not isinstance(value, dict) or not value:
        return [value]
    for shape in (_split_table, _by_label, _lists_of_rows, _columns_of_lists):
        rows = shape(value, name)
        if rows is not None:
            return rows
    return [value]


def _split_table(value: Mapping[str, Any], name: str) -> list[object] | None:
    columns, data = value.get("columns"), value.get("data")
    if not value.keys() <= {"columns", "index", "data", "index_names", "column_names"}:
        return None
    if not isinstance(columns, list) or not isinstance(data, list) or not all(isinstance(row, list) for row in data):
        return None
    if not all(isinstance(column, str) for column in columns):
        raise SourceError(name, "is a table whose columns have no plain names", _RECORDS)
    wrong = next((at for at, row in enumerate(data, 1) if len(row) != len(columns)), None)
    if wrong is not None:
        what = f"is a table whose row {wrong} has not one value for each of its {pluralize(len(columns), 'column')}"
        raise SourceError(name, what, "write it again")
    return [dict(zip(columns, row, strict=True)) for row in data]


def _by_label(value: Mapping[str, Any], name: str) -> list[object] | None:
    """The rows of a table whose rows or columns are objects. The names of rows are often numbers, those of columns are
    never, and make a known format.
    """
    if all(item == {} for item in value.values()):
        return []  # a table without rows
    if not all(isinstance(item, dict) and item for item in value.values()):
        return None
    inner = [*value.values()]
    outer_are_numbers = all(key.isdecimal() for key in value)
    inner_are_numbers = all(key.isdecimal() for item in inner for key in item)
    labels = inner[0].keys()
    is_table = all(item.keys() == labels for item in inner)
    may_be_rows = not inner_are_numbers and (outer_are_numbers or all(detect_format(item) for item in inner))
    may_be_columns = is_table and not outer_are_numbers and (inner_are_numbers or _is_row(value, labels))
    is_unclear = len(value) > 1 and is_table and not may_be_rows and not may_be_columns and detect_format(value) is None
    if (may_be_rows and may_be_columns) or is_unclear:
        what = f"holds objects under {key_list(value)}, which may be rows or columns"
        raise SourceError(name, what, f"write one object per row ({_RECORDS})")
    if may_be_rows and not _PARTS.isdisjoint(value):
        raise SourceError(name, f"holds several parts ({key_list(value)})", "put each part into its own file")
    if may_be_rows:
        return inner
    if may_be_columns:
        return [{column: items[label] for column, items in value.items()} for label in labels]
    return None


def _is_row(value: Mapping[str, Any], labels: Any) -> bool:
    """Whether the names of these columns are those of a row that has a known format."""
    return all(detect_format({column: items[label] for column, items in value.items()}) for label in labels) and not (
        all(isinstance(item, dict) for items in value.values() for item in items.values())
    )


def _lists_of_rows(value: Mapping[str, Any], name: str) -> list[object] | None:
    """The one list of rows in an object; beside others, the one whose rows have a known format."""
    lists = {key: item for key, item in value.items() if _holds_rows(item)}
    known = {key: item for key, item in lists.items() if detect_format(item[0]) is not None}
    if detect_format({key: item for key, item in value.items() if key not in known}) is not None:
        return None  # a row by itself
    lists = known or lists
    if not lists:
        inner = [item for item in value.values() if isinstance(item, dict) and any(map(_holds_rows, item.values()))]
        return _lists_of_rows(inner[0], name) if len(inner) == 1 else None
    if _is_viewer_page(value):
        return [item["row"] for item in value["rows"]]
    if len(lists) > 1:
        raise SourceError(name, f"holds several lists of rows ({key_list(lists)})", "put each list into its own file")
    ((key, rows),) = lists.items()
    return _without_index(value, rows) if key == "data" else rows


def _is_viewer_page(value: Mapping[str, Any]) -> bool:
    """Whether this is what the hub's dataset viewer answers: {"features": ..., "rows": [{"row_idx": 0, "row": {}}]}."""
    rows = value.get("rows")
    return isinstance(rows, list) and all(
        isinstance(item, dict) and "row_idx" in item and isinstance(item.get("row"), dict) for item in rows
    )


def _holds_rows(value: object) -> bool:
    """Whether a value is a list of objects that are not the turns of one conversation."""
    if not isinstance(value, list) or not value:
        return False
    return all(isinstance(item, dict) and not (_TURN & item.keys()) for item in value)


def _without_index(value: Mapping[str, Any], rows: list[object]) -> list[object]:
    """The rows without the column that pandas adds to them with orient=table."""
    schema = value.get("schema")
    if not isinstance(schema, dict) or schema.get("primaryKey") != ["index"] or "pandas_version" not in schema:
        return rows
    return [{key: item for key, item in row.items() if key != "index"} for row in rows if isinstance(row, dict)]


def _columns_of_lists(value: Mapping[str, Any], name: str) -> list[object] | None:
    """The rows of a table whose columns are lists of one length, of single values or of rows of a known format."""
    columns: Sequence[Any] = [*value.values()]
    if not all(isinstance(column, list) for column in columns) or len({len(column) for column in columns}) != 1:
        return None
    if any(_is_dialog(column) for column in columns):
        return None
    rows: list[object] = [dict(zip(value, cells, strict=True)) for cells in zip(*columns, strict=True)]
    if not rows or any(_is_list_of_texts(value.get(key)) for key in ("messages", "conversations", "conversation")):
        return None
    is_flat = not any(isinstance(cell, (dict, list)) for column in columns for cell in column)
    first = rows[0]
    return rows if is_flat or (isinstance(first, dict) and detect_format(first) is not None) else None


def _is_list_of_texts(column: object) -> bool:
    """Whether a column that should hold conversations holds texts, which are not JSON."""
    return isinstance(column, list) and any(isinstance(cell, str) and cell.lstrip()[:1] != "[" for cell in column)


def _is_dialog(column: Sequence[Any]) -> bool:
    """Whether a list is the turns of one conversation."""
    return any(isinstance(item, dict) and _TURN & item.keys() for item in column)
