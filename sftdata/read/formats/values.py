"""Values of rows: whether one is given at all, what it is called in messages, and text that holds JSON or Python."""

from __future__ import annotations

import ast
import json
import math
import re
import warnings
from collections.abc import Mapping
from typing import Any

from sftdata.read.readers.parse_json import parse_text
from sftdata.records.record import Drop

_MAX_LITERAL = 10_000_000  # characters of Python text that are parsed
_ARRAY_ITEMS = re.compile(r"\}\s*\n\s*\{")  # numpy prints the items of an array without commas


class ConversionError(Exception):
    """A row that cannot be converted to a record; `drop` says why. `to_record` catches it."""

    def __init__(self, reason: str, detail: str) -> None:
        self.drop = Drop(reason, detail)
        super().__init__(detail)


def is_given(value: object) -> bool:
    """Whether a value says anything: not null, blank, an empty list or object, or one of nothing but such values."""
    if value is None:
        return False
    if isinstance(value, str):
        return bool(value) and not value.isspace()
    if isinstance(value, Mapping):
        return any(map(is_given, value.values()))
    if isinstance(value, (list, tuple)):
        return any(map(is_given, value))
    return not isinstance(value, bytes) or bool(value)


def is_empty(value: object) -> bool:
    """Whether a value says nothing, also where it is an empty list as text."""
    return not is_given(value) or (isinstance(value, str) and len(value) < 10 and value.strip() in ("[]", "{}", "null"))


def describe_value(value: object) -> str:
    """A value for messages: its type, and the value itself if it is short."""
    if value is None:
        return "null"
    if isinstance(value, (bool, int, float)):
        return repr(value)[:40] if not isinstance(value, bool) else str(value).lower()
    if isinstance(value, str):
        return f"text ({value[:20]!r}{'...' if len(value) > 20 else ''})"
    return {"dict": "an object", "list": "a list"}.get(type(value).__name__, f"a value of type {type(value).__name__}")


def scalar_text(value: Any) -> Any:
    """A number or boolean as JSON text, as a CSV file has it; any other value unchanged."""
    if isinstance(value, (bool, int, float)) and not (isinstance(value, float) and not math.isfinite(value)):
        return json.dumps(value)
    return value


def without_nulls(value: Any) -> Any:
    """A JSON value whose objects have no nulls, as Arrow adds one for every key that another row has.

    Nulls in lists stay: nothing adds those. Raises ConversionError for an infinite number, which a table may hold.
    """
    if isinstance(value, Mapping):
        return {key: without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [without_nulls(item) for item in value]
    if isinstance(value, float) and math.isinf(value):
        what = "its tools, tool calls or settings of the template hold an infinite number, which JSON has not"
        raise ConversionError("wrong_type", what)
    return value


def as_list_of_objects(value: Any, *names: str) -> Any:
    """{"a": [1, 2], "b": [3, 4]} as [{"a": 1, "b": 3}, {"a": 2, "b": 4}], if one of `names` is a key with a list.

    `datasets` has a sequence of structs in this form, also within another. Any other value is returned unchanged.
    """
    if not isinstance(value, Mapping) or not any(isinstance(value.get(name), (list, Mapping)) for name in names):
        return value
    columns = {
        key: as_list_of_objects(item, *item) if isinstance(item, Mapping) else item for key, item in value.items()
    }
    given = {key: cells for key, cells in columns.items() if cells is not None}
    if not all(isinstance(cells, list) for cells in given.values()) or len(set(map(len, given.values()))) != 1:
        return value
    return [dict(zip(given, cells)) for cells in zip(*given.values())]


def parse_if_text(value: Any, label: str) -> Any:
    """The value of text that is JSON, or Python as `str` writes a list; blank text is an empty list.

    Any other value is returned unchanged. Raises ConversionError.
    """
    if not isinstance(value, str):
        return value
    if not value.strip():
        return []
    try:
        return parse_text(value)
    except ValueError:
        found = parse_python(value)
        if found is None:
            raise ConversionError("wrong_type", f"{label} is text that is not JSON") from None
        return found


def parse_python(text: str) -> Any:
    """The list or object that Python text stands for, as `str` and pandas' to_csv write it; None for other text."""
    text = text.strip()
    if not text.startswith(("[", "{")) or not text.endswith(("]", "}")) or len(text) > _MAX_LITERAL:
        return None
    text = _ARRAY_ITEMS.sub("}, {", text)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)  # invalid escapes, as in '\d'
            tree = ast.parse(text, mode="eval")
            value = None if gives_key_twice(tree) else ast.literal_eval(tree)
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return None
    return value if isinstance(value, (list, dict)) and _is_json(value) else None


def gives_key_twice(tree: ast.AST) -> bool:
    """Whether an object or a call in Python text gives one name two values, of which one would be lost."""
    for node in ast.walk(tree):
        pairs: list[tuple[str | None, ast.expr]] = []
        if isinstance(node, ast.Dict):
            pairs = [(None if key is None else ast.dump(key), item) for key, item in zip(node.keys, node.values)]
        elif isinstance(node, ast.Call):
            pairs = [(word.arg, word.value) for word in node.keywords]
        values = dict(pairs)
        if len(values) < len(pairs) and any(ast.dump(values[name]) != ast.dump(item) for name, item in pairs):
            return True
    return False


def _is_json(value: object) -> bool:
    """Whether a value of Python is one of JSON."""
    if isinstance(value, dict):
        return all(isinstance(key, str) and _is_json(item) for key, item in value.items())
    if isinstance(value, list):
        return all(map(_is_json, value))
    if isinstance(value, float):
        return math.isfinite(value)
    return value is None or isinstance(value, (str, bool, int))
