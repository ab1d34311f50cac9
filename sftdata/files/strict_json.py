"""JSON from someone else: refused where readers disagree about it, or where it could exhaust this process."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, NoReturn

from sftdata.errors import DatasetError
from sftdata.files.regular import RESTORE, regular_file

MAX_DEPTH = 64
MAX_KEYS = 100_000  # of one object
MAX_DIGITS = 300  # of an integer: as a float it is still finite


def parse_strict(data: bytes) -> Any:
    """The value of a JSON text in UTF-8.

    Raises ValueError, with what is wrong in a few words: besides what no reader takes, keys that are given twice, NaN
    and Infinity, numbers that no float holds, more than MAX_KEYS keys in an object, and values nested more than
    MAX_DEPTH deep.
    """
    try:
        value = json.loads(
            data.decode("utf-8"),
            object_pairs_hook=_object,
            parse_constant=_constant,
            parse_float=_float,
            parse_int=_int,
        )
    except RecursionError:
        raise ValueError(f"it is nested more than {MAX_DEPTH} deep") from None
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [child for node in level if isinstance(node, (dict, list)) for child in _children(node)]
        if not level:
            return value
    raise ValueError(f"it is nested more than {MAX_DEPTH} deep")


def read_object(path: Path, inside: Path, max_bytes: int) -> dict[str, Any]:
    """The object in a JSON file of a folder, as `parse_strict` reads it.

    Raises DatasetError if the file is not a regular file in the folder, has more bytes, or holds something else.
    """
    size_bytes = regular_file(path, inside).st_size
    if size_bytes > max_bytes:
        raise DatasetError(str(path), f"has {size_bytes:,} bytes, more than the {max_bytes:,} that are read", RESTORE)
    try:
        payload = parse_strict(path.read_bytes())
    except OSError as error:
        raise DatasetError(str(path), f"cannot be read ({error.strerror})", "check the file") from error
    except ValueError as error:
        raise DatasetError(str(path), f"is not JSON ({error})", RESTORE) from error
    if not isinstance(payload, dict):
        raise DatasetError(str(path), "is not a JSON object", RESTORE)
    return payload


def _children(node: dict[str, Any] | list[Any]) -> list[Any]:
    return [*node.values()] if isinstance(node, dict) else node


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(pairs) > MAX_KEYS:
        raise ValueError(f"an object has {len(pairs):,} keys")
    value = dict(pairs)
    if len(value) < len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ValueError(f"the key {twice[:100]!r} is given twice")
    return value


def _constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number in JSON")


def _float(text: str) -> float:
    if not math.isfinite(value := float(text)):
        raise ValueError(f"the number {text[:30]} is too large")
    return value


def _int(text: str) -> int:
    if len(text.lstrip("-")) > MAX_DIGITS:
        raise ValueError(f"the number {text[:30]} is too large")
    return int(text)
