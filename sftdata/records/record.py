"""A record is one conversation, made of messages: what the stages pass on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import orjson
from xxhash import xxh3_128

KEY_BYTES = 16  # of the key of a record's content, and of its id


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall:
    """One call of one tool. `arguments` is as the source gave it: a JSON text or an object."""

    name: str
    arguments: str | Mapping[str, Any]
    id: str | None = None


Piece = tuple[str, bool]  # a text, and whether it is a mark that the model has a token for


class Message(NamedTuple):
    """One turn. `content` is None only if the turn has nothing but tool calls.

    A named tuple, because creating a frozen dataclass takes four times as long.
    """

    role: str
    content: str | None
    reasoning: str | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None
    name: str | None = None
    train: bool | None = None  # None: the setting train_on decides
    pieces: tuple[Piece, ...] = ()  # behind the content; only while a record is encoded, see tools_as_text.py


_DEFAULTS = Message("", None)[2:]  # of all fields after role and content


class Record:
    """A conversation in the project's own format, which later stages check, curate and encode. Do not modify it.

    `text` is set instead of messages for the `text` format, which has no template: every token but the first is
    trained. `template_kwargs` are passed to the chat template unchanged (`enable_thinking` and the like).
    """

    __slots__ = ("_messages", "_plain", "template_kwargs", "text", "tools")

    def __init__(
        self,
        messages: tuple[Message, ...] = (),
        tools: tuple[Mapping[str, Any], ...] = (),
        template_kwargs: Mapping[str, Any] | None = None,
        text: str | None = None,
    ) -> None:
        self._messages: tuple[Message, ...] | None = messages
        self._plain: PlainRecord | tuple[()] | None = None  # None: not computed yet; (): not plain
        self.tools = tools
        self.template_kwargs = template_kwargs
        self.text = text

    @property
    def messages(self) -> tuple[Message, ...]:
        """The turns."""
        return self._messages or ()

    @property
    def plain(self) -> PlainRecord | None:
        """The same conversation as a PlainRecord, or None if it has more than roles and contents."""
        if self._plain is None:
            self._plain = self._to_plain() or ()
        return self._plain or None

    def _to_plain(self) -> PlainRecord | None:
        if self.text is not None or self.tools or self.template_kwargs:
            return None
        contents = [message.content for message in self.messages if message.content is not None and is_plain(message)]
        if len(contents) < len(self.messages):
            return None
        return PlainRecord(tuple([message.role for message in self.messages]), contents)

    def replaced(self, **changes: Any) -> Record:
        """A copy with some fields changed."""
        fields = {name: getattr(self, name) for name in ("messages", "tools", "template_kwargs", "text")}
        return Record(**{**fields, **changes})

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Record) and self._fields() == other._fields()

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return "Record(messages={!r}, tools={!r}, template_kwargs={!r}, text={!r})".format(*self._fields())

    def _fields(self) -> tuple[Any, ...]:
        return self.messages, self.tools, self.template_kwargs, self.text

    def to_json(self) -> bytes:
        """The record as JSON, with the conversation in OpenAI's format. The same record always gives the same bytes."""
        return orjson.dumps(self.to_dict() if self.text is None else {"text": self.text})

    def to_dict(self) -> dict[str, Any]:
        """The conversation in OpenAI's format."""
        payload: dict[str, Any] = {"messages": [message_to_dict(message) for message in self.messages]}
        if self.tools:
            payload["tools"] = self.tools
        if self.template_kwargs:
            payload["chat_template_kwargs"] = self.template_kwargs
        return payload

    @staticmethod
    def from_json(data: bytes | str) -> Record:
        """Read a record that `to_json` wrote."""
        payload = orjson.loads(data)
        if "text" in payload:
            return Record(text=payload["text"])
        return Record(
            messages=tuple([message_from_dict(turn) for turn in payload["messages"]]),
            tools=tuple(payload.get("tools", ())),
            template_kwargs=payload.get("chat_template_kwargs"),
        )


class PlainRecord(Record):
    """A conversation with nothing but roles and contents, as nearly all are: no tools, calls or template arguments.

    Holds one content per role. Message objects are created only when `messages` is read.
    """

    __slots__ = ("contents", "roles")
    tools = ()
    template_kwargs = None
    text = None

    def __init__(self, roles: tuple[str, ...], contents: list[str]) -> None:
        self.roles = roles
        self.contents = contents
        self._messages = None

    @property
    def messages(self) -> tuple[Message, ...]:
        """The turns."""
        if self._messages is None:
            self._messages = tuple(map(Message, self.roles, self.contents))
        return self._messages

    @property
    def plain(self) -> PlainRecord:
        """Itself."""
        return self

    def __reduce__(self) -> tuple[type[PlainRecord], tuple[tuple[str, ...], list[str]]]:
        return PlainRecord, (self.roles, self.contents)


def is_plain(message: Message) -> bool:
    """Whether a message has nothing but a role and a content."""
    return message[2:] == _DEFAULTS


def message_to_dict(message: Message) -> dict[str, Any]:
    """A message in the format of chat templates and OpenAI's API. Absent fields are left out, not set to null."""
    turn: dict[str, Any] = {"role": message.role, "content": message.content}
    if is_plain(message):
        return turn
    if message.reasoning is not None:
        turn["reasoning_content"] = message.reasoning
    if message.tool_calls:
        turn["tool_calls"] = [tool_call_to_dict(call) for call in message.tool_calls]
    if message.tool_call_id is not None:
        turn["tool_call_id"] = message.tool_call_id
    if message.name is not None:
        turn["name"] = message.name
    if message.train is not None:
        turn["train"] = message.train
    return turn


def tool_call_to_dict(call: ToolCall) -> dict[str, Any]:
    """A tool call in OpenAI's nested format."""
    head: dict[str, Any] = {} if call.id is None else {"id": call.id}
    return {**head, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}


def message_from_dict(turn: Mapping[str, Any]) -> Message:
    """Read a message that `message_to_dict` wrote."""
    return Message(
        role=turn["role"],
        content=turn["content"],
        reasoning=turn.get("reasoning_content"),
        tool_calls=tuple(
            ToolCall(name=call["function"]["name"], arguments=call["function"]["arguments"], id=call.get("id"))
            for call in turn.get("tool_calls", ())
        ),
        tool_call_id=turn.get("tool_call_id"),
        name=turn.get("name"),
        train=turn.get("train"),
    )


NOT_TRAINED = "not trained as "  # begins the detail of a row that is trained, but for turns that cannot be proven


class Drop(NamedTuple):
    """Why a row is dropped. `reason` is a key of `sftdata.reasons.REASONS`; `detail` says more."""

    reason: str
    detail: str | None = None


class Row(NamedTuple):
    """One input row while it is being read: a record, or the reason why there is none, or both.

    `line` is 1-based within the unit it was read from. A row dropped by the structure checks keeps its record.
    """

    line: int
    record: Record | None
    drop: Drop | None
    keep: Mapping[str, Any] | None = None  # the columns named by the source's `keep`
    unused: tuple[str, ...] = ()  # columns and keys of turns that hold something which the record does not have
    calls: tuple[str, ...] = ()  # what happened to tool calls and lists of texts, as "parsed: <tool_call>"
    fault: str | None = None  # of this program, for which it is dropped as internal_error: see faults.py


def sample_digest(input_ids: bytes | memoryview, labels: bytes | memoryview) -> bytes:
    """16 bytes (XXH3, 128 bits) of a sample's input_ids and labels, each as little-endian int32, without gaps.

    Computed when a sample is encoded, and compared with the shards by `verify`: what was proven is what is stored.
    """
    digest = xxh3_128(input_ids)
    digest.update(labels)
    return digest.digest()
