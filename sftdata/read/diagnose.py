"""A source without usable rows -> an error that says what its rows look like and how to fix the settings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sftdata.errors import SourceError
from sftdata.read.formats.convert import key_list, to_record
from sftdata.read.formats.structure import check_structure
from sftdata.read.sources import read_raw
from sftdata.read.units import Source, Unit
from sftdata.records.record import Drop

# If all rows of a source have these reasons, its settings or its format are wrong, not its rows.
NOT_DATA = {"bad_json", "not_an_object", "unknown_shape", "missing_field"}

# Common names of the two sides of a conversation, most likely first.
_QUESTIONS = ("question", "query", "prompt", "instruction", "input", "problem", "user", "source", "title")
_ANSWERS = (
    "answer",
    "response",
    "output",
    "completion",
    "chosen",
    "solution",
    "target",
    "assistant",
    "reply",
    "summary",
)
_DIALOGS = ("dialog", "dialogue", "chat", "turns", "conversation", "thread")
_MAX_DEPTH = 3


def no_rows_error(units: Sequence[Unit], source: Source) -> SourceError:
    """The error for a source none of whose rows became a record. `units` are the units of this source; the first row is
    read again.
    """
    for unit in units:
        for line, value, drop in read_raw(unit):
            found = drop or to_record(value, format=source.format, columns=source.columns, system=source.system)
            problem = found if isinstance(found, Drop) else check_structure(found)
            if problem is None or problem.reason in ("unknown_shape", "missing_field", "not_an_object"):
                return SourceError(source.path, "none of its rows is a conversation", suggest_fix(value))
            todo = f"the first, {unit.name}:{line}, is {problem.reason} ({problem.detail})"
            if problem.reason == "bad_json" and unit.kind == "jsonl":
                todo += "; if the file is one JSON document, rename it to end in .json"
            return SourceError(source.path, "none of its rows can be used", todo)
    return SourceError(source.path, "holds no rows", "check the path, or remove it from the sources")


def suggest_fix(value: object) -> str:
    """What to do about a row that fits no format: its keys, and a mapping of columns that may work."""
    if not isinstance(value, dict):
        return 'write every row as an object such as {"messages": [{"role": "user", "content": "..."}, ...]}'
    keys = f"its rows have the keys {key_list(value)}"
    if value and all(isinstance(item, dict) and "0" in item for item in value.values()):
        return f"{keys}, each a whole column; write one object per row (pandas: to_json(orient='records', lines=True))"
    mapping = suggest_mapping(value)
    if mapping == {"text": "text"}:
        return f"{keys}; set format: text to train on the text as it is"
    if mapping:
        return f"{keys}; map them with columns: {{{', '.join(f'{field}: {path}' for field, path in mapping.items())}}}"
    return f"{keys}; map them with columns: {{prompt: KEY, completion: KEY}} or {{messages: KEY}}"


def suggest_mapping(row: Mapping[str, Any]) -> dict[str, str]:
    """A likely value for the setting `columns`; {"text": "text"} if the row only has a text; empty if there is none."""
    paths = dict(_paths(row, "", 0))
    for path, value in paths.items():
        if isinstance(value, list) and value and isinstance(value[0], dict) and _is_dialog(path, value[0]):
            return {"messages": path}
    texts = [path for path, value in paths.items() if isinstance(value, str)]
    answer = _best_match(texts, _ANSWERS)
    question = _best_match([path for path in texts if path != answer], _QUESTIONS)
    if answer is None or question is None:
        return {"text": "text"} if "text" in texts else {}
    context = _best_match([path for path in texts if path not in (answer, question)], ("input", "context"))
    if question == "instruction" and context is not None:
        return {"instruction": question, "input": context, "output": answer}
    return {"prompt": question, "completion": answer}


def _is_dialog(path: str, turn: Mapping[str, Any]) -> bool:
    return path.rpartition(".")[2].lower() in _DIALOGS or bool({"role", "from"} & turn.keys())


def _paths(node: object, path: str, depth: int) -> Iterator[tuple[str, object]]:
    """Every value in a row with its dotted path, outer ones first; only the first item of a list."""
    if isinstance(node, Mapping):
        inner = [(f"{path}.{key}" if path else str(key), item) for key, item in node.items()]
    else:
        inner = [(f"{path}.0", node[0])] if isinstance(node, list) and node else []
    yield from inner
    if depth < _MAX_DEPTH:
        for name, item in inner:
            yield from _paths(item, name, depth + 1)


def _best_match(paths: Sequence[str], names: Sequence[str]) -> str | None:
    """The path whose last part equals the most likely name, or else contains it."""
    last = {path: path.rpartition(".")[2].lower() for path in paths}
    for name in names:
        for path in paths:
            if last[path] == name:
                return path
    for name in names:
        for path in paths:
            if name in last[path]:
                return path
    return None
