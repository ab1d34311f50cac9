"""The unit that flows: a record is one conversation, made of messages."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

if TYPE_CHECKING:
    import pyarrow as pa

ROLES = ("system", "developer", "user", "assistant", "tool")
KEY_BYTES = 16  # of the key of a record's content, and of its id


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall:
    """One call of one tool. `arguments` is as the source gave it: a JSON text or an object."""

    name: str
    arguments: str | Mapping[str, Any]
    id: str | None = None


class Message(NamedTuple):
    """One turn. `content` is None only where a turn holds nothing but tool calls.

    A named tuple, as the record is: every row makes some, and a frozen dataclass takes four times as long to make.
    """

    role: str
    content: str | None
    reasoning: str | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None
    name: str | None = None
    train: bool | None = None  # None: as the config's train_on says


_NO_MORE = Message("", None)[2:]


class Record(NamedTuple):
    """A conversation that passed the formats: what later stages check, curate and encode.

    `text` is set instead of messages for the `text` format, which is trained on whole and knows no template.
    `template_kwargs` go to the chat template as they are (`enable_thinking` and the like).
    """

    messages: tuple[Message, ...] = ()
    tools: tuple[Mapping[str, Any], ...] = ()
    template_kwargs: Mapping[str, Any] | None = None
    text: str | None = None

    def to_json(self) -> bytes:
        """The record as JSON: nearly always just its roles and contents by turns, else in OpenAI's form.

        The same record always gives the same bytes.
        """
        if self.text is not None:
            return orjson.dumps({"text": self.text})
        if self[1:] == _NO_MORE_FIELDS:
            parts: list[str | None] = []
            for message in self.messages:
                if message[2:] != _NO_MORE:
                    break
                parts += message[:2]
            else:
                return orjson.dumps(parts)
        return orjson.dumps(self.to_dict())

    def to_dict(self) -> dict[str, Any]:
        """A conversation in OpenAI's form."""
        payload: dict[str, Any] = {"messages": [message_to_dict(message) for message in self.messages]}
        if self.tools:
            payload["tools"] = self.tools
        if self.template_kwargs:
            payload["chat_template_kwargs"] = self.template_kwargs
        return payload

    @staticmethod
    def from_json(data: bytes | str) -> Record:
        """What `to_json` wrote, read back."""
        payload = orjson.loads(data)
        if type(payload) is list:
            return Record(tuple(map(Message, payload[::2], payload[1::2])))
        if "text" in payload:
            return Record(text=payload["text"])
        return Record(
            messages=tuple([message_from_dict(turn) for turn in payload["messages"]]),
            tools=tuple(payload.get("tools", ())),
            template_kwargs=payload.get("chat_template_kwargs"),
        )


_NO_MORE_FIELDS = Record()[1:]


def live_records(table: pa.Table) -> Iterator[tuple[int, Record]]:
    """The rows of a table that are not `dropped` already: the number of each, from 0, and its `record`."""
    rows = zip(table["dropped"].to_pylist(), table["record"].to_pylist(), strict=True)
    return ((row, Record.from_json(payload)) for row, (dropped, payload) in enumerate(rows) if not dropped)


def is_plain(message: Message) -> bool:
    """Whether a message is nothing but a role and a content."""
    return message[2:] == _NO_MORE


def message_to_dict(message: Message) -> dict[str, Any]:
    """A message as chat templates and OpenAI's API know it; absent fields are left out, never null-padded."""
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
    """A tool call in OpenAI's nested form."""
    head: dict[str, Any] = {} if call.id is None else {"id": call.id}
    return {**head, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}


def message_from_dict(turn: Mapping[str, Any]) -> Message:
    """The message that `message_to_dict` wrote."""
    if len(turn) == 2:  # nearly all of them
        return Message(turn["role"], turn["content"])
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


@dataclass(frozen=True, slots=True)
class Drop:
    """Why a row is not packed. `reason` is one of `sftdata.reasons.REASONS`; `detail` says what exactly."""

    reason: str
    detail: str | None = None


class Row(NamedTuple):
    """One input row on its way through reading: a record, or the reason why there is none, or both.

    `line` is 1-based within the unit it was read from. A row that the structure checks drop keeps its record.
    """

    line: int
    record: Record | None
    drop: Drop | None
    keep: Mapping[str, Any] | None = None  # the columns that the source's `keep` asks for


def sample_digest(input_ids: bytes | memoryview, labels: bytes | memoryview) -> bytes:
    """16 bytes (BLAKE2b, RFC 7693) of a sample's input_ids and labels, each as little-endian int32, without gaps.

    Taken when a sample is encoded and held against the shards by `verify`: what was proven is what is stored.
    """
    digest = hashlib.blake2b(input_ids, digest_size=16)
    digest.update(labels)
    return digest.digest()
