"""Calls as FunctionGemma and Gemma 4 write them: a name, and arguments whose texts stand between marks of their own.

<start_function_call>call:get_weather{city:<escape>Paris<escape>,days:3}<end_function_call>
<|tool_call>call:get_weather{city:<|"|>Paris<|"|>,days:3}<tool_call|>
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from sftdata.records.record import ToolCall

_START = re.compile(r"(?:<start_function_call>|<\|tool_call>)\s*call:([\w.:-]+?)\s*(?=\{)")
_END = re.compile(r"\s*(?:<end_function_call>|<tool_call\|>)?")
_TEXT = re.compile(r"<escape>(.*?)<escape>|<\|\"\|>(.*?)<\|\"\|>", re.DOTALL)
_KEY = re.compile(r"\s*(?:<escape>(.*?)<escape>|<\|\"\|>(.*?)<\|\"\|>|([^\s:{}\[\],<>]+))\s*:", re.DOTALL)
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?(?=\s*[,}\]])")
_WORDS = {"true": True, "false": False, "null": None}


class GemmaCall(NamedTuple):
    """Where a call is written in a text; `call` is None if it cannot be read."""

    start: int
    end: int
    call: ToolCall | None


def gemma_calls(text: str) -> Iterator[GemmaCall]:
    """The calls in a text, in order."""
    for match in _START.finditer(text):
        try:
            arguments, end = _object(text, match.end())
        except (ValueError, RecursionError):
            yield GemmaCall(match.start(), match.end(), None)
            continue
        closing = _END.match(text, end)
        end = end if closing is None or not closing.group().strip() else closing.end()
        yield GemmaCall(match.start(), end, ToolCall(name=match.group(1), arguments=arguments))


def _object(text: str, at: int) -> tuple[dict[str, Any], int]:
    """An object that begins at a place, and where it ends. Raises ValueError, also if it gives a key twice."""
    value: dict[str, Any] = {}
    at = _space(text, at + 1)
    while not text.startswith("}", at):
        key = _KEY.match(text, at)
        if key is None or (name := next(part for part in key.groups() if part is not None)) in value:
            raise ValueError("no key, or a second one")
        value[name], at = _value(text, _space(text, key.end()))
        at = _next(text, at, "}")
    return value, at + 1


def _list(text: str, at: int) -> tuple[list[Any], int]:
    """A list that begins at a place, and where it ends. Raises ValueError."""
    value: list[Any] = []
    at = _space(text, at + 1)
    while not text.startswith("]", at):
        item, at = _value(text, at)
        value.append(item)
        at = _next(text, at, "]")
    return value, at + 1


def _next(text: str, at: int, closing: str) -> int:
    """The place behind a comma, or of what closes. Raises ValueError if there is neither."""
    at = _space(text, at)
    if text.startswith(",", at):
        return _space(text, at + 1)
    if text.startswith(closing, at):
        return at
    raise ValueError("not closed")


def _value(text: str, at: int) -> tuple[Any, int]:
    if text.startswith("{", at):
        return _object(text, at)
    if text.startswith("[", at):
        return _list(text, at)
    found = _TEXT.match(text, at)
    if found is not None:
        return next(part for part in found.groups() if part is not None), found.end()
    number = _NUMBER.match(text, at)
    if number is not None:
        digits = number.group()
        is_whole = not set(digits) & set(".eE")
        value: int | float = int(digits) if is_whole else float(digits)
        if value in (float("inf"), float("-inf")):
            raise ValueError("an infinite number")
        return value, number.end()
    for word, constant in _WORDS.items():
        if text.startswith(word, at):
            return constant, at + len(word)
    raise ValueError("no value")


def _space(text: str, at: int) -> int:
    """The first place from here that is no white space."""
    while at < len(text) and text[at].isspace():
        at += 1
    return at
