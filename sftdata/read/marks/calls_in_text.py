"""Tool calls and tool results that are written into the texts of turns -> calls and results of their own.

    assistant  Let me see. <tool_call>{"name": "f", "arguments": {}}</tool_call>    "Let me see.", and a call of f
    tool       <tool_response>3</tool_response>                                     "3"

Text before calls stays the turn's content. Templates write calls last, so an answer with text behind a call stays as it
is: parsed, the text would change its place.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from sftdata.read.formats.values import ConversionError
from sftdata.read.marks.call_values import Properties, json_calls
from sftdata.read.marks.forms import ENDS, Written, marked_calls
from sftdata.read.marks.harmony import harmony_turns
from sftdata.read.marks.looks import call_marks
from sftdata.read.marks.python_calls import python_calls
from sftdata.read.marks.react import Step, react_steps
from sftdata.records.record import Message, Record, ToolCall

_REACT = ("Action Input:", "action_input")
_RESULTS = {
    name: re.compile(pattern, re.DOTALL)
    for name, pattern in {
        "<tool_response>": r"\s*<tool_response>\s*(.*?)\s*</tool_response>\s*",
        "<tool_result>": r"\s*<tool_result>\s*(.*?)\s*</tool_result>\s*",
        "<function_response>": r"\s*<function_response>\s*(.*?)\s*</function_response>\s*",
        "<function_result>": r"\s*<function_result>\s*(.*?)\s*</function_result>\s*",
        "<observation>": r"\s*<observation>\s*(.*?)\s*</observation>\s*",
        "<|tool_response_start|>": r"\s*<\|tool_response_start\|>\s*(.*?)\s*<\|tool_response_end\|>\s*",
        "[TOOL_RESULTS]": r"\s*\[TOOL_RESULTS\]\s*(.*?)\s*\[/TOOL_RESULTS\]\s*",
        "<｜tool▁output▁begin｜>": r"\s*<｜tool▁output▁begin｜>\s*(.*?)\s*<｜tool▁output▁end｜>\s*",
        "tool_output": r"\s*```tool_outputs?[ \t]*\n(.*?)\n?```\s*",
    }.items()
}
_ABOUT_FORMS = re.compile(
    r"(?i)\b(formats?|formatted|syntax|written|writes?|wraps?|wrapped|examples?|e\.g|looks? like|like this|tags?|"
    r"tokens?|marks?|markup|schemas?|templates?|xml|json|emits?|outputs)\b"
)
_ABOUT_CALLS = re.compile(r"(?i)\b(tool|function)[ _-]?(call|invocation)|\bReAct\b|\bHarmony\b|<tool|<function|<invoke")
_DECLARES = re.compile(
    r"(?i)\b(available|following|these|access to|list of|set of)\b[^.\n]{0,40}\b(tool|function|api)s?\b|<tools>|"
    r'"(parameters|arguments)"\s*:'
)
_LABEL = re.compile(r"\s*(Observation|FUNCTION RESPONSE|Function Response|Tool Response):\s*(.*?)\s*", re.DOTALL)
_TOOL_CODE = re.compile(r"((?:(?!```).)*?)```tool_code[ \t]*\n((?:(?!```).)*)```\s*", re.DOTALL)
# What happened to calls in texts: parsed, or left as text because the setting or the template asks for it, or because
# the form is not known for sure.
PARSED, KEPT, UNWRITTEN, UNREAD = "parsed", "kept", "unwritten", "unread"
OTHER_FORM = "another form"  # of a call whose result follows
Found = dict[str, dict[str, None]]  # what happened to calls -> the names of their forms, in order


class CallsInText(NamedTuple):
    """What is done with calls in texts: by `tool_calls_in_text`, and for which rows the template writes calls."""

    mode: str = "parse"  # or keep, drop
    written: str = "always"  # or with_tools: for rows with tools; or never

    def fate(self, record: Record) -> str:
        """What becomes of the calls of a record, if they are certain."""
        is_written = self.written == "always" or (self.written == "with_tools" and bool(record.tools))
        if self.mode == "parse" and not is_written:
            return UNWRITTEN
        return KEPT if self.mode == "keep" else PARSED


def may_hold_call(text: str) -> bool:
    """Whether a text may hold a tool call, by its marks or because it is a list of Python calls.

    The marks are those of `forms` and `looks`. Single characters come first because they are found many times faster.
    """
    if "_" in text and ("tool_" in text or "TOOL_CALL" in text or "python_tag" in text or "action_input" in text):
        return True
    if "<" in text and (
        "<function" in text or ('"' in text and "invoke" in text) or ("{" in text and "<|mess" in text)
    ):
        return True
    if ":" in text and "Action Input:" in text:
        return True
    first = text[:1]
    if first == "<":
        return "<|message|>" in text or "tool▁call" in text
    if first == "[":
        return text.rstrip().endswith(")]") or "tool▁call" in text
    return not text.isascii() and "tool▁call" in text


def parse_calls(record: Record, how: CallsInText, found: Found) -> Record:
    """The record with the calls and results in its texts as calls and results, or as it is: see CallsInText.

    What is parsed, and what looks like a call and is left as text, is added to `found`. Raises ConversionError:
    bad_tool_call, for a call that cannot be read, and with `drop`, for every one.
    """
    messages = record.messages
    if not any(_is_candidate(message, bool(record.tools)) for message in messages):
        return record
    fate = how.fate(record)
    if fate != PARSED:
        _note_left(messages, fate, found)
        return record
    properties = _properties(record.tools)
    parsed: list[Message] = []
    for number, message in enumerate(messages, 1):
        start = len(parsed)
        try:
            if message.role == "assistant" and message.content:
                parsed += _answer(number - 1, messages, record.tools, properties, how.mode, found)
            else:
                parsed += _results(message, parsed, found)
        except ConversionError as error:
            raise ConversionError(error.drop.reason, f"turn {number}: {error.drop.detail}") from None
        if how.mode == "drop" and not message.tool_calls and any(one.tool_calls for one in parsed[start:]):
            detail = "its text has a tool call, and tool_calls_in_text is drop"
            raise ConversionError("bad_tool_call", f"turn {number}: {detail}")
    left = _note_left(parsed, UNREAD, found, _names(record.tools))
    if left is not None and how.mode == "drop":
        detail = f"its text has what looks like a tool call ({left.form}), and tool_calls_in_text is drop"
        raise ConversionError("bad_tool_call", f"turn {left.turn}: {detail}")
    if len(parsed) == len(messages) and all(map(Message.__eq__, parsed, messages)):
        return record
    return record.replaced(messages=tuple(parsed))


class _Left(NamedTuple):
    """A call, by its form, that is left in the text of a turn, from 1."""

    turn: int
    form: str


def _note_left(messages: Sequence[Message], fate: str, found: Found, names: Collection[str] = ()) -> _Left | None:
    """Note what looks like calls in the texts of answers without calls, also without marks if they are of tools with
    these names; the first of them, or None.
    """
    first = None
    for number, message in enumerate(messages, 1):
        if message.role != "assistant" or message.tool_calls or not message.content:
            continue
        forms = call_marks(message.content) if may_hold_call(message.content) else []
        if not forms and number < len(messages) and messages[number].role == "tool":
            forms = [OTHER_FORM]
        text = message.content.strip()
        if not forms and text.startswith("[") and text.endswith(")]") and any(f"{name}(" in text for name in names):
            forms = ["list of calls"]
        for form in forms:
            _note(found, fate, form)
            first = first or _Left(number, form)
    return first


def _note(found: Found, fate: str, form: str) -> None:
    found.setdefault(fate, {})[form] = None


def _is_candidate(message: Message, has_tools: bool) -> bool:
    if message.role == "tool" or message.tool_calls:
        return True
    text = message.content
    if message.role != "assistant" or not text:
        return False
    return may_hold_call(text) or (has_tools and (text.lstrip()[:1] in ("{", "[") or "<start_function_call>" in text))


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
    at: int,
    messages: Sequence[Message],
    tools: Sequence[Mapping[str, Any]],
    properties: Properties,
    mode: str,
    noted: Found,
) -> Iterator[Message]:
    """The turns that an answer consists of: itself, or with its calls, or the steps of a trace."""
    message = messages[at]
    text = message.content or ""
    whole = None if message.tool_calls else _taken_apart(message, properties)
    if whole is not None:
        form, turns = whole
        calls = tuple(call for turn in turns for call in turn.tool_calls)
        if mode != "drop" and _explains(Written(turns[0].content or "", calls, form), at, messages, tools):
            yield message
            return
        _note(noted, PARSED, form)
        yield from turns
        return
    found = marked_calls(text, properties) or _bare_calls(at, messages, tools)
    # With drop, the call is a reason to drop the row, wherever it stands.
    is_left = found is not None and not message.tool_calls and mode != "drop"
    if found is None or (is_left and (found.has_text_behind or _explains(found, at, messages, tools))):
        yield message
    elif not message.tool_calls:
        _note(noted, PARSED, found.form)
        yield message._replace(content=found.text or None, tool_calls=found.calls)
    elif [_plain(call) for call in found.calls] == [_plain(call) for call in message.tool_calls]:
        _note(noted, PARSED, found.form)
        yield message._replace(content=found.text or None)  # the turn has its calls twice
    else:
        raise ConversionError("conflicting_fields", "the calls in its text and its tool_calls differ")


def _taken_apart(message: Message, properties: Properties) -> tuple[str, list[Message]] | None:
    """The form and the turns of an answer that is a whole trace: of ReAct or of Harmony."""
    text = message.content or ""
    steps = react_steps(text, properties) if any(mark in text for mark in _REACT) else None
    if steps is not None:
        return "ReAct", list(_turns_of(steps, message))
    turns = harmony_turns(text) if "<|message|>" in text else None
    if turns is None or (message.reasoning and turns[0].reasoning):
        return None
    turns[0] = turns[0]._replace(reasoning=turns[0].reasoning or message.reasoning)
    return "Harmony", [turn._replace(train=message.train) if turn.role == "assistant" else turn for turn in turns]


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
    """The calls that a text is and nothing else, without marks, or that are the code block at its end which Gemma
    writes: only calls of tools that the conversation knows.
    """
    text = (messages[at].content or "").strip()
    before, calls, form = "", None, "list of calls"
    block = _TOOL_CODE.fullmatch(ENDS.sub("", text)) if "```tool_code" in text else None
    if block is not None:
        before, form = block.group(1).strip(), "tool_code"
        calls = _lines_of_calls(block.group(2))
    elif text.startswith("[") and text.endswith("]"):
        calls = python_calls(text)
    names = _names(tools)
    if calls is None and block is None and text[:1] in ("{", "[") and names:
        found = json_calls(text)
        is_whole = found is not None and not text[found[1] :].strip()
        calls, form = found[0] if found is not None and is_whole else None, "JSON"
        if calls is None or not all(call.name in names for call in calls):
            return None
    if not calls:
        return None
    return Written(before, calls, form) if _is_expected(calls, at, messages, names) else None


def _is_expected(calls: Sequence[ToolCall], at: int, messages: Sequence[Message], names: Collection[str]) -> bool:
    """Whether the calls of an answer have a result behind them, or all are of tools that the conversation declares."""
    behind = messages[at + 1] if at + 1 < len(messages) else None
    if behind is not None and (behind.role == "tool" or _is_wrapped_result(behind)):
        return True
    texts = [(one.role, one.content or "") for one in messages]
    declared = "\n".join(
        text for role, text in texts if role in ("system", "developer") or (role == "user" and _DECLARES.search(text))
    )
    return all(call.name in names or call.name in declared for call in calls)


def _is_wrapped_result(message: Message) -> bool:
    return message.role == "user" and bool(_results_in(message.content or "", with_label=False)[0])


def _explains(found: Written, at: int, messages: Sequence[Message], tools: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a call is of a tool that the conversation knows nothing of, and the answer speaks of the form of calls
    before it, or the question asks for calls.
    """
    asked = next((one.content or "" for one in reversed(messages[:at]) if one.role == "user"), "")
    if _ABOUT_FORMS.search(found.text) is None and _ABOUT_CALLS.search(asked) is None:
        return False
    return not _is_expected(found.calls, at, messages, _names(tools))


def _names(tools: Sequence[Mapping[str, Any]]) -> set[str]:
    return {str(tool.get("function", tool).get("name")) for tool in tools}


def _lines_of_calls(text: str) -> tuple[ToolCall, ...] | None:
    """Calls written as Python, in a list or one a line."""
    calls = python_calls(text)
    lines = [python_calls(line) for line in text.split("\n") if line.strip()] if calls is None else []
    if calls is None and lines and None not in lines:
        calls = tuple(call for line in lines for call in line or ())
    return calls


def _results(message: Message, before: Sequence[Message], found: Found) -> Iterator[Message]:
    """A tool's turn without the marks around its result; a user's turn that is such results is a tool's."""
    calls = _open_calls(before)
    if message.role not in ("tool", "user") or not message.content or (message.role == "user" and not calls):
        yield message
        return
    texts, form = _results_in(message.content, with_label=message.role == "tool" or bool(calls))
    if texts:
        _note(found, PARSED, form)
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


def _results_in(text: str, with_label: bool) -> tuple[list[str], str]:
    """The results in a text that consists of wrapped results and nothing else, and what is around them; for any other
    text, no results.
    """
    for name, pattern in _RESULTS.items():
        texts, at = [], 0
        while at < len(text) and (match := pattern.match(text, at)) is not None:
            texts.append(match.group(1))
            at = match.end()
        if texts and at == len(text):
            return texts, name
    match = _LABEL.fullmatch(text) if with_label else None
    return ([], "") if match is None or not match.group(2) else ([match.group(2)], match.group(1))
