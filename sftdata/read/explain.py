"""A source of which nothing can be used -> one sentence that says what its rows look like and what to do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sftdata.errors import SourceError
from sftdata.read.formats.convert import key_list, to_record
from sftdata.read.formats.structure import check_structure
from sftdata.read.sources import read_raw
from sftdata.read.units import Source, Unit
from sftdata.records.record import Drop

# Where all rows of a source have these, its settings or its format are wrong, not its rows.
NOT_DATA = {"bad_json", "not_an_object", "unknown_shape", "missing_field"}

# What people call the two sides of an exchange, likeliest first.
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
    """The error for a source of which no row became a record. `units` are those of this source; the first row of the
    first unit that has one is read again.
    """
    for unit in units:
        for line, value, drop in read_raw(unit):
            found = drop or to_record(value, format=source.format, columns=source.columns, system=source.system)
            problem = found if isinstance(found, Drop) else check_structure(found)
            if problem is None or problem.reason in ("unknown_shape", "missing_field", "not_an_object"):
                return SourceError(source.path, "none of its rows is a conversation", explain_unknown(value))
            todo = f"the first, {unit.name}:{line}, is {problem.reason} ({problem.detail})"
            if problem.reason == "bad_json" and unit.kind == "jsonl":
                todo += "; if the file is one JSON document, rename it to end in .json"
            return SourceError(source.path, "none of its rows can be used", todo)
    return SourceError(source.path, "holds no rows", "check the path, or take it out of the sources")


def explain_unknown(value: object) -> str:
    """What to do about a row that no format fits: the keys it has, and a mapping that may be meant."""
    if not isinstance(value, dict):
        return 'write every row as an object such as {"messages": [{"role": "user", "content": "..."}, ...]}'
    keys = f"its rows have the keys {key_list(value)}"
    if value and all(isinstance(item, dict) and "0" in item for item in value.values()):
        return f"{keys}, each a whole column; write it row by row (pandas: to_json(orient='records', lines=True))"
    mapping = suggest_mapping(value)
    if mapping == {"text": "text"}:
        return f"{keys}; set format: text to train on the text as it is"
    if mapping:
        return f"{keys}; map them with columns: {{{', '.join(f'{field}: {path}' for field, path in mapping.items())}}}"
    return f"{keys}; map them with columns: {{prompt: KEY, completion: KEY}} or {{messages: KEY}}"


def suggest_mapping(row: Mapping[str, Any]) -> dict[str, str]:
    """Columns that probably hold what training needs, as `columns` takes them; empty where nothing looks like it."""
    paths = dict(_paths(row, "", 0))
    for path, value in paths.items():
        if isinstance(value, list) and value and isinstance(value[0], dict) and _is_dialog(path, value[0]):
            return {"messages": path}
    texts = [path for path, value in paths.items() if isinstance(value, str)]
    answer = _called(texts, _ANSWERS)
    question = _called([path for path in texts if path != answer], _QUESTIONS)
    if answer is None or question is None:
        return {"text": "text"} if "text" in texts else {}
    given = _called([path for path in texts if path not in (answer, question)], ("input", "context"))
    if question == "instruction" and given is not None:
        return {"instruction": question, "input": given, "output": answer}
    return {"prompt": question, "completion": answer}


def _is_dialog(path: str, turn: Mapping[str, Any]) -> bool:
    return path.rpartition(".")[2].lower() in _DIALOGS or bool({"role", "from"} & turn.keys())


def _paths(node: object, path: str, depth: int) -> Iterator[tuple[str, object]]:
    """Every value inside a row under its dotted path, outer ones first; of a list only the first item."""
    if isinstance(node, Mapping):
        inner = [(f"{path}.{key}" if path else str(key), item) for key, item in node.items()]
    else:
        inner = [(f"{path}.0", node[0])] if isinstance(node, list) and node else []
    yield from inner
    if depth < _MAX_DEPTH:
        for name, item in inner:
            yield from _paths(item, name, depth + 1)


def _called(paths: Sequence[str], names: Sequence[str]) -> str | None:
    """The path whose last part is, else contains, the likeliest name."""
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
