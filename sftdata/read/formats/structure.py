"""Whether a conversation is valid: roles, order, empty turns, tool results -> the reason for a drop, or None."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import orjson

from sftdata.read.formats.merge import why_apart
from sftdata.read.marks.calls_in_text import may_hold_call
from sftdata.records.record import Drop, Message, Record

# What calls are written with that stay text: Harmony, ReAct, Claude, Gemma.
_CALLS = ("to=functions.", "<|call|>", "Action:", "<invoke", "<tool_use", "tool_code")
_SYSTEM = ("system", "developer")


def check_structure(record: Record, *, allow_same_role: bool = False, merged: bool = False) -> Drop | None:
    """The first thing wrong with a record, or None. Turns are counted from 1, including the system turn.

    A system turn may be anywhere: the encoder refuses it where the template does not write it. Consecutive turns of one
    role are wrong, unless they are allowed; if the others were merged (`merged`), the detail says why these were not.

    A conversation may end with a user turn and may begin with an assistant turn (a greeting, which is never trained).
    It must have an answer after a question. A turn that is not trained may be empty.
    """
    if record.text is not None:
        return _check_text(record.text)
    messages = record.messages
    problem = _check_characters(messages)
    if problem is not None:
        return problem
    if record.tools or record.template_kwargs or any(message.tool_calls for message in messages):
        problem = _check_writable(record)
        if problem is not None:
            return problem
    return _check_order(messages, allow_same_role, merged, _names(record)) or _check_empty(messages)


def _check_text(text: str) -> Drop | None:
    flaw = find_bad_character(text)
    if flaw is not None:
        return Drop("bad_characters", f"the text holds {flaw}")
    return Drop("empty_answer", "the text is empty") if not text or text.isspace() else None


def _check_characters(messages: Sequence[Message]) -> Drop | None:
    for number, message in enumerate(messages, 1):
        text = message.content
        flaw = find_bad_character(text) if text else None
        if flaw is None and (message.reasoning or message.name or message.tool_call_id):
            others = (message.reasoning, message.name, message.tool_call_id)
            flaw = next((found for other in others if other and (found := find_bad_character(other))), None)
        if flaw is not None:
            return Drop("bad_characters", f"{_turn(number, message)} holds {flaw}")
    return None


def find_bad_character(text: str) -> str | None:
    """A character that tokenizers cannot encode, and its position from 1; or None."""
    if "\0" in text:
        return f"a null character at {text.index(chr(0)) + 1}"
    if text.isascii():  # O(1) in Python
        return None
    try:
        text.encode()
    except UnicodeEncodeError as error:
        return f"a lone surrogate at {error.start + 1}"
    return None


def _check_writable(record: Record) -> Drop | None:
    """Tools, arguments and template arguments are stored unchanged, so they must be serializable as JSON, and arguments
    that are a text must be JSON to every program: Python reads NaN, 1e999 and half a character there, others do not.
    """
    for number, message in enumerate(record.messages, 1):
        for call in message.tool_calls:
            if isinstance(call.arguments, str):
                try:
                    orjson.loads(call.arguments)
                except orjson.JSONDecodeError as error:
                    why = f"the arguments of {call.name[:40]!r} are not JSON ({error.msg})"
                    return Drop("bad_tool_call", f"turn {number}: {why}")
    try:
        record.to_json()
    except TypeError as error:
        if "surrogate" in str(error):
            return Drop("bad_characters", "the tools or tool calls hold a lone surrogate")
        return Drop("wrong_type", f"the tools or tool calls cannot be kept as JSON ({str(error).lower()})")
    return None


def _names(record: Record) -> list[str]:
    """The names of the tools that a record declares."""
    functions = [tool.get("function", tool) for tool in record.tools]
    names = [function.get("name") for function in functions if isinstance(function, Mapping)]
    return [name for name in names if isinstance(name, str) and name]


def _check_order(messages: Sequence[Message], allow_same_role: bool, merged: bool, tools: Sequence[str]) -> Drop | None:
    """Whether the roles are in a valid order, with a question and an answer to it. `tools` are names of tools."""
    asked = answered = False
    previous: str | None = None
    pending: list[str | None] = []  # ids of the calls that have no result yet
    called_in_text = False
    for number, message in enumerate(messages, 1):
        role = message.role
        if role in _SYSTEM:
            pass
        elif role == "tool":
            if not (called_in_text or _match_call(message.tool_call_id, pending)):
                return Drop("tool_result_without_call", f"{_turn(number, message)} answers no call before it")
        elif role == previous and not allow_same_role:
            why = why_apart(messages[number - 2], message) if merged else None
            unmerged = f", and merge_same_role cannot join them: {why}" if why else ""
            return Drop("roles_out_of_order", f"{_turn(number, message)} follows a turn of the same role{unmerged}")
        else:
            pending = [call.id for call in message.tool_calls] if message.tool_calls else []
            called_in_text = role == "assistant" and not pending and _calls_in_text(message, tools)
            asked = asked or role == "user"
            answered = answered or (asked and role == "assistant")
        previous = role
    if not asked:
        return Drop("no_user_turn", "no turn is the user's" if messages else "the conversation has no turns")
    return None if answered else Drop("no_answer", "no assistant turn follows the user's")


def _calls_in_text(message: Message, tools: Sequence[str]) -> bool:
    """Whether a turn may have tool calls in its text, as in the Hermes format; how many is not known.

    Wider than what is parsed: with a tool's turn behind it, text in the marks of any family is a call, and so is one
    that names a tool of the conversation.
    """
    text = message.content or ""
    if may_hold_call(text) or text.lstrip().startswith(("[", "{", "```")) or any(mark in text for mark in _CALLS):
        return True
    return any(name in text and re.search(rf"(?<!\w){re.escape(name)}(?!\w)", text) for name in tools)


def _match_call(result_id: str | None, pending: list[str | None]) -> bool:
    """Remove the call that a result belongs to from the pending ones: by id if both have one, otherwise the first.

    False if there is no such call.
    """
    if not pending:
        return False
    if result_id in pending:
        pending.remove(result_id)
    elif result_id is None:
        pending.pop(0)
    elif None in pending:
        pending.remove(None)
    else:
        return False
    return True


def _check_empty(messages: Sequence[Message]) -> Drop | None:
    for number, message in enumerate(messages, 1):
        text = message.content
        if text and not text.isspace():
            continue
        if message.role == "user":
            return Drop("empty_prompt", f"{_turn(number, message)} is empty")
        if message.role == "assistant" and not message.tool_calls and message.train is not False:
            flaw = "holds reasoning but no answer" if message.reasoning else "is empty"
            return Drop("empty_answer", f"{_turn(number, message)} {flaw}")
    return None


def _turn(number: int, message: Message) -> str:
    return f"turn {number}: the {message.role}'s turn"
