"""Control strings in message text, most often another model's end-of-turn token at the end of scraped answers.

A control string is the text of a control token (see tokenizer/control.py). In message text it stays plain text.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sftdata.encode.stats import EncodingStats
from sftdata.encode.template.messages import strings_in, strings_of_message
from sftdata.encode.tokenizer.control import ControlTokens
from sftdata.records.record import Record


def split_trailing_control(text: str, control: ControlTokens) -> tuple[str, str] | None:
    """The text without the control string at its end, and that string; None if it does not end with one."""
    stripped = text.rstrip()
    return _split_end(stripped, control.find(stripped))


def _split_end(stripped: str, found: Sequence[str]) -> tuple[str, str] | None:
    """The same for a text without trailing white space, given the control strings in it."""
    if not found or not stripped.endswith(found[-1]):
        return None
    return stripped.removesuffix(found[-1]).rstrip(), found[-1]


def count_control_strings(texts: Iterable[tuple[str, str]], control: ControlTokens, stats: EncodingStats) -> None:
    """Count the control strings in (role, text) pairs by string and role, and those at the end of answers.

    The latter are what `strip_trailing_control` would remove.
    """
    for role, text in texts:
        found = control.find(text)
        for string in found:
            stats.control_strings[string, role] += 1
        if found and role == "assistant":
            _count_end(text, found, control, stats)


def count_control_strings_of(record: Record, control: ControlTokens, stats: EncodingStats) -> None:
    """The same for a record that has more than roles and contents. Tools count as the role `tools`."""
    count_control_strings(
        [(message.role, message.content) for message in record.messages if message.content], control, stats
    )
    without_content = [message._replace(content=None) for message in record.messages]
    others = [(message.role, text) for message in without_content for text in strings_of_message(message)]
    others += [("tools", text) for tool in record.tools for text in strings_in(tool)]
    for role, text in others:
        for string in control.find(text):
            stats.control_strings[string, role] += 1


def _count_end(answer: str, found: Sequence[str], control: ControlTokens, stats: EncodingStats) -> None:
    """Count the control string at the end of an answer, given all control strings in it."""
    stripped = answer.rstrip()
    if control.may_end_in_space:  # a control string may have matched white space that is now stripped
        found = control.find(stripped)
    end = _split_end(stripped, found)
    if end is not None and end[0]:
        stats.trailing_control[end[1]] += 1


def strip_trailing_control(record: Record, control: ControlTokens) -> Record:
    """The record without control strings at the end of its answers. An answer that has nothing else is kept."""
    messages = []
    for message in record.messages:
        content = message.content
        if message.role == "assistant":
            while content and (split := split_trailing_control(content, control)) and split[0]:
                content = split[0]
        messages.append(message if content is message.content else message._replace(content=content))
    return record.replaced(messages=tuple(messages))
