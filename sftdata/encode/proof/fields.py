"""Invariant 7: every field of a trained turn is visible in its completion.

A template that silently leaves a field out teaches the wrong thing. Text alone can deceive (an answer "a" stands in any
JSON), so the turn is also rendered with a sentinel in each field, once for each shape of turn.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from sftdata.encode.template.jinja import RenderError, Turn
from sftdata.encode.template.probes import MARK, TemplateProbes

CONTENT, REASONING, CALLS = "content", "reasoning_content", "tool_calls"
Render = Callable[[Turn], str]  # the conversation up to a turn, with another turn in its place


def lost_field(turn: Turn, written: str, render: Render, seen: dict[str, bool]) -> str | None:
    """The first field of a turn that its completion `written` does not show, or None.

    `seen` keeps what the sentinels showed, for turns of the same shape.
    """
    for name, value in ((CONTENT, turn.get(CONTENT)), (REASONING, turn.get(REASONING))):
        text = value.strip() if isinstance(value, str) else ""
        if text and (text not in written or not _is_seen(name, turn, render, seen)):
            return name
    for call in turn.get(CALLS) or ():
        if not _shows_call(call["function"], written):
            return CALLS
    if turn.get(CALLS) and not _is_seen(CALLS, turn, render, seen):
        return CALLS
    return None


def _is_seen(name: str, turn: Turn, render: Render, seen: dict[str, bool]) -> bool:
    """Whether the template writes this field of such a turn: every sentinel put into it comes out."""
    if name not in seen:
        marks: list[str] = []

        def mark(text: str) -> str:
            marks.append(MARK.format(f"{name.replace('_', '')}{len(marks)}"))
            return marks[-1]

        changed = dict(turn)
        if name == CALLS:
            changed[CALLS] = [_marked_call(call, mark) for call in turn[CALLS]]
        else:
            changed[name] = mark(turn[name])
        if name == REASONING:
            changed["thinking"] = changed[REASONING]
        try:
            text = render(changed)
        except RenderError:
            return True  # the template checks what the field says; the text itself was found
        seen[name] = all(found in text for found in marks)
    return seen[name]


def _marked_call(call: Mapping[str, Any], mark: Callable[[str], str]) -> dict[str, Any]:
    """A call whose text arguments are sentinels."""
    function = call["function"]
    arguments = function["arguments"]
    if isinstance(arguments, str):
        marked: Any = json.dumps(_marked(json.loads(arguments), mark))
    else:
        marked = _marked(arguments, mark)
    return {**call, "function": {**function, "arguments": marked}}


def _marked(value: Any, mark: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return mark(value)
    if isinstance(value, Mapping):
        return {key: _marked(item, mark) for key, item in value.items()}
    if isinstance(value, list):
        return [_marked(item, mark) for item in value]
    return value


def _shows_call(function: Mapping[str, Any], written: str) -> bool:
    """Whether a call's name and arguments stand in the text: the arguments as given, or all their names and values."""
    arguments = function["arguments"]
    if function["name"] not in written:
        return False
    if isinstance(arguments, str) and arguments.strip() in written:
        return True
    return all(_is_written(leaf, written) for leaf in _leaves(arguments))


def _leaves(value: Any) -> Iterator[Any]:
    """The names and plain values inside tool arguments, given as an object or as JSON text."""
    if isinstance(value, str):
        with contextlib.suppress(ValueError):
            value = json.loads(value)
    stack = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, Mapping):
            yield from item.keys()
            stack.extend(item.values())
        elif isinstance(item, list):
            stack.extend(item)
        elif item is not None:
            yield item


def _is_written(part: object, text: str) -> bool:
    """Whether a value stands in the text, as it is or in one of JSON's spellings."""
    if isinstance(part, str):
        return part in text or json.dumps(part, ensure_ascii=False)[1:-1] in text or json.dumps(part)[1:-1] in text
    return json.dumps(part) in text or str(part) in text


def shape_of(turns: list[Turn], probes: TemplateProbes) -> tuple[object, ...]:
    """What the fate of the last turn's fields may depend on: the roles and which fields every turn has."""
    return (
        json.dumps(probes.kwargs, sort_keys=True, default=str),
        tuple(
            (turn["role"], bool(turn.get(CONTENT)), bool(turn.get(REASONING)), len(turn.get(CALLS) or ()))
            for turn in turns
        ),
    )
