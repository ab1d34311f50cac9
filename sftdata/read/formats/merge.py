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
        joined = _joined(messages[-1], message) if messages else None
        if joined is None:
            messages.append(message)
        else:
            messages[-1] = joined
    return record if len(messages) == len(record.messages) else record.replaced(messages=tuple(messages))


def _joined(first: Message, second: Message) -> Message | None:
    """Two turns as one, or None if they have to stay apart."""
    if first.role != second.role or first.role == "tool" or (first.name, first.train) != (second.name, second.train):
        return None
    if first.tool_calls and (second.content or second.reasoning):
        return None  # templates write the calls of a turn last
    if second.reasoning and first.content:
        return None  # templates write the reasoning of a turn first
    texts = [text for text in (first.content, second.content) if text]
    thoughts = [text for text in (first.reasoning, second.reasoning) if text]
    calls = first.tool_calls + second.tool_calls
    content = "\n\n".join(texts) if texts else (None if calls else first.content)
    reasoning = "\n\n".join(thoughts) if thoughts else None
    return first._replace(content=content, reasoning=reasoning, tool_calls=calls)
