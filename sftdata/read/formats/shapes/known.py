"""The formats of rows: the names of their fields, and which format a row has.

`auto` decides for every row: the first format whose leading field holds something.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from sftdata.errors import SourceError
from sftdata.read.formats.fields import lookup
from sftdata.read.formats.roles import normalized
from sftdata.read.formats.values import is_empty
from sftdata.settings.yaml_line import flow

# The field names of each part of a row, in order of priority. The first one names the part in messages.
CONVERSATION = ("messages", "conversations", "conversation")
CONVERSATIONS = ("conversations", "conversation", "messages")
PROMPT = ("prompt",)
COMPLETION = ("completion", "response")
INSTRUCTION = ("instruction",)
INPUT = ("input", "context")
OUTPUT = ("output", "response", "completion")
HISTORY = ("history",)
QUERY = ("query",)
ANSWERS = ("answers",)
TEXT = ("text",)
SYSTEM = ("system", "system_prompt")
TOOLS = ("tools", "functions")
KWARGS = ("chat_template_kwargs",)

_TURN = ("role", "content", "from", "value", "reasoning")
_COMMON = (*SYSTEM, *TOOLS, *KWARGS)
_ANSWER = "reasoning"  # a column of reasoning belongs to the answer beside it
EXTRA_FIELDS = frozenset(_COMMON)  # a row with one of these is more than its turns
_LEADING = {
    "messages": CONVERSATION[:1],
    "sharegpt": CONVERSATIONS[:2],
    "prompt_completion": PROMPT,
    "xlam": QUERY,
    "alpaca": INSTRUCTION,
    "rendered": TEXT,
    "text": TEXT,
}
FIELDS: dict[str, tuple[str, ...]] = {
    "messages": ("messages", *_TURN, *_COMMON),
    "sharegpt": ("conversations", "conversation", *_TURN, *_COMMON),
    "prompt_completion": (*PROMPT, *COMPLETION, _ANSWER, *_COMMON),
    "xlam": (*QUERY, *ANSWERS, _ANSWER, *_COMMON),
    "alpaca": (*INSTRUCTION, *INPUT, *OUTPUT, *HISTORY, _ANSWER, *_COMMON),
    "rendered": (*TEXT, *PROMPT, *COMPLETION, *_COMMON),
    "text": TEXT,
}
_NAMES = frozenset(name for names in FIELDS.values() for name in names if name not in _TURN)
_AUTO = ("messages", "sharegpt", "prompt_completion", "xlam", "alpaca")


def detect_format(row: Mapping[str, Any], columns: Mapping[str, str] = {}) -> str | None:
    """The format of a row: the first whose leading field holds something, or else is not null, or else exists; None if
    no format fits. If columns are mapped, only formats that have all mapped fields are considered.
    """
    return format_of(with_plain_names(row, columns), columns)


def format_of(row: Mapping[str, Any], columns: Mapping[str, str] = {}) -> str | None:
    """The format of a row whose fields have their plain names: see detect_format."""
    candidates = formats_with(tuple(columns)) if columns else _AUTO
    if lookup(row, ANSWERS, columns) is None:  # the names of xLAM's columns are those of other data too
        candidates = tuple(format for format in candidates if format != "xlam")
    for absent in (is_empty, lambda value: value is None):
        for format in candidates:
            for name in _LEADING[format]:
                if not absent(row.get(name)) or (columns and not absent(lookup(row, (name,), columns))):
                    return format
    for format in candidates:
        if any(name in row or name in columns for name in _LEADING[format]):
            return format
    return candidates[0] if columns and candidates else None


def with_plain_names(row: Mapping[str, Any], columns: Mapping[str, str] = {}) -> Mapping[str, Any]:
    """The row with its fields under the names that formats have: "Messages" and " System Prompt" as `messages` and
    `system_prompt`. A row that has the plain name too, and columns that a source maps, stay as they are.
    """
    names = plain_names(tuple(row), tuple(columns.values()) if columns else ())
    return {names.get(name, name): value for name, value in row.items()} if names else row


@lru_cache(maxsize=1 << 12)
def plain_names(names: tuple[object, ...], mapped: tuple[str, ...] = ()) -> Mapping[str, str]:
    """The columns that are fields of a format in another case, or with spaces or hyphens, and the names of these."""
    own = {path.split(".")[0] for path in mapped}
    plain: dict[str, list[str]] = {}
    for name in names:
        if isinstance(name, str) and name not in _NAMES and name not in own and normalized(name) in _NAMES:
            plain.setdefault(normalized(name), []).append(name)
    return {found[0]: field for field, found in plain.items() if len(found) == 1 and field not in names}


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
        pairs = [(column, field) if field in swapped else (field, column) for field, column in columns.items()]
        turned = {field: column for field, column in pairs if field in known}
        hint = (
            f"write it as field: column, e.g. columns: {flow(turned)}"
            if swapped and (format != "auto" or formats_with(tuple(turned)))
            else f"the fields are {', '.join(known)}"
        )
        lacking = "no format has such a field" if format == "auto" else f"the format {format} has no such field"
        raise SourceError(where, f"columns maps {', '.join(unknown)}, but {lacking}", hint)
    if format == "auto" and columns and not formats_with(tuple(columns)):
        raise SourceError(
            where, f"no format has all of the fields {', '.join(columns)}", "map the fields of one format"
        )
