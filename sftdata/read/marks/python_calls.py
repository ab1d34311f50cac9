"""Calls written as Python, `[get_weather(city="Paris"), Market Trends(days=3)]` -> tool calls. Nothing is run."""

from __future__ import annotations

import ast
import math
import re
import warnings
from typing import Any

from sftdata.read.formats.values import gives_key_twice
from sftdata.records.record import ToolCall

_NAME = re.compile(r"\s*([A-Za-z_][\w .:/&'-]*?)\s*\(")
_WORDS = {"true": True, "false": False, "null": None, "none": None}  # as JSON writes them
_MAX_CHARS = 200_000


def python_calls(text: str) -> tuple[ToolCall, ...] | None:
    """The calls of a list in brackets, or of one call without them; None if the text is anything else.

    Every argument must be named, and be a plain value.
    """
    text = text.strip()
    if len(text) > _MAX_CHARS:
        return None
    inner = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    calls = []
    at = 0
    while True:
        name = _NAME.match(inner, at)
        end = None if name is None else _closing(inner, name.end())
        arguments = None if name is None or end is None else _arguments(inner[name.end() : end])
        if name is None or end is None or arguments is None:
            return None
        calls.append(ToolCall(name=name.group(1), arguments=arguments))
        rest = inner[end + 1 :].lstrip()
        if not rest:
            return tuple(calls)
        if not rest.startswith((",", ";")):
            return None
        at = len(inner) - len(rest) + 1
        if not inner[at:].strip():
            return tuple(calls)


def _closing(text: str, start: int) -> int | None:
    """Where the parenthesis that was opened before `start` closes; None if it does not."""
    depth, quote, at = 1, "", start
    while at < len(text):
        char = text[at]
        if quote:
            if char == "\\":
                at += 1
            elif char == quote:
                quote = ""
        elif char in "\"'":
            quote = char
        elif char in "([{":
            depth += 1
        elif char in ")]}":
            depth -= 1
            if depth == 0:
                return at if char == ")" else None
        at += 1
    return None


def _arguments(text: str) -> dict[str, Any] | None:
    """The named arguments between the parentheses of a call, or None."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)  # invalid escapes, as in '\d'
            call = ast.parse(f"f({text})", mode="eval").body
        if not isinstance(call, ast.Call) or call.args or any(word.arg is None for word in call.keywords):
            return None
        if gives_key_twice(call):
            return None
        return {str(word.arg): _value(word.value) for word in call.keywords}
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return None


def _value(node: ast.expr) -> Any:
    """The plain value that a node stands for. Raises ValueError for anything else."""
    if isinstance(node, ast.Name) and node.id.lower() in _WORDS:
        return _WORDS[node.id.lower()]
    if isinstance(node, (ast.List, ast.Tuple)):
        return [_value(item) for item in node.elts]
    if isinstance(node, ast.Dict):
        keys = [None if key is None else ast.literal_eval(key) for key in node.keys]
        if not all(isinstance(key, str) for key in keys):
            raise ValueError("a key is not text")
        return dict(zip(keys, map(_value, node.values)))
    value = ast.literal_eval(node)
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("1e999 is no number of JSON")
    if value is not None and not isinstance(value, (str, int, float, bool)):
        raise ValueError("not a value of JSON")
    return value
