"""What reading changes in turns before an encoder sees them, by rules written by hand: the oracle judges turns as read.

The definition of a mask is about messages, and what a message is, reading says (docs/formats.md): an answer that is
Harmony's form of a text is that text; a reasoning field without a pair or one of the marks around it is the reasoning;
a field that only says how much a model thinks ("none", "yes") has none; and with reasoning in a field, a block of the
text that is empty or says the same is not written again. Any other change is a mistake of reading,
which the oracle then finds.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from sftdata.records.record import Message

_MARKS = r"<\|(?:start|channel|message|constrain|end|call|return)\|>"
_HARMONY = re.compile(
    rf"<\|start\|>assistant<\|channel\|>final<\|message\|>((?:(?!{_MARKS}).)+?)(?:<\|(?:end|call|return)\|>|$)\s*",
    re.DOTALL,
)
_INLINE = re.compile(r"\s*<think>(.*?)</think>(.*)", re.DOTALL)
_SETTINGS = {"yes", "no", "on", "off", "none", "null", "true", "false", "auto", "low", "medium", "high"}


def as_read(messages: list[dict[str, Any]], read: Sequence[Message]) -> list[dict[str, Any]]:
    """The messages of a row, with those changes of reading that the rules allow."""
    if len(messages) != len(read):
        return messages
    return [
        _as_read(message, one) if message["role"] == "assistant" else message for message, one in zip(messages, read)
    ]


def _as_read(message: dict[str, Any], read: Message) -> dict[str, Any]:
    changed = dict(message)
    harmony = _HARMONY.fullmatch(message.get("content") or "")
    if harmony is not None and read.content == harmony.group(1):
        changed["content"] = read.content
    thought = message.get("reasoning_content")
    if isinstance(thought, str) and read.reasoning != thought and (read.reasoning or "") == _thought(thought):
        changed["reasoning_content"] = read.reasoning
    inline = _INLINE.fullmatch(message.get("content") or "")
    is_said = inline is not None and read.reasoning and inline.group(1).strip() in ("", read.reasoning.strip())
    if inline is not None and is_said and read.content == inline.group(2).lstrip():
        changed["content"] = read.content
    return changed


def _thought(text: str) -> str:
    """A reasoning without the marks around it; empty if it only says how much a model thinks."""
    bare = text.strip()
    if bare.lower() in _SETTINGS:
        return ""
    if len(re.findall("</?think>", bare)) == 1 or re.fullmatch(r"<think>((?!</?think>).)*</think>", bare, re.DOTALL):
        return bare.removeprefix("<think>").removesuffix("</think>").strip()
    return text
