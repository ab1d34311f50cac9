"""What a model thought before it answered, under the names and in the forms that data gives it -> one text."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from sftdata.read.formats.roles import normalized
from sftdata.read.formats.values import ConversionError, describe_value, is_given, parse_python
from sftdata.read.readers.parse_json import parse_text
from sftdata.records.reasoning_marks import split_reasoning
from sftdata.records.record import Message

# In order of priority; the order decides only which name a message quotes.
REASONING = (
    "reasoning_content",
    "reasoning",
    "thinking",
    "thought",
    "thoughts",
    "reasoning_details",
    "reasoning_text",
    "reasoning_trace",
    "thinking_blocks",
    "thinking_content",
    "chain_of_thought",
    "chain_of_thoughts",
    "complex_cot",
    "cot",
    "think",
    "rationale",
)
# Values of such fields that say how much a model thinks, and are no thoughts.
_FLAGS = {
    "on",
    "off",
    "true",
    "false",
    "yes",
    "no",
    "none",
    "null",
    "auto",
    "low",
    "medium",
    "high",
    "minimal",
    "xhigh",
}
# The keys of such a value that is an object, in requests to OpenAI, OpenRouter and Anthropic.
_SETTINGS = {"effort", "summary", "generate_summary", "max_tokens", "enabled", "exclude", "budget_tokens", "type"}
_TEXTS = ("thinking", "text", "reasoning", "content", "summary", "thought", "thoughts")  # where a part has its text
_ABOUT = {
    "type",
    "id",
    "index",
    "format",
    "signature",
    "status",
    "tokens",
    "num_tokens",
    "duration",
    "encrypted_content",
}
PARTS = ("thinking", "reasoning", "reasoning_text", "reasoning.text", "reasoning.summary", "summary_text", "thought")
_ENCRYPTED = ("reasoning.encrypted", "redacted_thinking", "encrypted", "reasoning.redacted")
_WRAPPED = re.compile(r"(?is)\s*<(think|thinking|thought|reasoning)>(.*)</\1>\s*")
_OPEN, _CLOSE = "<think>", "</think>"


@lru_cache(maxsize=1 << 12)
def is_reasoning_name(name: str) -> bool:
    """Whether a column, or a key of a turn, has one of the names of reasoning."""
    return normalized(name) in REASONING


def find_reasoning(fields: Mapping[str, Any], own: str | None = None) -> tuple[str | None, list[str]]:
    """The reasoning among the fields of a turn or row, and the names of the fields that it was read from.

    `own` is the name that a source has set, which then counts alone. Raises ConversionError: conflicting_fields if two
    fields say different things, and as `reasoning_text`.
    """
    names = [own] if own is not None else [name for name in fields if is_reasoning_name(name)]
    found: str | None = None
    used: list[str] = []
    for name in names:
        text = reasoning_text(fields.get(name), name)
        if text is None:
            continue
        if not text:  # marks around nothing
            used.append(name)
            continue
        if found is not None and _bare(text) != _bare(found):
            raise ConversionError("conflicting_fields", f"its {used[0]} and its {name} say different things")
        found = text if found is None else found
        used.append(name)
    return found, used


def reasoning_text(value: Any, label: str) -> str | None:
    """The text of a field of reasoning; None if it is empty, or says how much is thought and not what.

    It may be a text, a list of texts (steps, one a line), or a list of parts as OpenRouter and Anthropic give it. Marks
    around the whole, as in <think>...</think>, are not part of it: templates write their own.
    Raises ConversionError: untrainable_content for encrypted reasoning, wrong_type for anything else.
    """
    if not is_given(value) or isinstance(value, (bool, int, float)):
        return None
    if isinstance(value, str):
        if value.strip().lower() in _FLAGS:
            return None
        parts = _parts_in(value) if value.startswith(("{", "[")) else None
        return unwrapped(value) if parts is None else reasoning_text(parts, label)
    if isinstance(value, Mapping) and value.keys() <= _SETTINGS and all(str(item).isalnum() for item in value.values()):
        return None
    if is_part(value):
        return unwrapped(part_text(value, label))
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return unwrapped("\n".join(value))
    if isinstance(value, list) and all(isinstance(item, Mapping) for item in value):
        return unwrapped("".join(part_text(item, label) for item in value))
    raise ConversionError("wrong_type", f"its {label} is {describe_value(value)}, not text")


def is_part(value: object) -> bool:
    """Whether an object is one part of reasoning: a text under one of the usual names, and no other text."""
    given = [value[name] for name in _TEXTS if is_given(value.get(name))] if isinstance(value, Mapping) else []
    if not isinstance(value, Mapping) or not given or not all(isinstance(item, (str, list)) for item in given):
        return False
    return not any(is_given(item) for key, item in value.items() if key not in _TEXTS and key not in _ABOUT)


def _parts_in(text: str) -> Any:
    """The part, or the list of parts or of texts, that a text holds as JSON or Python, as CSV does; None for others."""
    found: Any
    try:
        found = parse_text(text)
    except ValueError:
        found = parse_python(text)
    is_list = isinstance(found, list) and bool(found)
    if is_part(found) or (is_list and (all(map(is_part, found)) or all(isinstance(item, str) for item in found))):
        return found
    return None


def unwrapped(text: str) -> str:
    """A reasoning without the pair of marks around it, and then without outer white space; any other text unchanged.

    One mark of <think> at its place counts too: some templates and servers write the other one.
    """
    while (found := _WRAPPED.fullmatch(text)) is not None:
        inner = found.group(2)
        opening, closing = inner.find(f"<{found.group(1)}>"), inner.find(f"</{found.group(1)}>")
        if closing >= 0 and not 0 <= opening < closing:
            return text  # two blocks in a row
        text = inner.strip()
    other = split_reasoning(text)
    if other is not None and other.is_of_model and not other.flaw and not other.answer.strip():
        return other.reasoning.strip()
    bare = text.strip()
    if bare.count(_OPEN) + bare.count(_CLOSE) == 1 and (bare.startswith(_OPEN) or bare.endswith(_CLOSE)):
        return bare.removeprefix(_OPEN).removesuffix(_CLOSE).strip()
    return text


def part_text(part: Mapping[str, Any], label: str) -> str:
    """The text of one part of reasoning. Raises ConversionError as `reasoning_text`."""
    kind = str(part.get("type", ""))[:40]
    if kind in _ENCRYPTED or is_given(part.get("encrypted_content")):
        raise ConversionError("untrainable_content", f"its {label} is encrypted (a part of type {kind!r})")
    for name in _TEXTS:
        value = part.get(name)
        if isinstance(value, str):
            return value
        if isinstance(value, list) and value and all(isinstance(item, Mapping) for item in value):
            return "".join(part_text(item, label) for item in value)
    raise ConversionError("wrong_type", f"its {label} has a part without text (type {kind!r})")


def without_inline(content: str, reasoning: str) -> str:
    """An answer without the <think>...</think> at its beginning, whose reasoning a field gives too.

    Raises ConversionError if the two say different things; an empty block says nothing, and other reasoning in marks
    that are no model's (<reasoning>) is part of the answer.
    """
    inline = split_reasoning(content)
    if inline is None or inline.flaw:
        return content
    if inline.reasoning.strip() and _bare(inline.reasoning) != _bare(reasoning):
        if not inline.is_of_model:
            return content
        raise ConversionError("conflicting_fields", f"the {inline.mark} block of its text and its reasoning differ")
    return inline.answer.lstrip()


def answers_with(messages: tuple[Message, ...], text: str, column: str, *, is_kept: bool) -> tuple[Message, ...] | None:
    """The turns with the reasoning of a column beside them, which belongs to the one answer among them.

    Of several answers, one may say it too; None if they all have reasoning of their own, or there is no answer. Raises
    ConversionError: conflicting_fields if the one answer has other reasoning, or if any of several answers has none,
    unless the source keeps the column (`is_kept`): a template would train that it does not think.
    """
    turns = [at for at, message in enumerate(messages) if message.role == "assistant"]
    if len(turns) == 1:
        answer = messages[turns[0]]
        if answer.reasoning is not None and _bare(answer.reasoning) != _bare(text):
            raise ConversionError("conflicting_fields", f"the reasoning of the turn and the column {column} differ")
        content = without_inline(answer.content, text) if answer.content else answer.content
        return (*messages[: turns[0]], answer._replace(content=content, reasoning=text), *messages[turns[0] + 1 :])
    own = list(_thoughts(messages))
    if _bare(text) in own:
        return messages
    if not all(own) and not is_kept:
        raise ConversionError(
            "conflicting_fields",
            f"its column {column[:60]!r} holds reasoning, but which of its {len(turns)} answers it belongs to is not "
            "known; move it into that turn, or name the column in keep to train without it",
        )
    return None


def _thoughts(messages: tuple[Message, ...]) -> Iterator[str]:
    """The reasoning of each answer, in its field or its text; empty if it has none."""
    for message in messages:
        if message.role == "assistant":
            inline = split_reasoning(message.content or "")
            yield _bare(message.reasoning or (inline.reasoning if inline else ""))


def _bare(text: str) -> str:
    """A reasoning without outer white space and marks."""
    return unwrapped(text).strip().removeprefix("<think>").removesuffix("</think>").strip()
