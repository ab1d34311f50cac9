"""Exact duplicates: the canonical form of a conversation, and which of its repeats survives."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from sftdata.records import Message, Record

KEY_BYTES = 16


def content_key(record: Record) -> bytes:
    """16 bytes that two records share exactly where their canonical content is the same.

    Canonical: Unicode NFC, line ends as one newline, no white space around a text. Roles, tool calls, tools, template
    arguments and which turns are trained count as content.
    """
    digest = hashlib.blake2b(digest_size=KEY_BYTES)
    if record.text is not None:
        digest.update(b"text\0" + canonical(record.text).encode())
        return digest.digest()
    for message in record.messages:
        digest.update(_message_bytes(message))
    if record.tools or record.template_kwargs:
        extra = [_canonical_json(record.tools), _canonical_json(record.template_kwargs)]
        digest.update(b"\x02" + orjson.dumps(extra, option=orjson.OPT_SORT_KEYS))
    return digest.digest()


def canonical(text: str) -> str:
    """A text in Unicode NFC, with newlines for line ends and no white space around it."""
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    if not text.isascii():
        text = unicodedata.normalize("NFC", text)
    return text.strip()


def _message_bytes(message: Message) -> bytes:
    """A message's canonical content. Every field is closed by a byte that no text holds alone."""
    content = "" if message.content is None else canonical(message.content)
    head = f"{message.role}\x1f{content}\x1e".encode()
    if (
        message.reasoning is None
        and message.train is None
        and message.name is None
        and message.tool_call_id is None
        and not message.tool_calls
    ):
        return head
    calls = [[call.id, call.name, _arguments(call.arguments)] for call in message.tool_calls]
    reasoning = None if message.reasoning is None else canonical(message.reasoning)
    rest = [reasoning, message.train, message.name, message.tool_call_id, calls]
    return head + b"\x01" + orjson.dumps(rest, option=orjson.OPT_SORT_KEYS)


def _arguments(arguments: str | Mapping[str, Any]) -> Any:
    """Tool arguments by value, given as JSON text or as an object."""
    if isinstance(arguments, str):
        try:
            return orjson.loads(arguments)
        except orjson.JSONDecodeError:
            return canonical(arguments)
    return _canonical_json(arguments)


def _canonical_json(value: Any) -> Any:
    """A JSON value of plain types."""
    if isinstance(value, Mapping):
        return {str(key): _canonical_json(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_canonical_json(item) for item in value]
    return value


def first_occurrences(keys: pa.Array) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """For every key the position of its first occurrence, and its own occurrence number from 0.

    Both arrays have one entry per key; null keys are their own first occurrence.
    """
    codes_with_nulls = pc.dictionary_encode(keys).indices
    valid = codes_with_nulls.is_valid().to_numpy(zero_copy_only=False)
    positions = np.flatnonzero(valid)
    codes = codes_with_nulls.drop_null().to_numpy(zero_copy_only=False).astype(np.int64)
    first = np.arange(len(keys), dtype=np.int64)
    occurrence = np.zeros(len(keys), np.int64)
    if len(codes):
        order = np.argsort(codes, kind="stable")
        sorted_codes = codes[order]
        starts = np.flatnonzero(np.diff(sorted_codes, prepend=-1))
        sizes = np.diff(np.append(starts, len(order)))
        first[positions[order]] = np.repeat(positions[order[starts]], sizes)
        occurrence[positions[order]] = np.arange(len(order)) - np.repeat(starts, sizes)
    return first, occurrence


def record_id(key: bytes, occurrence: int) -> str:
    """A record's id: 32 hex digits of its canonical content and its occurrence number, the same in every run."""
    if occurrence == 0:
        return key.hex()
    return hashlib.blake2b(key + occurrence.to_bytes(8, "little"), digest_size=KEY_BYTES).hexdigest()
