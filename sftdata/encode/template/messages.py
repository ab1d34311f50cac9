"""Records as conversations for the chat template: text protected, tool arguments and reasoning in a form it writes."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

from sftdata.encode.options import TrainOn
from sftdata.encode.template.conversation import Conversation
from sftdata.encode.template.jinja import Turn
from sftdata.encode.template.probes import TemplateProbes
from sftdata.encode.template.reasoning import as_fields, texts_in_own_marks
from sftdata.records.record import Message, Record, ToolCall, is_plain
from sftdata.records.tools_as_text import with_pieces


def trained_turns(record: Record, train_on: TrainOn) -> tuple[int, ...]:
    """The 0-based indices of the turns to train on.

    A message's own `train` wins over `train_on`. The first turn answers no prompt and is never trained.
    """
    plain = record.plain
    if plain is not None:
        return _trained(plain.roles, None, train_on)
    roles = tuple([message.role for message in record.messages])
    return _trained(roles, tuple([message.train for message in record.messages]), train_on)


@lru_cache(maxsize=1 << 12)
def _trained(roles: tuple[str, ...], train: tuple[bool | None, ...] | None, train_on: TrainOn) -> tuple[int, ...]:
    answers = [i for i, role in enumerate(roles) if role == "assistant"]
    by_policy = set(answers if train_on == "all" else answers[-1:])
    return tuple([i for i in answers if i > 0 and (i in by_policy if train is None or train[i] is None else train[i])])


def with_arguments(record: Record, probes: TemplateProbes) -> tuple[Record, Counter[str]]:
    """The record with the arguments of its calls in the form that the template gets, and how many calls were in which.

    Objects wherever the template takes them, whatever the row has, as servers parse the text of a request: with the
    same order of keys, and numbers as Python's json reads them, which is what `tojson` prints there. Other templates
    get the row's own text, or the JSON text of an object.
    """
    counts: Counter[str] = Counter()
    if not any(message.tool_calls for message in record.messages):
        return record, counts
    form = probes.argument_forms[bool(record.tools)]
    messages = [
        message._replace(tool_calls=tuple([_in_form(call, form, counts) for call in message.tool_calls]))
        if message.tool_calls
        else message
        for message in record.messages
    ]
    return record.replaced(messages=tuple(messages)), counts


def _in_form(call: ToolCall, form: str | None, counts: Counter[str]) -> ToolCall:
    """The call with its arguments in this form. A text that holds no object stays: reading drops such rows."""
    arguments = call.arguments
    if form == "object" and isinstance(arguments, str):
        try:
            value = json.loads(arguments)
        except (ValueError, RecursionError):
            value = None
        if isinstance(value, dict):
            counts["object from text"] += 1
            return replace(call, arguments=value)
    elif form == "text" and not isinstance(arguments, str):
        counts["text from object"] += 1
        return replace(call, arguments=json.dumps(arguments, ensure_ascii=False))
    counts["text" if isinstance(arguments, str) else "object"] += 1
    return call


def to_chat(record: Record, probes: TemplateProbes, *, protect: bool = True) -> Conversation:
    """The conversation for the template; the arguments of its calls are as `with_arguments` gives them. With
    protect=False, control strings stay as an inference server gets them.
    """
    change: Callable[[str], str] = probes.control.protect if protect else _unchanged
    messages: Sequence[Message] = record.messages
    texts: Mapping[int, str] = {}
    if probes.shows_reasoning:
        messages = as_fields(messages, keep_blank=probes.train_empty_thinking)
    elif probes.thinking.own_marks is not None:
        texts = texts_in_own_marks(messages, probes, change)
    turns = [_turn(message, probes, change) for message in messages]
    for at, text in texts.items():
        turns[at] = {**turns[at], "content": with_pieces(text, messages[at], change)}
    return Conversation(
        messages=turns,
        tools=[map_strings(tool, change) for tool in record.tools] or None,
        kwargs=probes.kwargs if protect else map_strings(probes.kwargs, probes.control.unprotect),
    )


def _unchanged(text: str) -> str:
    return text


def _turn(message: Message, probes: TemplateProbes, change: Callable[[str], str]) -> Turn:
    """A message as a turn of the template's conversation, every string changed."""
    content, reasoning = message.content, message.reasoning
    if message.tool_calls and not content and probes.call_contents:
        if content not in probes.call_contents:
            content = None if content == "" else ""
    elif content is None and not message.tool_calls:
        content = ""
    turn: Turn = {"role": message.role, "content": content if content is None else change(content)}
    if message.pieces:
        turn["content"] = with_pieces(turn["content"] or "", message, change)
    if reasoning is not None:
        # Like transformers, under both names and in this order: templates use one name or the other.
        thought = change(reasoning)
        turn = {"thinking": thought, **turn, "reasoning_content": thought}
        turn.update(dict.fromkeys(probes.thinking.fields[2:], thought))
    if message.tool_calls:
        turn["tool_calls"] = [_call(call, change) for call in message.tool_calls]
    if message.tool_call_id is not None:
        turn["tool_call_id"] = change(message.tool_call_id)
    if message.name is not None:
        turn["name"] = change(message.name)
    return turn


def _call(call: ToolCall, change: Callable[[str], str]) -> dict[str, Any]:
    """A tool call in OpenAI's format, every string changed."""
    head = {} if call.id is None else {"id": change(call.id)}
    return {
        **head,
        "type": "function",
        "function": {"name": change(call.name), "arguments": map_strings(call.arguments, change)},
    }


def map_strings(value: Any, change: Callable[[str], str]) -> Any:
    """A copy of a JSON value with `change` applied to every string, keys included."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, Mapping):
        return {change(key) if isinstance(key, str) else key: map_strings(item, change) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [map_strings(item, change) for item in value]
    return value


def strings_of(record: Record) -> list[str]:
    """Every string of a record that a template may write."""
    found = [text for message in record.messages for text in strings_of_message(message)]
    for tool in record.tools:
        found += strings_in(tool)
    if record.template_kwargs:
        found += strings_in(record.template_kwargs)
    return found


def strings_of_message(message: Message) -> list[str]:
    """Every string of a message that a template may write."""
    found = [message.content] if message.content else []
    if is_plain(message):
        return found
    found += [text for text in (message.reasoning, message.tool_call_id, message.name) if text]
    found += [text for text, is_mark in message.pieces if not is_mark]
    for call in message.tool_calls:
        found.append(call.name)
        found += strings_in(call.arguments)
        if call.id:
            found.append(call.id)
    return found


def strings_in(value: Any) -> list[str]:
    """Every string in a JSON value, keys included."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, Mapping):
        return [text for key, item in value.items() for part in (key, item) for text in strings_in(part)]
    if isinstance(value, (list, tuple)):
        return [text for item in value for text in strings_in(item)]
    return []
