"""JSON files of tokenizers and models without what names program code."""

from __future__ import annotations

import json
from typing import Any

# Keys under which such files name code that a library would download and run.
CODE_KEYS = frozenset({"auto_map", "custom_pipelines", "custom_generate"})


def without_code(value: Any) -> Any:
    """A JSON value without the keys that name code, however deep they are."""
    if isinstance(value, dict):
        return {key: without_code(inner) for key, inner in value.items() if key not in CODE_KEYS}
    if isinstance(value, list):
        return [without_code(inner) for inner in value]
    return value


def json_without_code(data: bytes) -> bytes:
    """A JSON file without what names code; the same bytes where nothing does. Raises ValueError where it is no JSON."""
    try:
        value = json.loads(data)
        kept = without_code(value)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    return data if kept == value else (json.dumps(kept, indent=2, ensure_ascii=False) + "\n").encode()
