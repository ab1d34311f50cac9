"""Tool calls, their results and the tools as text, in the form of Hermes, for chat templates that write none of them.

    system      Be brief.                                           its own text, then how to call, and the tools
                You are a function calling AI model. ...            (or the first user's turn does, before its text)
    user        How warm is it in Quito?
    assistant   Let me look.                                        its own text, then the calls
                <tool_call>
                {"name": "get_weather", "arguments": {"city": "Quito"}}
                </tool_call>
    user        <tool_response>                                     results that follow each other in one turn
                {"degrees": 14}
                </tool_response>

The result is a conversation of texts, in which the user and the assistant still alternate.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from sftdata.errors import SftDataError
from sftdata.records.reasoning_marks import may_hold_reasoning, split_reasoning
from sftdata.records.record import Message, Piece, Record, ToolCall, is_plain, message_from_dict, message_to_dict

ToolsIn = Literal["template", "system", "user"]  # who writes the tools: the template from its argument, or which turn
MARKS = (("<tools>", "</tools>"), ("<tool_call>", "</tool_call>"), ("<tool_response>", "</tool_response>"))
_HEAD = (
    "You are a function calling AI model. You are provided with function signatures within <tools></tools> XML tags. "
    "You may call one or more functions to assist with the user query. Don't make assumptions about what values to "
    "plug into functions. Here are the available tools:\n<tools>\n"
)
_TAIL = (
    "\n</tools>\nFor each function call return a json object with function name and arguments within "
    "<tool_call></tool_call> XML tags as follows:\n"
    '<tool_call>\n{"name": <function-name>, "arguments": <args-dict>}\n</tool_call>'
)
_MARK = re.compile("(" + "|".join(mark for pair in MARKS for mark in pair) + ")")
_LEADING = ("system", "developer")


class NotJsonError(ValueError):
    """A call whose arguments are no JSON object: the 0-based place of its message, its name, and why."""

    def __init__(self, turn: int, name: str, why: str) -> None:
        super().__init__(turn, name, why)
        self.turn, self.detail = turn, f"the arguments of {name[:40]!r} are not a JSON object ({why})"


class AsText(NamedTuple):
    """A record as text. `places` has for each of its messages the place of the one that it is, or begins with, in the
    record that it was; `counts` what was written as text: calls, results, and tools by where they are; and `unwritten`
    the messages whose ids and names this form does not have.
    """

    record: Record
    places: Sequence[int]
    counts: Counter[str]
    unwritten: Counter[str]


def has_tools(record: Record) -> bool:
    """Whether a record has tools, calls or results."""
    return bool(record.tools) or has_calls(record)


def has_calls(record: Record) -> bool:
    """Whether a record has calls or results."""
    if record.plain is not None:
        return "tool" in record.plain.roles
    return any(one.tool_calls or one.role == "tool" for one in record.messages)


def as_text(record: Record, tools_in: ToolsIn, own: Collection[str] = ()) -> AsText:
    """A record with its calls, its results and its tools as text. `own` are marks that the model has tokens for, which
    stay apart from the text: see Message.pieces. Raises NotJsonError.
    """
    writer = _Writer()
    for at, message in enumerate(record.messages):
        writer.add(at, message)
    tools = record.tools
    if tools and tools_in == "template":
        writer.counts.update(["tools by the template"] if writer.counts else [])
    elif tools and writer.add_tools(tools, tools_in):
        tools = ()
    messages = tuple([_settled(message, own) for message in writer.messages])
    return AsText(record.replaced(messages=messages, tools=tools), writer.places, writer.counts, writer.unwritten)


def with_pieces(text: str, message: Message, change: Callable[[str], str]) -> str:
    """The content of a message, which is `text` by now, and what follows it: its pieces, all but marks changed."""
    if not message.pieces:
        return text
    behind = "".join([piece if is_mark else change(piece) for piece, is_mark in message.pieces])
    return f"{text}{_separator(message) if text else ''}{behind}"


def tools_as_text(
    messages: Sequence[Mapping[str, Any]],
    tools: Sequence[Mapping[str, Any]] | None = None,
    tools_in: Literal["system", "user", "template"] = "system",
) -> list[dict[str, Any]]:
    """Messages in OpenAI's format as `tool_calls: inline` writes them, for a server of a model that was trained so.

    `tools_in` says where the tools are written, which the summary of `prepare` says too: in the system message, in the
    first user message, or by the template, to which a server then gives them as before. Raises SftDataError for
    contents that are not texts, and calls whose arguments are no JSON object.
    """
    for turn, one in enumerate(messages, 1):
        if not isinstance(one.get("content") or "", str):
            raise SftDataError(f"turn {turn}", "its content is not text", "join its parts with line breaks")
    given = [{"content": None, **one, "tool_calls": one.get("tool_calls") or ()} for one in messages]
    record = Record(tuple(map(message_from_dict, given)), tuple(tools or ()))
    try:
        return [message_to_dict(message) for message in as_text(record, tools_in).record.messages]
    except NotJsonError as error:
        raise SftDataError(f"turn {error.turn + 1}", error.detail, "servers have to get it as JSON") from error


class _Writer:
    """Writes the messages of a record in turn."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.places: list[int] = []
        self.counts: Counter[str] = Counter()
        self.unwritten: Counter[str] = Counter()
        self._has_results = False  # the last one

    def add(self, at: int, message: Message) -> None:
        """Add the message at this place."""
        if message.role == "tool":
            self._add_result(at, message)
            return
        if self._has_results and message.role == "user" and is_plain(message._replace(train=None)):
            # A turn of its own would follow one of the same role.
            last = self.messages[-1]
            self.messages[-1] = last._replace(pieces=(*last.pieces, (f"\n\n{message.content or ''}", False)))
        else:
            calls = message.tool_calls
            self.messages.append(self._with_calls(at, message) if calls else message)
            self.places.append(at)
        self._has_results = False

    def _with_calls(self, at: int, message: Message) -> Message:
        self.counts["calls"] += len(message.tool_calls)
        self.unwritten["messages: call ids"] += any(call.id for call in message.tool_calls)
        pieces: list[Piece] = []
        for call in message.tool_calls:
            text = _call(call, at)
            pieces += [("\n", False)] if pieces else []
            pieces += [("<tool_call>", True), (f"\n{text}\n", False), ("</tool_call>", True)]
        return message._replace(content=message.content or "", tool_calls=(), pieces=tuple(pieces))

    def _add_result(self, at: int, message: Message) -> None:
        self.counts["results"] += 1
        self.unwritten["messages: a tool_call_id"] += message.tool_call_id is not None
        self.unwritten["messages: a name"] += message.name is not None
        written: tuple[Piece, ...] = (
            ("<tool_response>", True),
            (f"\n{message.content or ''}\n", False),
            ("</tool_response>", True),
        )
        last = self.messages[-1] if self.messages else None
        if last is not None and self._has_results:
            self.messages[-1] = last._replace(pieces=(*last.pieces, ("\n", False), *written))
        elif last is not None and last.role == "user" and is_plain(last._replace(train=None, pieces=())):
            self.messages[-1] = last._replace(pieces=(*last.pieces, *written))
        else:
            self.messages.append(Message("user", "", pieces=written))
            self.places.append(at)
        self._has_results = True

    def add_tools(self, tools: Sequence[Mapping[str, Any]], tools_in: ToolsIn) -> bool:
        """Add the tools to the system message, the last of those at the beginning; or to the first user message if
        `tools_in` says so, and False if there is none.
        """
        lines = "\n".join([json.dumps(tool, ensure_ascii=False) for tool in tools])
        written = (*_pieces(_HEAD), (lines, False), *_pieces(_TAIL))
        if tools_in == "user":
            return self._add_to_user(written)
        self.counts["tools in the system message"] = 1
        last = next((at for at, one in enumerate(self.messages) if one.role not in _LEADING), len(self.messages)) - 1
        if last >= 0:
            system = self.messages[last]
            self.messages[last] = system._replace(content=system.content or "", pieces=written)
            return True
        if self.messages and self.messages[0].role == "assistant":  # it answers no prompt, and is not trained
            self.messages[0] = self.messages[0]._replace(train=False)
        self.messages.insert(0, Message("system", "", pieces=written))
        self.places.insert(0, 0)
        return True

    def _add_to_user(self, written: tuple[Piece, ...]) -> bool:
        at = next((at for at, message in enumerate(self.messages) if message.role == "user"), None)
        if at is None:
            return False
        self.counts["tools in the first user message"] = 1
        user = self.messages[at]
        own = _separator(user) if user.content and user.pieces else ""
        text = f"\n\n{user.content or ''}{own}"
        self.messages[at] = user._replace(content="", pieces=(*written, (text, False), *user.pieces))
        return True


def _call(call: ToolCall, turn: int) -> str:
    """A call as JSON, with the order of its keys and all digits of its whole numbers. Raises NotJsonError."""
    try:
        arguments = json.loads(call.arguments) if isinstance(call.arguments, str) else call.arguments
        text = json.dumps({"name": call.name, "arguments": arguments}, ensure_ascii=False, allow_nan=False)
    except (ValueError, RecursionError) as error:
        why = error.msg if isinstance(error, json.JSONDecodeError) else "a number that is none, or too large"
        raise NotJsonError(turn, call.name, why) from error
    if not isinstance(arguments, Mapping):
        raise NotJsonError(turn, call.name, f"but {type(arguments).__name__}")
    return text


def _pieces(text: str) -> tuple[Piece, ...]:
    """A text of this module with its marks apart."""
    return tuple([(part, at % 2 == 1) for at, part in enumerate(_MARK.split(text)) if part])


def _separator(message: Message) -> str:
    """What is written between a content and what follows it."""
    if message.role != "assistant":
        return "\n\n"
    text = message.content or ""
    found = split_reasoning(text) if may_hold_reasoning(text) else None
    is_reasoning = found is not None and not found.flaw and not found.answer.strip()
    return "\n\n" if is_reasoning else "\n"


def _settled(message: Message, own: Collection[str]) -> Message:
    """The message with only those pieces apart that the model has tokens for; if there are none, as a content."""
    if not message.pieces:
        return message
    if not any(is_mark and piece in own for piece, is_mark in message.pieces):
        return message._replace(content=with_pieces(message.content or "", message, str), pieces=())
    pieces: list[Piece] = []
    for piece, is_mark in message.pieces:
        if is_mark and piece in own:
            pieces.append((piece, True))
        elif pieces and not pieces[-1][1]:
            pieces[-1] = (pieces[-1][0] + piece, False)
        else:
            pieces.append((piece, False))
    return message._replace(pieces=tuple(pieces))
