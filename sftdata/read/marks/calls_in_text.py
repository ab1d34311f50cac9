"""Tool calls and tool results that are written into the texts of turns -> calls and results of their own.

    assistant  Let me see. <tool_call>{"name": "f", "arguments": {}}</tool_call>    "Let me see.", and a call of f
    tool       <tool_response>3</tool_response>                                     "3"

Text before calls stays the turn's content. Templates write calls last, so an answer with text behind a call stays as it
is: parsed, the text would change its place.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sftdata.read.formats.values import ConversionError
from sftdata.read.marks.forms import Properties, Written, json_calls, marked_calls
from sftdata.read.marks.python_calls import python_calls
from sftdata.read.marks.react import Step, react_steps
from sftdata.records.record import Message, Record, ToolCall

_REACT = ("Action Input:", "action_input")
_RESULTS = [
    re.compile(pattern, re.DOTALL)
    for pattern in (
        r"\s*<tool_response>\s*(.*?)\s*</tool_response>\s*",
        r"\s*<tool_result>\s*(.*?)\s*</tool_result>\s*",
        r"\s*<function_response>\s*(.*?)\s*</function_response>\s*",
        r"\s*<function_result>\s*(.*?)\s*</function_result>\s*",
        r"\s*<observation>\s*(.*?)\s*</observation>\s*",
        r"\s*<\|tool_response_start\|>\s*(.*?)\s*<\|tool_response_end\|>\s*",
        r"\s*\[TOOL_RESULTS\]\s*(.*?)\s*\[/TOOL_RESULTS\]\s*",
        r"\s*<｜tool▁output▁begin｜>\s*(.*?)\s*<｜tool▁output▁end｜>\s*",
    )
]
_LABEL = re.compile(r"\s*(?:Observation|FUNCTION RESPONSE|Function Response|Tool Response):\s*(.*?)\s*", re.DOTALL)


def may_hold_call(text: str) -> bool:
    """Whether a text may hold a tool call, by its marks or because it is a list of Python calls.

    The marks are those of `forms`. Single characters come first because they are found many times faster.
    """
    if "_" in text and ("tool_call" in text or "TOOL_CALL" in text or "python_tag" in text or "action_input" in text):
        return True
    if ("<" in text and "<function" in text) or "Action Input:" in text:
        return True
    return ("▁" in text and "tool▁call" in text) or (text[:1] == "[" and text.rstrip().endswith(")]"))


def parse_calls(record: Record, mode: str) -> Record:
    """The record with the calls and results in its texts as calls and results, by `tool_calls_in_text`.

    `keep` changes nothing. Raises ConversionError: bad_tool_call, for a call that cannot be read, and with `drop`, for
    every one.
    """
    if mode == "keep":
        return record
    messages = record.messages
    if not any(_is_candidate(message, bool(record.tools)) for message in messages):
        return record
    properties = _properties(record.tools)
    parsed: list[Message] = []
    for number, message in enumerate(messages, 1):
        start = len(parsed)
        try:
            if message.role == "assistant" and message.content:
                parsed += _answer(number - 1, messages, record.tools, properties, mode)
            else:
                parsed += _results(message, parsed)
        except ConversionError as error:
            raise ConversionError(error.drop.reason, f"turn {number}: {error.drop.detail}") from None
        if mode == "drop" and not message.tool_calls and any(one.tool_calls for one in parsed[start:]):
            detail = "its text has a tool call, and tool_calls_in_text is drop"
            raise ConversionError("bad_tool_call", f"turn {number}: {detail}")
    if len(parsed) == len(messages) and all(map(Message.__eq__, parsed, messages)):
        return record
    return record.replaced(messages=tuple(parsed))


def _is_candidate(message: Message, has_tools: bool) -> bool:
    if message.role == "tool" or message.tool_calls:
        return True
    text = message.content
    if message.role != "assistant" or not text:
        return False
    return may_hold_call(text) or (has_tools and text.lstrip()[:1] in ("{", "["))


def _properties(tools: Sequence[Mapping[str, Any]]) -> Properties:
    """What looks up the properties that a tool declares for its arguments."""

    def find(name: str) -> Mapping[str, Any]:
        for tool in tools:
            function = tool.get("function", tool)
            if isinstance(function, Mapping) and function.get("name") == name:
                schema = function.get("parameters")
                found = schema.get("properties") if isinstance(schema, Mapping) else None
                return found if isinstance(found, Mapping) else {}
        return {}

    return find


def _answer(
    at: int, messages: Sequence[Message], tools: Sequence[Mapping[str, Any]], properties: Properties, mode: str
) -> Iterator[Message]:
    """The turns that an answer consists of: itself, or with its calls, or the steps of a trace."""
    message = messages[at]
    text = message.content or ""
    is_react = not message.tool_calls and any(mark in text for mark in _REACT)
    steps = react_steps(text, properties) if is_react else None
    if steps is not None:
        yield from _turns_of(steps, message)
        return
    found = marked_calls(text, properties) or _bare_calls(at, messages, tools)
    # With drop, the call is a reason to drop the row, wherever it stands.
    if found is None or (found.has_text_behind and not message.tool_calls and mode != "drop"):
        yield message
    elif not message.tool_calls:
        yield message._replace(content=found.text or None, tool_calls=found.calls)
    elif [_plain(call) for call in found.calls] == [_plain(call) for call in message.tool_calls]:
        yield message._replace(content=found.text or None)  # the turn has its calls twice
    else:
        raise ConversionError("conflicting_fields", "the calls in its text and its tool_calls differ")


def _plain(call: ToolCall) -> tuple[str, Any]:
    """A call without its id and the form of its arguments."""
    found = json_calls(f'{{"name": "f", "arguments": {call.arguments}}}') if isinstance(call.arguments, str) else None
    return call.name, call.arguments if found is None else found[0][0].arguments


def _turns_of(steps: Sequence[Step], message: Message) -> Iterator[Message]:
    for number, step in enumerate(steps):
        calls = () if step.call is None else (step.call,)
        reasoning = message.reasoning if number == 0 else None
        yield message._replace(content=step.text or None, tool_calls=calls, reasoning=reasoning)
        if step.observation is not None:
            yield Message(role="tool", content=step.observation)


def _bare_calls(at: int, messages: Sequence[Message], tools: Sequence[Mapping[str, Any]]) -> Written | None:
    """The calls that a text is and nothing else, without marks: only calls of tools that the conversation knows."""
    text = (messages[at].content or "").strip()
    calls: tuple[ToolCall, ...] | None = None
    if text.startswith("[") and text.endswith("]"):
        calls = python_calls(text)
    names = {str(tool.get("function", tool).get("name")) for tool in tools}
    if calls is None and text[:1] in ("{", "[") and names:
        found = json_calls(text)
        is_whole = found is not None and not text[found[1] :].strip()
        calls = found[0] if found is not None and is_whole else None
        if calls is None or not all(call.name in names for call in calls):
            return None
    if not calls:
        return None
    system = "\n".join(one.content or "" for one in messages if one.role in ("system", "developer"))
    is_answered = at + 1 < len(messages) and messages[at + 1].role == "tool"
    if is_answered or all(call.name in names or call.name in system for call in calls):
        return Written("", calls, "list of calls")
    return None


def _results(message: Message, before: Sequence[Message]) -> Iterator[Message]:
    """A tool's turn without the marks around its result; a user's turn that is such results is a tool's."""
    calls = _open_calls(before)
    if message.role not in ("tool", "user") or not message.content or (message.role == "user" and not calls):
        yield message
        return
    texts = _results_in(message.content, with_label=message.role == "tool" or bool(calls))
    if not texts:
        yield message
    elif len(texts) == 1 or len(texts) != calls:
        yield message._replace(role="tool", content="\n".join(texts))
    else:
        for text in texts:
            yield message._replace(role="tool", content=text)


def _open_calls(before: Sequence[Message]) -> int:
    """How many calls of the last answer have no result yet."""
    for results, message in enumerate(reversed(before)):
        if message.role != "tool":
            return max(len(message.tool_calls) - results, 0)
    return 0


def _results_in(text: str, with_label: bool) -> list[str]:
    """The results in a text that consists of wrapped results and nothing else; empty for any other text."""
    for pattern in _RESULTS:
        texts, at = [], 0
        while at < len(text) and (match := pattern.match(text, at)) is not None:
            texts.append(match.group(1))
            at = match.end()
        if texts and at == len(text):
            return texts
    match = _LABEL.fullmatch(text) if with_label else None
    return [] if match is None or not match.group(1) else [match.group(1)]
