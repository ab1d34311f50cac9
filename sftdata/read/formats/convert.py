"""A raw row -> a Record: which format it is in, and what that format's fields mean.

    messages           {"messages": [{"role", "content"}, ...]}          OpenAI's chat form
    sharegpt           {"conversations": [{"from", "value"}, ...]}       and its many aliases
    prompt_completion  {"prompt", "completion"}                          two strings, or two lists of turns
    alpaca             {"instruction", "input", "output"}                the user says instruction, newline, input
    text               {"text"}                                          trained on whole; only when asked for by name

`auto` decides for every row by itself: the first format, in this order, whose leading field holds something.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from sftdata.errors import SourceError
from sftdata.read.formats.turns import RefusedError, parse_if_text, shown, tools_of, turns_of
from sftdata.records.record import Drop, Message, Record

# The names under which each part of a row is looked for, best first. The first of each is the part's own name.
CONVERSATION = ("messages", "conversations", "conversation")
CONVERSATIONS = ("conversations", "conversation", "messages")
PROMPT = ("prompt",)
COMPLETION = ("completion", "response")
INSTRUCTION = ("instruction",)
INPUT = ("input", "context")
OUTPUT = ("output", "response", "completion")
HISTORY = ("history",)
TEXT = ("text",)
SYSTEM = ("system", "system_prompt")
TOOLS = ("tools", "functions")
KWARGS = ("chat_template_kwargs",)
MEDIA = ("image", "images", "audio", "audios", "video", "videos")

_TURN = ("role", "content", "from", "value")
_COMMON = (*SYSTEM, *TOOLS, *KWARGS)
BESIDES = frozenset((*_COMMON, *MEDIA))
_LEADING = {
    "messages": CONVERSATION[:1],
    "sharegpt": CONVERSATIONS[:2],
    "prompt_completion": PROMPT,
    "alpaca": INSTRUCTION,
    "text": TEXT,
}
FIELDS: dict[str, tuple[str, ...]] = {
    "messages": ("messages", *_TURN, *_COMMON),
    "sharegpt": ("conversations", "conversation", *_TURN, *_COMMON),
    "prompt_completion": (*PROMPT, *COMPLETION, *_COMMON),
    "alpaca": (*INSTRUCTION, *INPUT, *OUTPUT, *HISTORY, *_COMMON),
    "text": TEXT,
}
_AUTO = ("messages", "sharegpt", "prompt_completion", "alpaca")
_MEDIA_MARKS = ("<image>", "<audio>", "<video>")


def to_record(value: object, *, format: str, columns: Mapping[str, str], system: str | None) -> Record | Drop:
    """The record of one raw row, or why there is none. Never raises, whatever the row holds.

    `columns` maps a format's field to the column that holds it, as a dotted path where it is nested
    ("instances.0.output"). `system` is put before conversations that have no system prompt of their own.
    """
    if not isinstance(value, dict):
        return Drop("not_an_object", f"the row is {shown(value)}")
    if format == "auto":
        found = detect(value, columns)
        if found is None:
            return Drop("unknown_shape", f"the row's keys are {key_list(value)}")
        format = found
    try:
        return _READERS[format](value, columns, system)
    except RefusedError as refused:
        return refused.drop


def detect(row: Mapping[str, Any], columns: Mapping[str, str] = {}) -> str | None:
    """The format of a row: the first whose leading field holds something, else the first whose leading field is
    there; None for an unknown shape. Where columns are mapped, only formats that know all mapped fields are asked.
    """
    candidates = formats_with(tuple(columns)) if columns else _AUTO
    for format in candidates:
        for name in _LEADING[format]:
            if row.get(name) is not None or (columns and lookup(row, (name,), columns) is not None):
                return format
    for format in candidates:
        if any(name in row or name in columns for name in _LEADING[format]):
            return format
    return candidates[0] if columns and candidates else None


@lru_cache(maxsize=256)
def formats_with(fields: tuple[str, ...]) -> tuple[str, ...]:
    """The formats that know all these fields; `text` only where `text` is among them."""
    known = (*_AUTO, "text") if "text" in fields else _AUTO
    return tuple(format for format in known if all(field in FIELDS[format] for field in fields))


def check_columns(format: str, columns: Mapping[str, str], where: str) -> None:
    """Raise SourceError where a mapping names fields that the format, or any one format, does not have."""
    known = FIELDS[format] if format != "auto" else tuple(dict.fromkeys(sum(FIELDS.values(), ())))
    strange = [field for field in columns if field not in known]
    if strange:
        swapped = [field for field in strange if columns[field] in known]
        example = ", ".join(f"{columns[field]}: {field}" for field in swapped)
        todo = (
            f"write it as field: column, e.g. columns: {{{example}}}"
            if swapped
            else f"the fields are {', '.join(known)}"
        )
        raise SourceError(where, f"columns maps {', '.join(strange)}, which no format calls a field", todo)
    if format == "auto" and columns and not formats_with(tuple(columns)):
        raise SourceError(
            where, f"no format has all of the fields {', '.join(columns)}", "map the fields of one format"
        )


def lookup(row: Mapping[str, Any], names: Sequence[str], columns: Mapping[str, str]) -> Any:
    """What a row holds under the first of the names that holds something; a mapped name before all others."""
    if columns:
        for name in names:
            if name in columns:
                return at_path(row, columns[name])
    for name in names:
        value = row.get(name)
        if value is not None:
            return value
    return None


def at_path(row: Mapping[str, Any], path: str) -> Any:
    """The value of a column, or under a dotted path such as "instances.0.output"; None where there is none."""
    if path in row:
        return row[path]
    node: Any = row
    for part in path.split("."):
        if isinstance(node, dict):
            node = node.get(part)
        elif isinstance(node, list) and part.isdecimal() and len(part) < 10 and int(part) < len(node):
            node = node[int(part)]
        else:
            return None
    return node


def key_list(row: Mapping[Any, Any]) -> str:
    """A row's keys for people, the first twelve of them."""
    keys = [str(key)[:40] if str(key).isprintable() else repr(key)[:40] for key in list(row)[:12]]
    return (", ".join(keys) + (", ..." if len(row) > 12 else "")) or "none"


def _needed(row: Mapping[str, Any], names: Sequence[str], columns: Mapping[str, str]) -> Any:
    """A field that must be there. Raises RefusedError where it is absent or null."""
    value = lookup(row, names, columns)
    if value is None:
        column = next((columns[name] for name in names if name in columns), None)
        called = names[0] if column is None else f"{names[0]} (column {column})"
        raise RefusedError("missing_field", f"{called} is absent or null; the row's keys are {key_list(row)}")
    return value


def _text(value: Any, called: str) -> str:
    if not isinstance(value, str):
        raise RefusedError("wrong_type", f"{called} is {shown(value)}, not text")
    return value


def _from_messages(row: Mapping[str, Any], columns: Mapping[str, str], system: str | None) -> Record:
    return _from_turns(row, CONVERSATION, columns, system)


def _from_sharegpt(row: Mapping[str, Any], columns: Mapping[str, str], system: str | None) -> Record:
    return _from_turns(row, CONVERSATIONS, columns, system)


def _from_turns(row: Mapping[str, Any], names: Sequence[str], columns: Mapping[str, str], system: str | None) -> Record:
    turns = _needed(row, names, columns)
    return _record(
        row,
        turns_of(
            turns, names[0], columns.get("role") or columns.get("from"), columns.get("content") or columns.get("value")
        ),
        columns,
        system,
    )


def _from_prompt_completion(row: Mapping[str, Any], columns: Mapping[str, str], system: str | None) -> Record:
    prompt = _needed(row, PROMPT, columns)
    completion = _needed(row, COMPLETION, columns)
    asked = (Message(role="user", content=prompt),) if isinstance(prompt, str) else turns_of(prompt, "prompt")
    if isinstance(completion, str):
        answered: tuple[Message, ...] = (Message(role="assistant", content=completion),)
    else:
        answered = turns_of(completion, "completion")
    return _record(row, asked + answered, columns, system)


def _from_alpaca(row: Mapping[str, Any], columns: Mapping[str, str], system: str | None) -> Record:
    instruction = _text(_needed(row, INSTRUCTION, columns), "instruction")
    output = _text(_needed(row, OUTPUT, columns), "output")
    given = lookup(row, INPUT, columns)
    if given is not None and _text(given, "input").strip():
        instruction = f"{instruction}\n{given}" if instruction.strip() else given
    messages = (Message(role="user", content=instruction), Message(role="assistant", content=output))
    history = lookup(row, HISTORY, columns)
    return _record(row, _history(history) + messages if history else messages, columns, system)


def _history(value: Any) -> tuple[Message, ...]:
    """Earlier turns: a list of [question, answer] pairs."""
    messages = []
    pairs = parse_if_text(value, "history")
    if not isinstance(pairs, list):
        raise RefusedError("wrong_type", f"history is {shown(pairs)}, not a list of [question, answer] pairs")
    for number, pair in enumerate(pairs, 1):
        if not isinstance(pair, list) or len(pair) != 2 or not all(isinstance(text, str) for text in pair):
            raise RefusedError("wrong_type", f"history {number} is no [question, answer] pair of texts")
        messages += [Message(role="user", content=pair[0]), Message(role="assistant", content=pair[1])]
    return tuple(messages)


def _from_text(row: Mapping[str, Any], columns: Mapping[str, str], system: str | None) -> Record:
    return Record(text=_text(_needed(row, TEXT, columns), "text"))


def _record(
    row: Mapping[str, Any], messages: tuple[Message, ...], columns: Mapping[str, str], system: str | None
) -> Record:
    """A conversation with what the row says about it as a whole: system prompt, tools, template arguments."""
    if not columns and system is None and row.keys().isdisjoint(BESIDES):
        return Record(messages=messages)  # most rows
    own = lookup(row, SYSTEM, columns)
    if own is not None and _text(own, "system").strip():
        system = own
    if system and not any(message.role in ("system", "developer") for message in messages):
        messages = (Message(role="system", content=system), *messages)
    _refuse_media(row, messages)
    tools = lookup(row, TOOLS, columns)
    kwargs = lookup(row, KWARGS, columns)
    if kwargs is not None:
        kwargs = parse_if_text(kwargs, "chat_template_kwargs") or {}
        if not isinstance(kwargs, dict):
            raise RefusedError("wrong_type", f"chat_template_kwargs is {shown(kwargs)}, not an object")
    return Record(messages=messages, tools=tools_of(tools) if tools else (), template_kwargs=kwargs or None)


def _refuse_media(row: Mapping[str, Any], messages: tuple[Message, ...]) -> None:
    """A row that carries media is refused where its text points at them; a stray `image` column is no reason."""
    for name in MEDIA:
        if row.get(name) and any(mark in (message.content or "") for message in messages for mark in _MEDIA_MARKS):
            raise RefusedError("untrainable_content", f"the row's text points at its {name}")


_READERS = {
    "messages": _from_messages,
    "sharegpt": _from_sharegpt,
    "prompt_completion": _from_prompt_completion,
    "alpaca": _from_alpaca,
    "text": _from_text,
}
