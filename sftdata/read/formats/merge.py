"""Consecutive turns of one role -> one turn, where nothing is lost or changed by it."""

from __future__ import annotations

from sftdata.records.record import Message, Record


def merged_turns(record: Record) -> Record:
    """The record with consecutive turns of one role as one, a blank line between their texts.

    Turns stay apart, and are dropped for it, if one calls tools before the other speaks, if only one of them is
    trained, or if their names differ. Results of tools are always turns of their own.
    """
    messages: list[Message] = []
    for message in record.messages:
        if messages and messages[-1].role == message.role != "tool" and why_apart(messages[-1], message) is None:
            messages[-1] = _joined(messages[-1], message)
        else:
            messages.append(message)
    return record if len(messages) == len(record.messages) else record.replaced(messages=tuple(messages))


def why_apart(first: Message, second: Message) -> str | None:
    """Why two turns of one role cannot be one turn; None if they can."""
    if first.name != second.name:
        return "their names differ"
    if first.train != second.train:
        return "their weights (or train) differ"
    if first.tool_calls and (second.content or second.reasoning):
        return "the first calls tools before the second speaks, and templates write the calls of a turn last"
    if second.reasoning and first.content:
        return "the second has reasoning after the first one's text, and templates write the reasoning of a turn first"
    return None


def _joined(first: Message, second: Message) -> Message:
    """Two turns as one."""
    texts = [text for text in (first.content, second.content) if text]
    thoughts = [text for text in (first.reasoning, second.reasoning) if text]
    calls = first.tool_calls + second.tool_calls
    content = "\n\n".join(texts) if texts else (None if calls else first.content)
    reasoning = "\n\n".join(thoughts) if thoughts else None
    return first._replace(content=content, reasoning=reasoning, tool_calls=calls)
