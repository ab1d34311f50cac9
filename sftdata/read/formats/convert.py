"""A raw row -> a Record: which format the row has, and what the fields of that format mean.

    messages           {"messages": [{"role", "content"}, ...]}          OpenAI's chat format
    sharegpt           {"conversations": [{"from", "value"}, ...]}       and its many aliases
    prompt_completion  {"prompt", "completion"}                          two strings, or two lists of turns
    alpaca             {"instruction", "input", "output"}                the prompt is instruction, newline, input
    text               {"text"}                                          trained on whole; only with format: text

`auto` decides for every row: the first format, in this order, whose leading field is not null.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from sftdata.errors import SourceError
from sftdata.read.formats.turns import (
    MEDIA_FIELDS,
    ConversionError,
    describe_value,
    parse_if_text,
    parse_tools,
    parse_turns,
)
from sftdata.records.record import Drop, Message, Record

# The field names of each part of a row, in order of priority. The first one names the part in messages.
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

_TURN = ("role", "content", "from", "value")
_COMMON = (*SYSTEM, *TOOLS, *KWARGS)
EXTRA_FIELDS = frozenset((*_COMMON, *MEDIA_FIELDS))  # a row with one of these is more than its turns
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

    `columns` maps a field of the format to the column that holds it, as a dotted path if it is nested
    ("instances.0.output"). `system` is the system prompt for conversations that have none.
    """
    if not isinstance(value, dict):
        return Drop("not_an_object", f"the row is {describe_value(value)}")
    if format == "auto":
        found = detect_format(value, columns)
        if found is None:
            return Drop("unknown_shape", f"the row's keys are {key_list(value)}")
        format = found
    try:
        return _READERS[format](value, columns, system)
    except ConversionError as error:
        return error.drop


def detect_format(row: Mapping[str, Any], columns: Mapping[str, str] = {}) -> str | None:
    """The format of a row: the first whose leading field is not null, or else the first whose leading field exists;
    None if no format fits. If columns are mapped, only formats that have all mapped fields are considered.
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
    """The formats that have all these fields; `text` only if the field `text` is among them."""
    known = (*_AUTO, "text") if "text" in fields else _AUTO
    return tuple(format for format in known if all(field in FIELDS[format] for field in fields))


def check_columns(format: str, columns: Mapping[str, str], where: str) -> None:
    """Raise SourceError if the mapped fields are not fields of the format, or for `auto`, of one format."""
    known = FIELDS[format] if format != "auto" else tuple(dict.fromkeys(sum(FIELDS.values(), ())))
    unknown = [field for field in columns if field not in known]
    if unknown:
        swapped = [field for field in unknown if columns[field] in known]
        example = ", ".join(f"{columns[field]}: {field}" for field in swapped)
        todo = (
            f"write it as field: column, e.g. columns: {{{example}}}"
            if swapped
            else f"the fields are {', '.join(known)}"
        )
        lacking = "no format has such a field" if format == "auto" else f"the format {format} has no such field"
        raise SourceError(where, f"columns maps {', '.join(unknown)}, but {lacking}", todo)
    if format == "auto" and columns and not formats_with(tuple(columns)):
        raise SourceError(
            where, f"no format has all of the fields {', '.join(columns)}", "map the fields of one format"
        )


def lookup(row: Mapping[str, Any], names: Sequence[str], columns: Mapping[str, str]) -> Any:
    """The value of the first of these names that is not null; a mapped name has priority over all others."""
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
    """The value of a column, or at a dotted path such as "instances.0.output"; None if there is none."""
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
    """The first twelve keys of a row, for messages."""
    keys = [str(key)[:40] if str(key).isprintable() else repr(key)[:40] for key in list(row)[:12]]
    return (", ".join(keys) + (", ..." if len(row) > 12 else "")) or "none"


def _required(row: Mapping[str, Any], names: Sequence[str], columns: Mapping[str, str]) -> Any:
    """The value of a required field. Raises ConversionError if it is absent or null."""
    value = lookup(row, names, columns)
    if value is None:
        column = next((columns[name] for name in names if name in columns), None)
        label = names[0] if column is None else f"{names[0]} (column {column})"
        raise ConversionError("missing_field", f"{label} is absent or null; the row's keys are {key_list(row)}")
    return value


def _text(value: Any, label: str) -> str:
    if not isinstance(value, str):
        raise ConversionError("wrong_type", f"{label} is {describe_value(value)}, not text")
    return value


def _from_messages(row: Mapping[str, Any], columns: Mapping[str, str], system: str | None) -> Record:
    return _from_turns(row, CONVERSATION, columns, system)


def _from_sharegpt(row: Mapping[str, Any], columns: Mapping[str, str], system: str | None) -> Record:
    return _from_turns(row, CONVERSATIONS, columns, system)


def _from_turns(row: Mapping[str, Any], names: Sequence[str], columns: Mapping[str, str], system: str | None) -> Record:
    turns = _required(row, names, columns)
    return _record(
        row,
        parse_turns(
            turns, names[0], columns.get("role") or columns.get("from"), columns.get("content") or columns.get("value")
        ),
        columns,
        system,
    )


def _from_prompt_completion(row: Mapping[str, Any], columns: Mapping[str, str], system: str | None) -> Record:
    prompt = _required(row, PROMPT, columns)
    completion = _required(row, COMPLETION, columns)
    questions = (Message(role="user", content=prompt),) if isinstance(prompt, str) else parse_turns(prompt, "prompt")
    if isinstance(completion, str):
        answers: tuple[Message, ...] = (Message(role="assistant", content=completion),)
    else:
        answers = parse_turns(completion, "completion")
    return _record(row, questions + answers, columns, system)


def _from_alpaca(row: Mapping[str, Any], columns: Mapping[str, str], system: str | None) -> Record:
    instruction = _text(_required(row, INSTRUCTION, columns), "instruction")
    output = _text(_required(row, OUTPUT, columns), "output")
    context = lookup(row, INPUT, columns)
    if context is not None and _text(context, "input").strip():
        instruction = f"{instruction}\n{context}" if instruction.strip() else context
    messages = (Message(role="user", content=instruction), Message(role="assistant", content=output))
    history = lookup(row, HISTORY, columns)
    return _record(row, _history(history) + messages if history else messages, columns, system)


def _history(value: Any) -> tuple[Message, ...]:
    """Earlier turns: a list of [question, answer] pairs."""
    messages = []
    pairs = parse_if_text(value, "history")
    if not isinstance(pairs, list):
        raise ConversionError(
            "wrong_type", f"history is {describe_value(pairs)}, not a list of [question, answer] pairs"
        )
    for number, pair in enumerate(pairs, 1):
        if not isinstance(pair, list) or len(pair) != 2 or not all(isinstance(text, str) for text in pair):
            raise ConversionError("wrong_type", f"history {number} is no [question, answer] pair of texts")
        messages += [Message(role="user", content=pair[0]), Message(role="assistant", content=pair[1])]
    return tuple(messages)


def _from_text(row: Mapping[str, Any], columns: Mapping[str, str], system: str | None) -> Record:
    return Record(text=_text(_required(row, TEXT, columns), "text"))


def _record(
    row: Mapping[str, Any], messages: tuple[Message, ...], columns: Mapping[str, str], system: str | None
) -> Record:
    """The record of a conversation, with the row's system prompt, tools and template arguments."""
    if not columns and system is None and row.keys().isdisjoint(EXTRA_FIELDS):
        return Record(messages=messages)  # most rows
    own = lookup(row, SYSTEM, columns)
    if own is not None and _text(own, "system").strip():
        system = own
    if system and not any(message.role in ("system", "developer") for message in messages):
        messages = (Message(role="system", content=system), *messages)
    _reject_media(row, messages)
    tools = lookup(row, TOOLS, columns)
    kwargs = lookup(row, KWARGS, columns)
    if kwargs is not None:
        kwargs = parse_if_text(kwargs, "chat_template_kwargs") or {}
        if not isinstance(kwargs, dict):
            raise ConversionError("wrong_type", f"chat_template_kwargs is {describe_value(kwargs)}, not an object")
    return Record(messages=messages, tools=parse_tools(tools) if tools else (), template_kwargs=kwargs or None)


def _reject_media(row: Mapping[str, Any], messages: tuple[Message, ...]) -> None:
    """Raise ConversionError if the row has media and its text refers to them; an unused `image` column is allowed."""
    for name in MEDIA_FIELDS:
        if row.get(name) and any(mark in (message.content or "") for message in messages for mark in _MEDIA_MARKS):
            raise ConversionError("untrainable_content", f"the row's text points at its {name}")


_READERS = {
    "messages": _from_messages,
    "sharegpt": _from_sharegpt,
    "prompt_completion": _from_prompt_completion,
    "alpaca": _from_alpaca,
    "text": _from_text,
}
