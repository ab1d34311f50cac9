"""Python that writes prompts and completions from rows that no setting can read, tried on those rows."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from sftdata.read.formats.convert import RowFormat, convert
from sftdata.read.formats.fields import at_path
from sftdata.read.formats.structure import check_structure
from sftdata.read.readers.delimited import delimiter_of
from sftdata.read.units import Unit
from sftdata.records.record import Drop

_LETTERS = "ABCDEFGHIJ"
_BUILDERS = {"jsonl": "json", "json": "json", "csv": "csv", "tsv": "csv", "parquet": "parquet", "arrow": "arrow"}
_UNLABELLED = (None, "", -1, "-1")  # in place of a number or a letter, in the test splits of benchmarks
_MAX_FILES = 4  # to name
Row = Mapping[str, Any]


class Part(NamedTuple):
    """A value of a row: the Python that takes it from `row`, and the same as a function."""

    code: str
    of: Callable[[Row], Any]


class Snippet(NamedTuple):
    """How rows become prompts and completions."""

    items: str  # a list comprehension over `rows`
    condition: str = ""  # what only the owner of the data knows, as a clause


def column(path: str) -> Part:
    """The value of a column, or at a dotted path."""
    return Part(f"row{''.join(f'[{part!r}]' for part in path.split('.'))}", lambda row: at_path(row, path))


def joined(paths: Sequence[str]) -> Part:
    """The texts of columns, with blank lines between them."""
    parts = [column(path) for path in paths]
    code = ' + "\\n\\n" + '.join(part.code for part in parts)
    return Part(code, lambda row: "\n\n".join(part.of(row) for part in parts))


def of_pick(rows: Sequence[Row], prompt: Part, pick: str, choices: Sequence[str]) -> Snippet | None:
    """The text of the choice that a column picks by a number or a letter; None where it is not certain what it says."""
    picked = [row for row in rows if row.get(pick) not in _UNLABELLED]
    if not all(row.get(name) for row in picked for name in choices):
        return None
    for answer, condition in _answers(picked, pick, choices):
        if picked and all(_works(_value(prompt, row), _value(answer, row)) for row in picked):
            given = f"row[{pick!r}] not in {_UNLABELLED}"
            code = f'[{{"prompt": {prompt.code}, "completion": {answer.code}}} for row in rows if {given}]'
            return Snippet(code, condition)
    return None


def of_items(rows: Sequence[Row], prompt: Part, path: str, key: str | None) -> Snippet | None:
    """One prompt for each text of a list, or for the text under `key` of each of its objects."""
    items, item = column(path), "text" if key is None else f"item[{key!r}]"
    for row in rows:
        values = items.of(row)
        if not isinstance(values, list) or (key is not None and not all(isinstance(one, dict) for one in values)):
            return None
        texts = values if key is None else [one.get(key) for one in values]
        if not all(_works(_value(prompt, row), text) for text in texts):
            return None
    name = "text" if key is None else "item"
    return Snippet(f'[{{"prompt": {prompt.code}, "completion": {item}}} for row in rows for {name} in {items.code}]')


def of_turns(rows: Sequence[Row], path: str) -> Snippet | None:
    """The texts of a list as turns of the user and the assistant by turns; None where they are not such turns."""
    tried = [row.get(path) for row in rows]
    for texts in tried:
        if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
            return None
        turns = [{"role": ("user", "assistant")[at % 2], "content": text} for at, text in enumerate(texts)]
        found = convert({"messages": turns}, RowFormat()).found
        if len(texts) > 1 and (isinstance(found, Drop) or check_structure(found) is not None):
            return None
    texts_of, pair = column(path).code, '{"role": ("user", "assistant")[at % 2], "content": text}'
    turns_of = f"[{pair} for at, text in enumerate({texts_of})]"
    what = "if the first text is the user's and the second the assistant's"
    return Snippet(f'[{{"messages": {turns_of}}} for row in rows if len({texts_of}) > 1]', what)


def of_classes(rows: Sequence[Row], prompt: Part, label: str) -> Snippet | None:
    """The names of classes in place of their numbers; the owner of the data knows them."""
    numbers = [_number(row.get(label)) for row in rows]
    if not numbers or not all(number is not None and 0 <= number < 100 for number in numbers):
        return None
    names = [f"class {number}" for number in range(max(number for number in numbers if number is not None) + 1)]
    if len(names) > 20 or not all(_works(_value(prompt, row), "class") for row in rows):
        return None
    code = f"{json.dumps(names)}[int(row[{label!r}])]"
    what = "with the names of the classes in place of 'class 0' and so on"
    return Snippet(f'[{{"prompt": {prompt.code}, "completion": {code}}} for row in rows]', what)


def as_lines(snippet: Snippet, units: Sequence[Unit]) -> str:
    """Two lines of Python that write a file of JSON lines; an empty string where the files are too many to name."""
    paths = list(dict.fromkeys(unit.path for unit in units))
    kinds = {_BUILDERS.get(unit.kind) for unit in units}
    kind = next(iter(kinds), None)
    if len(paths) > _MAX_FILES or len(kinds) != 1 or kind is None:
        return ""
    files = repr(paths[0]) if len(paths) == 1 else repr(paths)
    mark = delimiter_of(units[0]) if kind == "csv" else ","
    sep = "" if mark == "," else f", sep={mark!r}"
    load = f'import datasets; rows = datasets.load_dataset("{kind}", data_files={files}, split="train"{sep})'
    write = f'datasets.Dataset.from_list({snippet.items}).to_json("converted.jsonl")'
    return f"\n    {load}\n    {write}"


def _answers(rows: Sequence[Row], pick: str, choices: Sequence[str]) -> Iterator[tuple[Part, str]]:
    """The values that the pick may mean, each with what has to be so. None of them is tried."""
    numbers = [_number(row[pick]) for row in rows]
    at, name = f"row[{pick!r}]", choices[0]
    whole = column(name)
    if len(choices) == 1 and all(isinstance(whole.of(row), list) for row in rows):
        if (base := _base(numbers, max((len(whole.of(row)) for row in rows), default=0))) is not None:
            less = f" - {base}" if base else ""
            yield Part(f"{whole.code}[int({at}){less}]", lambda row: _item(whole.of(row), _number(row[pick]), base)), ""
        code = f'{whole.code}["{_LETTERS}".index({at}.strip("(). ").upper())]'
        yield Part(code, lambda row: _item(whole.of(row), _letter(row[pick]), 0)), ""
    if len(choices) == 1 and all(isinstance(whole.of(row), dict) for row in rows):
        for texts, labels in (("text", "label"), ("texts", "labels")):
            code = f"{whole.code}[{texts!r}][{whole.code}[{labels!r}].index({at})]"
            yield Part(code, lambda row, t=texts, n=labels: _labelled(whole.of(row), t, n, row[pick])), ""  # type: ignore[misc]
    if len(choices) > 1:
        yield from _of_columns(rows, pick, choices, numbers)


def _of_columns(
    rows: Sequence[Row], pick: str, choices: Sequence[str], numbers: Sequence[int | None]
) -> Iterator[tuple[Part, str]]:
    """As _answers, where each choice has a column of its own."""
    at, ends = f"row[{pick!r}]", [name[-1].upper() for name in choices]
    own = all(name[-1:].isdecimal() and not name[-2:].isdecimal() for name in choices)
    base = _base(numbers, len(choices))
    if base is not None:
        base_known = "" if own and int(ends[0]) == base else f"if {base} is {choices[0]}"
        less = f" - {base}" if base else ""
        code = f"row[{json.dumps(list(choices), ensure_ascii=False)}[int({at}){less}]]"
        yield Part(code, lambda row: row.get(_item(choices, _number(row[pick]), base))), base_known
    by_end = dict(zip(ends, choices))
    code = f"row[{json.dumps(by_end, ensure_ascii=False)}[{at}.strip('(). ')[-1].upper()]]"
    if len(by_end) == len(choices) and not own:
        yield Part(code, lambda row: row.get(by_end.get(_end(row[pick]), ""))), ""


def _base(numbers: Iterable[int | None], count: int) -> int | None:
    """Whether numbers count from 0 or 1, by the first or the last of them; None where neither is among them."""
    seen = set(numbers)
    if None in seen or not seen or not all(0 <= number <= count for number in seen if number is not None):
        return None
    if 0 in seen:
        return None if count in seen else 0
    return 1 if count in seen else None


def _number(value: object) -> int | None:
    """A whole number, also as text or as a float."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        return int(value) if not isinstance(value, float) or value.is_integer() else None
    except ValueError:
        return None


def _letter(value: object) -> int | None:
    letter = value.strip("(). ").upper() if isinstance(value, str) else ""
    return _LETTERS.index(letter) if len(letter) == 1 and letter in _LETTERS else None


def _end(value: object) -> str:
    return value.strip("(). ")[-1:].upper() if isinstance(value, str) else ""


def _item(items: Sequence[Any], number: int | None, base: int) -> Any:
    return items[number - base] if number is not None and 0 <= number - base < len(items) else None


def _labelled(choices: Mapping[str, Any], texts: str, labels: str, label: object) -> Any:
    known, names = choices.get(texts), choices.get(labels)
    if not isinstance(known, list) or not isinstance(names, list) or label not in names:
        return None
    return _item(known, names.index(label), 0)


def _value(part: Part, row: Row) -> Any:
    """A value of a row; None where the row has not what is needed for it."""
    try:
        return part.of(row)
    except (TypeError, KeyError, IndexError):
        return None


def _works(prompt: object, completion: object) -> bool:
    """Whether a prompt and a completion are a conversation."""
    if not isinstance(prompt, str) or not isinstance(completion, str):
        return False
    found = convert({"prompt": prompt, "completion": completion}, RowFormat()).found
    return not isinstance(found, Drop) and check_structure(found) is None
