"""Control strings at the end of answers: left-overs of another model's end-of-turn token in scraped data."""

from __future__ import annotations

from sftdata.encode.control import ControlTokens
from sftdata.records import Message, Record


def trailing_control(text: str, control: ControlTokens) -> tuple[str, str] | None:
    """The text without a control string that ends it, and that string; None where it ends in none."""
    stripped = text.rstrip()
    if not stripped.endswith(control.literals):
        return None
    found = control.find(stripped)
    if not found or not stripped.endswith(found[-1]):
        return None
    return stripped.removesuffix(found[-1]).rstrip(), found[-1]


def is_answer(message: Message) -> bool:
    """Whether a message is an assistant's."""
    return message.role == "assistant"


def endings(record: Record, control: ControlTokens) -> list[str]:
    """The control string that ends each answer which `strip_trailing_control` would change."""
    if record.plain is not None:
        answers = [content for role, content in zip(*record.plain) if role == "assistant"]
    else:
        answers = [message.content or "" for message in record.messages if is_answer(message)]
    found = [trailing_control(answer, control) for answer in answers]
    return [end[1] for end in found if end is not None and end[0]]


def strip_trailing_control(record: Record, control: ControlTokens) -> Record:
    """The record with its answers freed of control strings at their ends. An answer that is nothing else stays."""
    messages = []
    for message in record.messages:
        content = message.content
        while is_answer(message) and content and (found := trailing_control(content, control)) and found[0]:
            content = found[0]
        messages.append(message if content is message.content else message._replace(content=content))
    return record.replaced(messages=tuple(messages))
