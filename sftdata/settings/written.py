"""Settings as they are shown and written: those that differ from the defaults, without passwords in addresses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from sftdata.errors import ConfigError, pluralize
from sftdata.safe.addresses import written_address
from sftdata.settings.given_rows import ROWS, WrittenRows
from sftdata.settings.yaml_line import flow

_ADDRESSES = ("path", "tokenizer", "template", "model")  # settings that may hold an address with a password in it
_MAX_ENTRIES, _MAX_CHARS = 4, 60  # of a list, and of a value, in a repr


def given_settings(group: BaseModel) -> dict[str, Any]:
    """The settings that were given for a group, as nested dicts and lists; other values stay what they are."""
    return {name: _given(getattr(group, name)) for name in type(group).model_fields if name in group.model_fields_set}


def _given(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return given_settings(value)
    is_groups = isinstance(value, (list, tuple)) and value and isinstance(value[0], BaseModel)
    return [_given(item) for item in value] if is_groups else value


def changed_settings(group: BaseModel) -> dict[str, Any]:
    """The settings of a group that differ from the defaults, as nested dicts and lists, and those that have none."""
    start = group.defaults() if hasattr(group, "defaults") else None  # where a preset decides what the others are
    found: dict[str, Any] = {}
    for name, field in type(group).model_fields.items():
        value = getattr(group, name)
        default = field.get_default(call_default_factory=True) if start is None else start[name]
        if name == ROWS:
            if value is not None:
                found[name] = value
        elif field.is_required() or value != default:
            is_whole = start is not None and isinstance(value, BaseModel)  # a group that the preset fills
            found[name] = value.model_dump() if is_whole else _written(name, value)
    return found


def _written(name: str, value: Any) -> Any:
    if isinstance(value, BaseModel):
        return changed_settings(value)
    if isinstance(value, Mapping):
        return {str(key) if not isinstance(key, int) else key: _written("", item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_written(name, item) for item in value]
    return written_address(value) if name in _ADDRESSES and isinstance(value, str) else value


def settings_file(group: BaseModel) -> str:
    """A settings file with what differs from the defaults. Raises ConfigError for rows that were given as objects."""
    lines = []
    for name, value in changed_settings(group).items():
        entries = value if isinstance(value, list) and value and isinstance(value[0], dict) else None
        for entry in entries or ():
            if ROWS in entry:
                what = "holds rows that were given in Python, which have no place in a settings file"
                raise ConfigError(f"{name}: {entry.get('path', ROWS)}", what, "write them to a file, and give its path")
        if entries is None:
            lines.append(f"{name}: {flow(value)}\n")
        else:
            lines += [f"{name}:\n", *(f"  - {flow(entry)}\n" for entry in entries)]
    return "".join(lines)


def settings_repr(group: BaseModel) -> str:
    """A group of settings on one line, as a call in Python: what differs from the defaults, long values shortened."""
    values = ", ".join(f"{name}={_short(name, value)}" for name, value in changed_settings(group).items())
    return f"{type(group).__name__}({values})"


def _short(name: str, value: Any) -> str:
    if name == ROWS:
        return f"<{rows_in_words(value)}>"
    if isinstance(value, dict):
        value = {key: item for key, item in value.items() if key != "path" or ROWS not in value}
        if len(value) == 1 and value.keys() <= {"path", ROWS}:
            return _short(*next(iter(value.items())))
        return "{" + ", ".join(f"{key!r}: {_short(key, item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        more = len(value) - _MAX_ENTRIES
        shown = [_short(name, item) for item in value[:_MAX_ENTRIES]]
        return "[" + ", ".join([*shown, f"and {more:,} more"] if more > 0 else shown) + "]"
    text = repr(value)
    return text if len(text) <= _MAX_CHARS else f"{text[: _MAX_CHARS - 1]}\u2026"


def rows_in_words(rows: Any) -> str:
    """How many rows these are, and of which kind: `1,000 rows: DataFrame`; only the kind where no one knows."""
    if isinstance(rows, WrittenRows):
        return pluralize(rows.count, "row")
    kind = type(rows).__name__
    if isinstance(rows, Mapping):
        return f"{kind} of {', '.join(map(str, list(rows)[:_MAX_ENTRIES]))}"
    try:
        return f"{pluralize(len(rows), 'row')}: {kind}"
    except TypeError:
        return kind
