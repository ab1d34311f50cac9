"""Checks that every field of a trained turn appears in its completion.

A template that silently leaves out a field would teach the wrong thing. Searching for the field's own text is not
enough: an answer "a" appears in any JSON. So the turn is also rendered with a sentinel in each field, once per shape.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from sftdata.encode.template.jinja import RenderError, Turn
from sftdata.encode.template.probes import SENTINEL, TemplateProbes

CONTENT, REASONING, CALLS = "content", "reasoning_content", "tool_calls"
Render = Callable[[Turn], str]  # renders the conversation up to a turn, with that turn replaced


def lost_field(turn: Turn, completion: str, render: Render, shown: dict[str, bool]) -> str | None:
    """The first field of a turn that does not appear in its completion, or None.

    `shown` caches by field whether sentinels appeared, for turns of the same shape.
    """
    for name, value in ((CONTENT, turn.get(CONTENT)), (REASONING, turn.get(REASONING))):
        text = value.strip() if isinstance(value, str) else ""
        if text and (text not in completion or not _is_shown(name, turn, render, shown)):
            return name
    for call in turn.get(CALLS) or ():
        if not has_call(completion, call["function"]):
            return CALLS
    if turn.get(CALLS) and not _is_shown(CALLS, turn, render, shown):
        return CALLS
    return None


def _is_shown(name: str, turn: Turn, render: Render, shown: dict[str, bool]) -> bool:
    """Whether the template writes this field of such a turn: every sentinel put into it appears in the rendering."""
    if name not in shown:
        sentinels: list[str] = []

        def replace(text: str) -> str:
            sentinels.append(SENTINEL.format(f"{name.replace('_', '')}{len(sentinels)}"))
            return sentinels[-1]

        changed = dict(turn)
        if name == CALLS:
            changed[CALLS] = [_replace_in_call(call, replace) for call in turn[CALLS]]
        else:
            changed[name] = replace(turn[name])
        if name == REASONING:
            changed.update(dict.fromkeys(("thinking", "reasoning") & turn.keys(), changed[REASONING]))
        try:
            text = render(changed)
        except RenderError:
            return True  # the template requires certain values; the field's own text was found in the completion
        shown[name] = all(sentinel in text for sentinel in sentinels)
    return shown[name]


def _replace_in_call(call: Mapping[str, Any], replace: Callable[[str], str]) -> dict[str, Any]:
    """A copy of a tool call with every string value in its arguments replaced."""
    function = call["function"]
    arguments = function["arguments"]
    if isinstance(arguments, str):
        changed: Any = json.dumps(_replace_values(json.loads(arguments), replace))
    else:
        changed = _replace_values(arguments, replace)
    return {**call, "function": {**function, "arguments": changed}}


def _replace_values(value: Any, replace: Callable[[str], str]) -> Any:
    """A copy of a JSON value with every string replaced, except keys."""
    if isinstance(value, str):
        return replace(value)
    if isinstance(value, Mapping):
        return {key: _replace_values(item, replace) for key, item in value.items()}
    if isinstance(value, list):
        return [_replace_values(item, replace) for item in value]
    return value


def has_call(text: str, function: Mapping[str, Any]) -> bool:
    """Whether a tool call appears in a text: its name, and its arguments as given or each of their keys and values."""
    arguments = function["arguments"]
    if function["name"] not in text:
        return False
    if isinstance(arguments, str) and arguments.strip() in text:
        return True
    return all(has_value(text, value) for value in _keys_and_values(arguments))


def _keys_and_values(value: Any) -> Iterator[Any]:
    """The keys and the plain values in tool arguments, given as an object or as JSON text. Null is left out."""
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


def has_value(text: str, value: object) -> bool:
    """Whether a value appears in a text: as it is, as JSON, with or without ASCII escapes, or as in Python lists."""
    if isinstance(value, str):
        if value in text:
            return True
        written = (json.dumps(value, ensure_ascii=False), json.dumps(value), repr(value))
        return any(form[1:-1] in text for form in written)
    return json.dumps(value) in text or str(value) in text


def shape_of(turns: list[Turn], probes: TemplateProbes) -> tuple[object, ...]:
    """What may decide which fields of the last turn are written: the roles, and which fields each turn has."""
    return (
        json.dumps(probes.kwargs, sort_keys=True, default=str),
        tuple(
            (turn["role"], bool(turn.get(CONTENT)), bool(turn.get(REASONING)), len(turn.get(CALLS) or ()))
            for turn in turns
        ),
    )
