"""Control strings in text, most often left-overs of another model's end-of-turn token at the end of scraped answers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sftdata.encode.stats import EncodingStats
from sftdata.encode.template.messages import strings_in, strings_of_message
from sftdata.encode.tokenizer.control import ControlTokens
from sftdata.records.record import Message, Record


def trailing_control(text: str, control: ControlTokens) -> tuple[str, str] | None:
    """The text without a control string that ends it, and that string; None where it ends in none."""
    stripped = text.rstrip()
    return _without_end(stripped, control.find(stripped))


def _without_end(stripped: str, found: Sequence[str]) -> tuple[str, str] | None:
    """The same of a text without white space at its end, in which these control strings were found."""
    if not found or not stripped.endswith(found[-1]):
        return None
    return stripped.removesuffix(found[-1]).rstrip(), found[-1]


def is_answer(message: Message) -> bool:
    """Whether a message is an assistant's."""
    return message.role == "assistant"


def note_control(texts: Iterable[tuple[str, str]], control: ControlTokens, stats: EncodingStats) -> None:
    """Count the control strings in texts of roles, by string and role, and those that end answers which
    `strip_trailing_control` would change.
    """
    for role, text in texts:
        found = control.find(text)
        for string in found:
            stats.hits[string, role] += 1
        if found and role == "assistant":
            _note_end(text, found, control, stats)


def note_control_of_rich(record: Record, control: ControlTokens, stats: EncodingStats) -> None:
    """The same for a record that is more than roles and contents. Tools count as the role `tools`."""
    note_control([(message.role, message.content) for message in record.messages if message.content], control, stats)
    besides = [message._replace(content=None) for message in record.messages]
    others = [(message.role, text) for message in besides for text in strings_of_message(message)]
    others += [("tools", text) for tool in record.tools for text in strings_in(tool)]
    for role, text in others:
        for string in control.find(text):
            stats.hits[string, role] += 1


def _note_end(answer: str, found: Sequence[str], control: ControlTokens, stats: EncodingStats) -> None:
    """Count the control string that ends an answer in which these were found."""
    stripped = answer.rstrip()
    if control.has_blank_ends:  # one of them may take in white space that is not part of the answer any more
        found = control.find(stripped)
    end = _without_end(stripped, found)
    if end is not None and end[0]:
        stats.trailing[end[1]] += 1


def strip_trailing_control(record: Record, control: ControlTokens) -> Record:
    """The record with its answers freed of control strings at their ends. An answer that is nothing else stays."""
    messages = []
    for message in record.messages:
        content = message.content
        while is_answer(message) and content and (found := trailing_control(content, control)) and found[0]:
            content = found[0]
        messages.append(message if content is message.content else message._replace(content=content))
    return record.replaced(messages=tuple(messages))
