"""Exact duplicates: the canonical form of a conversation, its key, and the record ids made from it."""

from __future__ import annotations

import hashlib
import json
import unicodedata
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa

from sftdata.records.record import KEY_BYTES, Message, Record, is_plain


def content_key(record: Record) -> bytes:
    """16 bytes that are equal for two records exactly if their canonical content is the same.

    Canonical means Unicode NFC, newlines as line ends, and no white space around a text. Roles, tool calls, tools,
    template arguments and which turns are trained are part of the content.
    """
    plain = record.plain
    if plain is not None:
        contents = [*map(str.strip, plain.contents)]
        for text in contents:
            if not text.isascii() or "\r" in text:
                contents = [*map(canonical, contents)]
                break
        content = orjson.dumps((plain.roles, contents))
    elif record.text is not None:
        content = f"text\0{canonical(record.text)}".encode()
    else:
        turns = "".join([_message_text(message) for message in record.messages])
        others = [_plain(record.tools), _plain(record.template_kwargs or None)]
        content = f"{turns}\x02{_json_text(others)}".encode()
    return hashlib.sha256(content).digest()[:KEY_BYTES]


def canonical(text: str) -> str:
    """A text in Unicode NFC, with newlines as line ends and no white space around it."""
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    if not text.isascii():
        text = unicodedata.normalize("NFC", text)
    return text.strip()


def _message_text(message: Message) -> str:
    """A message's canonical content. Texts follow their length, so that no text can look like another turn."""
    content = "" if message.content is None else canonical(message.content)
    head = f"{message.role} {len(content)} {content}"
    if is_plain(message):
        return head
    calls = [[call.id, call.name, _arguments(call.arguments)] for call in message.tool_calls]
    reasoning = None if message.reasoning is None else canonical(message.reasoning)
    rest = [reasoning, message.train, message.name, message.tool_call_id, calls]
    return head + "\x01" + _json_text(rest)


def _arguments(arguments: str | Mapping[str, Any]) -> Any:
    """Tool arguments as a value, whether given as JSON text or as an object."""
    if isinstance(arguments, str):
        try:
            return json.loads(arguments)  # not orjson: it would round long numbers
        except (ValueError, RecursionError):
            return canonical(arguments)
    return _plain(arguments)


def _json_text(value: Any) -> str:
    """JSON that is the same for equal values, whatever the order of their keys."""
    return json.dumps(value, sort_keys=True)


def _plain(value: Any) -> Any:
    """A JSON value made of dicts and lists."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value


def repeat_ids(keys: npt.NDArray[np.uint64], numbers: npt.NDArray[np.int64]) -> npt.NDArray[np.uint64]:
    """The ids of records that repeat earlier ones: hashes of their keys, [records, 2], and of how many are before each.

    The id of any other record is its key. So a record's canonical content and its occurrence number decide its id, and
    it is the same in every run.
    """
    data = keys.tobytes()
    ids = bytearray(len(data))
    for start, number in zip(range(0, len(data), KEY_BYTES), numbers.tolist()):
        content = data[start : start + KEY_BYTES] + number.to_bytes(8, "little")
        ids[start : start + KEY_BYTES] = hashlib.blake2b(content, digest_size=KEY_BYTES).digest()
    return np.frombuffer(ids, np.uint64).reshape(-1, 2)


def key_integers(keys: pa.Array) -> npt.NDArray[np.uint64]:
    """Keys of KEY_BYTES bytes as two integers each, [keys, 2]; zeros if null. A view, unless one is null."""
    filled = keys if keys.null_count == 0 else keys.fill_null(bytes(KEY_BYTES))
    first = filled.offset * KEY_BYTES
    flat = np.frombuffer(filled.buffers()[1], np.uint8)[first : first + len(keys) * KEY_BYTES]
    return flat.view(np.uint64).reshape(len(keys), KEY_BYTES // 8)
