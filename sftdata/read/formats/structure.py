"""Whether a conversation is one: roles, order, empty turns, tool results -> the reason for a drop, or None."""

from __future__ import annotations

from collections.abc import Sequence

from sftdata.records.record import Drop, Message, Record

_SYSTEM = ("system", "developer")
_CALL_MARKS = ("<tool_call>", "<function_call>", "<functioncall>", "[TOOL_CALLS]")


def check_structure(record: Record) -> Drop | None:
    """The first thing wrong with a record, or None. Turns are counted from 1, the system's included.

    A conversation may end in a user's turn and may begin with an assistant's (a greeting, which is never trained); it
    needs an answer behind a question. A turn that is not to be trained may be empty.
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
    return _check_order(messages) or _check_empty(messages)


def _check_text(text: str) -> Drop | None:
    flaw = find_flaw(text)
    if flaw is not None:
        return Drop("bad_characters", f"the text holds {flaw}")
    return Drop("empty_answer", "the text is empty") if not text or text.isspace() else None


def _check_characters(messages: Sequence[Message]) -> Drop | None:
    for number, message in enumerate(messages, 1):
        text = message.content
        flaw = find_flaw(text) if text else None
        if flaw is None and (message.reasoning or message.name or message.tool_call_id):
            others = (message.reasoning, message.name, message.tool_call_id)
            flaw = next((found for other in others if other and (found := find_flaw(other))), None)
        if flaw is not None:
            return Drop("bad_characters", f"{_turn(number, message)} holds {flaw}")
    return None


def find_flaw(text: str) -> str | None:
    """What no tokenizer can be given, or None."""
    if "\0" in text:
        return f"a null character at {text.index(chr(0)) + 1}"
    if text.isascii():  # known to Python without a look at the text
        return None
    try:
        text.encode()
    except UnicodeEncodeError as error:
        return f"a lone surrogate at {error.start + 1}"
    return None


def _check_writable(record: Record) -> Drop | None:
    """Tools and arguments are kept as they are, so they must be something that JSON writers can write."""
    try:
        record.to_json()
    except TypeError as error:
        if "surrogate" in str(error):
            return Drop("bad_characters", "the tools or tool calls hold a lone surrogate")
        return Drop("wrong_type", f"the tools or tool calls cannot be kept as JSON ({str(error).lower()})")
    return None


def _check_order(messages: Sequence[Message]) -> Drop | None:
    """Roles in an order that a chat can have, with a question and an answer to it."""
    asked = answered = False
    before: str | None = None
    waiting: list[str | None] = []  # ids of the calls that have no result yet
    called_in_text = False
    for number, message in enumerate(messages, 1):
        role = message.role
        if role in _SYSTEM:
            if number > 1:
                return Drop("system_not_first", f"{_turn(number, message)} stands after another turn")
        elif role == "tool":
            if not (called_in_text or _take_call(message.tool_call_id, waiting)):
                return Drop("tool_result_without_call", f"{_turn(number, message)} answers no call before it")
        elif role == before:
            return Drop("roles_out_of_order", f"{_turn(number, message)} follows a turn of the same role")
        else:
            waiting = [call.id for call in message.tool_calls] if message.tool_calls else []
            called_in_text = role == "assistant" and not waiting and _calls_in_text(message)
            asked = asked or role == "user"
            answered = answered or (asked and role == "assistant")
        before = role
    if not asked:
        return Drop("no_user_turn", "no turn is the user's" if messages else "the conversation has no turns")
    return None if answered else Drop("no_answer", "no assistant turn follows the user's")


def _calls_in_text(message: Message) -> bool:
    """Whether a turn writes its calls into its text, as Hermes and others do; how many there are is not known."""
    text = message.content
    return text is not None and any(mark in text for mark in _CALL_MARKS)


def _take_call(result_id: str | None, waiting: list[str | None]) -> bool:
    """Take the call that a result answers off the waiting ones: by its id where both have one, else the first."""
    if not waiting:
        return False
    if result_id in waiting:
        waiting.remove(result_id)
    elif result_id is None:
        waiting.pop(0)
    elif None in waiting:
        waiting.remove(None)
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
            said = "holds reasoning but no answer" if message.reasoning else "is empty"
            return Drop("empty_answer", f"{_turn(number, message)} {said}")
    return None


def _turn(number: int, message: Message) -> str:
    return f"turn {number}: the {message.role}'s turn"
