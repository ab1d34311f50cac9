"""Conversations that are lists of something else than turns -> turns, where it is certain what they mean.

{"user": "q", "assistant": "a"}, ...           an object for each exchange, under several names
{"user": "q"}, {"assistant": "a"}, ...         an object for each turn, the role as its key
["q", "a"], ...                                a pair of texts for each exchange
["user", "q"], ["assistant", "a"], ...         a pair of role and text for each turn
"{\\"role\\": ...}", ...                         turns as JSON text, each by itself
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from sftdata.read.formats.roles import role_name, role_of
from sftdata.read.formats.values import as_list_of_objects, is_given, parse_python
from sftdata.read.readers.parse_json import parse_text

_ASKS = {"user", "human", "question", "instruction", "input", "prompt", "query", "q"}
_ANSWERS = {"assistant", "bot", "gpt", "ai", "chatgpt", "chatbot", "answer", "response", "output", "completion", "a"}
_SYSTEM = {"system", "system_prompt"}
# Keys of turns: an object with one of them is no exchange, or it is not certain which of its texts is said.
_OF_TURNS = {"role", "from", "content", "value", "text", "message", "messages", "body", "utterance", "speaker", "name"}
_IS_NAME = re.compile(r"[^\w?!]*[\w.\-@']+(?: [\w.\-@']+){0,2}[^\w?!.]*")  # up to three words, as speakers are called


def turns_of(value: Any, roles: Mapping[str, str] = {}) -> list[Any] | None:
    """The turns that a value stands for; None if it is no list of exchanges, pairs or texts, or if it is not certain
    what it means. `roles` are names of roles that a source has set.
    """
    if isinstance(value, Mapping):
        value = as_list_of_objects(value, *value)
        if isinstance(value, Mapping):
            items = [*value.values()] if _is_numbered(value) else [value]
            return turns_of(items, roles) or (items if len(items) == len(value) > 1 else None)
    if not isinstance(value, list) or not value:
        return None
    if all(isinstance(item, str) for item in value):
        items = [_parsed(item) for item in value]
        if any(item is None for item in items):
            return None
        return turns_of(items, roles) or items
    if all(isinstance(item, Mapping) for item in value):
        return _by_role(value, roles) or _of_exchanges(value, roles)
    if all(isinstance(item, list) and len(item) == 2 for item in value):
        return _of_pairs(value, roles)
    return None


def _is_numbered(value: Mapping[str, Any]) -> bool:
    """Whether an object is a list with the numbers of its items as keys."""
    return all(isinstance(item, Mapping) for item in value.values()) and list(value) == [*map(str, range(len(value)))]


def _parsed(text: str) -> Any:
    """The object that a text holds as JSON or Python; None for other text."""
    if not text.lstrip().startswith("{"):
        return None
    try:
        found = parse_text(text)
    except ValueError:
        found = parse_python(text)
    return found if isinstance(found, dict) else None


def _by_role(items: Sequence[Mapping[str, Any]], roles: Mapping[str, str]) -> list[Any] | None:
    """The turns of objects that each have a role as their only key."""
    given = [[(key, value) for key, value in item.items() if value is not None] for item in items]  # Arrow adds nulls
    if any(len(pairs) != 1 for pairs in given):
        return None
    found = [(key, role_of(key, roles), value) for ((key, value),) in given]
    if not {"user", "assistant"} <= {role for _, role, _ in found} or any(role is None for _, role, _ in found):
        return None
    return [{"role": key, "content": value} for key, _, value in found]


def _of_exchanges(items: Sequence[Mapping[str, Any]], roles: Mapping[str, str]) -> list[Any] | None:
    """The turns of objects that each hold a question and its answer."""
    turns: list[Any] = []
    for item in items:
        parts: dict[str, list[str]] = {}
        for key in item:
            parts.setdefault(_part(key, roles), []).append(key)
        others = parts.pop("", [])
        asks, answers = parts.get("user", []), parts.get("assistant", [])
        if len(answers) != 1 or any(role_name(key) in _OF_TURNS for key in others):
            return None
        asked = _joined(item, asks)
        if asked is _UNCLEAR or any(len(keys) > 1 for role, keys in parts.items() if role != "user"):
            return None
        turns += [{"role": "system", "content": item[key]} for key in parts.get("system", []) if item[key] is not None]
        turns += [{"role": "user", "content": asked}] if asked is not None else []
        rest = {key: item[key] for key in others}  # reasoning, and what is counted as unused
        if item[answers[0]] is not None or is_given(rest):
            turns.append({"role": "assistant", "content": item[answers[0]], **rest})
    return turns


_UNCLEAR = object()


def _joined(item: Mapping[str, Any], keys: Sequence[str]) -> Any:
    """What is asked: one text, or an instruction and its input as in the Alpaca format; _UNCLEAR if it is not plain."""
    if len(keys) == 1:
        return item[keys[0]]
    by_name = {role_name(key): item[key] for key in keys}
    if len(keys) != 2 or by_name.keys() != {"instruction", "input"} or not isinstance(by_name["instruction"], str):
        return _UNCLEAR
    context = by_name["input"]
    if context is None or (isinstance(context, str) and not context.strip()):
        return by_name["instruction"]
    return f"{by_name['instruction']}\n{context}" if isinstance(context, str) else _UNCLEAR


def _part(key: object, roles: Mapping[str, str]) -> str:
    """The role that a key of an exchange stands for; empty if it is no such key."""
    if not isinstance(key, str):
        return ""
    plain = role_name(key)
    own = role_of(key, roles) if roles and any(plain == role_name(name) for name in roles) else None
    if own is not None:
        return own if own in ("user", "assistant", "system") else ""
    return "user" if plain in _ASKS else "assistant" if plain in _ANSWERS else "system" if plain in _SYSTEM else ""


def _of_pairs(pairs: Sequence[list[Any]], roles: Mapping[str, str]) -> list[Any] | None:
    """The turns of pairs of a role and a text, or of a question and its answer, either of which may be null.

    Pairs that begin with a few words, or twice with the same, may begin with names of speakers, so they are none.
    """
    firsts = [first for first, _ in pairs]
    if all(isinstance(first, str) and role_of(first, roles) is not None for first in firsts):
        return [{"role": role, "content": content} for role, content in pairs]
    if not all(text is None or isinstance(text, str) for pair in pairs for text in pair):
        return None
    asked = [first for first in firsts if first is not None]
    if len({*asked}) < len(asked) or (len(pairs) > 1 and all(map(_IS_NAME.fullmatch, asked))):
        return None
    named = [("user", first, "assistant", second) for first, second in pairs]
    turns = [[{"role": ask, "content": first}, {"role": to, "content": second}] for ask, first, to, second in named]
    return [turn for pair in turns for turn in pair if turn["content"] is not None]
