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
import pyarrow.compute as pc

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


def first_occurrences(keys: pa.Array) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """For every key, the position of its first occurrence, and its own occurrence number from 0.

    Both arrays have one entry per key; a null key is its own first occurrence.
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


def record_ids(keys: pa.Array, occurrence: npt.NDArray[np.int64]) -> npt.NDArray[np.uint8]:
    """The ids of records, one row of KEY_BYTES bytes each. A record's canonical content and its occurrence number
    decide its id, so it is the same in every run. Zeros if the key is null.
    """
    ids = key_bytes(keys)
    for row in np.flatnonzero(occurrence).tolist():
        content = ids[row].tobytes() + int(occurrence[row]).to_bytes(8, "little")
        ids[row] = np.frombuffer(hashlib.blake2b(content, digest_size=KEY_BYTES).digest(), np.uint8)
    return ids


def key_bytes(keys: pa.Array) -> npt.NDArray[np.uint8]:
    """Keys as an array, one row of KEY_BYTES bytes each; zeros if null."""
    filled = keys.fill_null(bytes(KEY_BYTES))
    first = filled.offset * KEY_BYTES
    flat = np.frombuffer(filled.buffers()[1], np.uint8)[first : first + len(keys) * KEY_BYTES]
    return flat.reshape(len(keys), KEY_BYTES).copy()


def hex_strings(values: npt.NDArray[np.uint8], valid: npt.NDArray[np.bool_]) -> pa.Array:
    """Rows of bytes as hex strings; null if not valid."""
    codes = values[valid]
    digits = np.frombuffer(b"0123456789abcdef", np.uint8)
    text = np.stack([digits[codes >> 4], digits[codes & 15]], axis=-1)
    offsets = np.concatenate([[0], np.cumsum(valid * (2 * values.shape[1]))])
    validity = pa.py_buffer(np.packbits(valid, bitorder="little").tobytes())
    buffers = [validity, pa.py_buffer(offsets.astype(np.int64)), pa.py_buffer(np.ascontiguousarray(text))]
    return pa.Array.from_buffers(pa.large_string(), len(valid), buffers)
