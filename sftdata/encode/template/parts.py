"""Contents as lists of parts, for templates that take them in no other form (those of models that see pictures).

{"role": "user", "content": "hi"}    ->    {"role": "user", "content": [{"type": "text", "text": "hi"}]}
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

_PART = re.compile(r"\.text\b|([\"'])text\1")  # without it, no template reads the text of a part
_QUESTION, _ANSWER = "zqxquestionxqz", "zqxanswerxqz"
_CHAT: list[dict[str, Any]] = [{"role": "user", "content": _QUESTION}, {"role": "assistant", "content": _ANSWER}]
_TOOL = {
    "type": "function",
    "function": {"name": "look", "description": "Look.", "parameters": {"type": "object", "properties": {}}},
}


def takes_only_parts(sources: Sequence[str], write: Callable[[list[dict[str, Any]], list[Any] | None], str]) -> bool:
    """Whether a template writes contents that are lists of parts, and none that are texts. `write` renders a chat with
    tools; it gives nothing if the template refuses it.
    """
    if not any(map(_PART.search, sources)):
        return False
    for tools in (None, [_TOOL]):
        texts, parts = (write(chat, tools) for chat in (_CHAT, with_parts(_CHAT)))
        if _shows(texts) or _shows(parts):
            return not _shows(texts)
    return False


def _shows(text: str) -> bool:
    return _QUESTION in text and _ANSWER in text


def with_parts(messages: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The messages with every content that is a text as a list of one part."""
    return [
        {**message, "content": [{"type": "text", "text": message["content"]}]}
        if isinstance(message.get("content"), str)
        else message
        for message in messages
    ]
