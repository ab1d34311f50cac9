"""Settings as they are shown and written: those that differ from the defaults, without passwords in addresses."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from sftdata.errors import ConfigError, pluralize
from sftdata.safe.addresses import written_address
from sftdata.safe.control_chars import html_safe
from sftdata.settings.given_rows import ROWS, WrittenRows
from sftdata.settings.yaml_line import flow

_ADDRESSES = ("path", "tokenizer", "template", "model")  # settings that may hold an address with a password in it
_MAX_ENTRIES, _MAX_CHARS = 4, 60  # of a list, and of a value, in a repr
_MAX_CELL = 300  # characters of a value in a table
_CSS = """
.sfts.sfts.sfts{font-size:13px;line-height:1.5;margin:.3em 0;color:inherit;overflow-x:auto}
.sfts.sfts.sfts table{table-layout:auto;word-break:normal;border-collapse:collapse;margin:.3em 0;color:inherit}
.sfts.sfts.sfts tr,.sfts.sfts.sfts td{background:none;border:0;color:inherit}
.sfts.sfts.sfts td{text-align:left;vertical-align:top;padding:.1em 1.2em .1em 0;
border-bottom:1px solid rgba(128,128,128,.25);overflow-wrap:anywhere}
.sfts.sfts.sfts td:first-child{font-weight:600;min-width:9em;overflow-wrap:break-word}
.sfts.sfts.sfts summary{cursor:pointer;display:block;font-weight:600}
.sfts.sfts.sfts summary::before{content:"\\25b8\\a0"}
.sfts.sfts.sfts [open]>summary::before{content:"\\25be\\a0"}
"""


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


def settings_html(group: BaseModel) -> str:
    """A group of settings for a notebook: those that differ from the defaults as a table, and all others folded."""
    changed = list(_leaves("", changed_settings(group)))
    given = {name for name, _ in changed}
    others = [
        (name, value)
        for name, value in _leaves("", _every(group))
        if not any(one == name or one.startswith(f"{name}.") or name.startswith(f"{one}.") for one in given)
    ]
    title = f"<p><b>{type(group).__name__}</b></p>"
    return f'<style>{_CSS}</style><div class="sfts">{title}{settings_tables(changed, others)}</div>'


def settings_tables(changed: Sequence[tuple[str, Any]], others: Sequence[tuple[str, Any]]) -> str:
    """Settings by their dotted names as two tables, the second one folded, without a stylesheet."""
    shown = _settings_table(changed) if changed else "<p>all settings are the defaults</p>"
    if not others:
        return shown
    return f"{shown}<details><summary>{len(others):,} at their defaults</summary>{_settings_table(others)}</details>"


def _settings_table(settings: Sequence[tuple[str, Any]]) -> str:
    rows = "".join(f"<tr><td>{_name(name)}</td><td>{_cell(_value(name, value))}</td></tr>" for name, value in settings)
    return f"<table><tbody>{rows}</tbody></table>"


def _name(name: str) -> str:
    """The name of a setting, which may break behind its dots."""
    return _cell(name).replace(".", ".<wbr>")


def _cell(text: str) -> str:
    text = text if len(text) <= _MAX_CELL else f"{text[: _MAX_CELL - 1]}\u2026"
    return html_safe(text)


def _value(name: str, value: Any) -> str:
    """A value as a settings file has it; of rows, how many."""
    return rows_in_words(value) if name.rpartition(".")[2] == ROWS and value is not None else flow(value)


def _every(group: BaseModel) -> dict[str, Any]:
    """All settings of a group, as `changed_settings`."""
    found: dict[str, Any] = {}
    for name in type(group).model_fields:
        value = getattr(group, name)
        is_groups = isinstance(value, (list, tuple)) and value and isinstance(value[0], BaseModel)
        if isinstance(value, BaseModel):
            found[name] = _every(value)
        elif is_groups:
            found[name] = [_every(item) for item in value]
        elif name != ROWS or value is not None:
            found[name] = value if name == ROWS else _written(name, value)
    return found


def _leaves(prefix: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Settings by their dotted names; entries of a list of groups by their numbers."""
    name = prefix.rstrip(".")
    if isinstance(value, dict) and value and name.rpartition(".")[2] != ROWS:
        for key, item in value.items():
            yield from _leaves(f"{prefix}{key}.", item)
    elif isinstance(value, list) and value and isinstance(value[0], dict) and name.rpartition(".")[2] != ROWS:
        for at, item in enumerate(value):
            yield from _leaves(f"{prefix}{at}.", item)
    elif name:
        yield name, value


def dotted_settings(settings: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Nested settings by their dotted names: `[("pack.seq_len", 2048), ("sources.0.path", "a.jsonl"), ...]`."""
    return list(_leaves("", dict(settings)))


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
