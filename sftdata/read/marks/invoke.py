"""Calls in XML with names as attributes, as Claude, MiniMax and DeepSeek V3.2 write them.

<invoke name="f"><parameter name="a">1</parameter></invoke>        in <function_calls> or <minimax:tool_call>
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from sftdata.read.marks.call_values import JSON, Properties, typed
from sftdata.records.record import ToolCall

_PREFIX = r"(?:antml:|｜DSML｜)?"
_NAME = r"""name=(?:"([^"<>]+)"|'([^'<>]+)')"""
_INVOKE = re.compile(rf"<{_PREFIX}invoke {_NAME}\s*>(.*?)</{_PREFIX}invoke>", re.DOTALL)
_PARAMETER = re.compile(
    rf'<{_PREFIX}parameter {_NAME}(?: string="(true|false)")?\s*>(.*?)</{_PREFIX}parameter>', re.DOTALL
)
_WRAPPERS = r"(?:antml:|｜DSML｜)?(?:function_calls|tool_calls)|minimax:tool_call"
_SECTION = re.compile(rf"<({_WRAPPERS})>(.*?)(?:</\1>|$)", re.DOTALL)


class Invoked(NamedTuple):
    """Where calls are written in a text; none if they cannot be read."""

    start: int
    end: int
    calls: tuple[ToolCall, ...]


def invoked_calls(text: str, properties: Properties) -> Iterator[Invoked]:
    """The sections of calls in a text, and calls without a section around them."""
    at = 0
    while True:
        section = _SECTION.search(text, at)
        call = _INVOKE.search(text, at)
        if section is not None and (call is None or section.start() < call.start()):
            yield Invoked(section.start(), section.end(), _calls(section.group(2), properties))
            at = section.end()
        elif call is not None:
            yield Invoked(call.start(), call.end(), _calls(call.group(), properties))
            at = call.end()
        else:
            return


def _calls(body: str, properties: Properties) -> tuple[ToolCall, ...]:
    """The calls that a body is and nothing else."""
    found = [_call(match, properties) for match in _INVOKE.finditer(body)]
    if not found or None in found or _INVOKE.sub("", body).strip():
        return ()
    return tuple(call for call in found if call is not None)


def _call(match: re.Match[str], properties: Properties) -> ToolCall | None:
    """A call whose parameters are all there is between its marks, each given once."""
    name, inner = match.group(1) or match.group(2), match.group(3)
    if _PARAMETER.sub("", inner).strip():
        return None
    known = properties(name)
    arguments: dict[str, Any] = {}
    for double, single, is_text, value in _PARAMETER.findall(inner):
        key = double or single
        if key in arguments:
            return None
        try:
            arguments[key] = _value(value, is_text, known.get(key))
        except (ValueError, RecursionError):
            return None
    return ToolCall(name=name, arguments=arguments)


def _value(text: str, is_text: str, schema: Mapping[str, Any] | None) -> Any:
    """An argument, which is text or JSON where the call says so. Raises ValueError if it is no JSON then."""
    if is_text:
        return text if is_text == "true" else JSON.decode(text)
    return typed(text, schema)
