"""Data in place of a text: the result of a tool, or a text that is an object -> the text that it stands for."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from sftdata.read.formats.media import holds_file
from sftdata.read.formats.tool_calls import exact_numbers
from sftdata.read.formats.values import ConversionError, as_list_of_objects, without_nulls
from sftdata.records.record import Message, Record

# The types of content parts, as chat servers have them. Any other type is one of the result's own.
_PARTS = {"text", "input_text", "output_text", "image", "image_url", "input_image", "input_audio", "audio", "audio_url"}
_PARTS |= {"video", "video_url", "file", "input_file", "document"}

# Keys of objects that stand for something else than data: a turn, a content, several answers, a file.
_NO_DATA = {"type", "text", "texts", "content", "value", "role", "from", "parts", "messages", "conversations", "turns"}
_NO_DATA |= {"choices", "chosen", "rejected", "answer_start", "bytes", "path", "url"}


def object_text(value: Any, label: str) -> Any:
    """An object as its JSON text, as a CSV file has it; unchanged if it may be something else than data, as any other
    value. Lists may be several answers.

    Raises ConversionError: wrong_type for a null in it, since Arrow adds nulls for keys that other rows have.
    """
    if not isinstance(value, Mapping) or not value or any(str(key).lower() in _NO_DATA for key in value):
        return value
    if holds_file(value):
        raise ConversionError("untrainable_content", f"{label} holds a picture, sound, video or binary data")
    null = _null_in(value, "")
    if null is not None:
        raise ConversionError(
            "wrong_type",
            f"{label} is an object in which {null[:60]} is null, which a table has for an absent key too; write the "
            "object as text",
        )
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError):
        return value


def _null_in(value: Any, path: str) -> str | None:
    """The path of a key whose value is null; None if there is none."""
    items = value.items() if isinstance(value, Mapping) else ()
    for key, item in items:
        place = f"{path}.{key}" if path else str(key)
        found = place if item is None else _null_in(item, place)
        if found is not None:
            return found
    for item in value if isinstance(value, list) else ():
        if (found := _null_in(item, f"{path}[]")) is not None:
            return found
    return None


def result_text(value: Any) -> Any:
    """A result that is data as its JSON text, the same from every file format; content parts, and lists of plain
    strings, unchanged. Nulls in objects are absent, since Arrow adds them. Raises ConversionError: untrainable_content.
    """
    items = as_list_of_objects(value, "type", "text")
    items = items if isinstance(items, list) else [items]
    if items and (all(isinstance(item, str) for item in items) or all(map(_is_part, items))):
        return value
    if holds_file(value):
        raise ConversionError("untrainable_content", "its content holds a picture, sound, video or binary data")
    try:
        return json.dumps(without_nulls(_without_nan(value)), ensure_ascii=False)
    except (TypeError, ValueError) as error:
        raise ConversionError("wrong_type", f"its content cannot be written as JSON ({error})") from None


def _without_nan(value: Any) -> Any:
    """A value with null for what is no number, as tables and JSON have it."""
    if isinstance(value, Mapping):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_nan(item) for item in value]
    return None if isinstance(value, float) and value != value else value


def _is_part(item: object) -> bool:
    """Whether an item of a result is a content part: plain text, or an object that says that it is one."""
    if not isinstance(item, Mapping):
        return isinstance(item, str)
    given = {key for key, value in item.items() if value is not None}
    if "type" not in given:
        return given == {"text"}
    kind = item["type"]
    return isinstance(kind, str) and kind in _PARTS and bool(given & {*_PARTS, "source", "url", "data"})


def with_exact_numbers(record: Record) -> Record:
    """The record with the digits of every number in its calls: see exact_numbers."""
    if not any(message.tool_calls for message in record.messages):
        return record
    messages = [
        message._replace(tool_calls=tuple(map(exact_numbers, message.tool_calls))) if message.tool_calls else message
        for message in record.messages
    ]
    return record.replaced(messages=tuple(messages))


def results_in_order(record: Record) -> Record:
    """The record with the results of parallel calls in the order of the calls, as their ids say: where a template
    writes no ids, a result belongs to the call at its place.
    """
    if not any(len(message.tool_calls) > 1 for message in record.messages):
        return record
    messages: list[Message] = []
    at = 0
    turns = record.messages
    while at < len(turns):
        messages.append(turns[at])
        at += 1
        if len(messages[-1].tool_calls) > 1:
            end = next((place for place in range(at, len(turns)) if turns[place].role != "tool"), len(turns))
            messages += _in_order(turns[at:end], [call.id for call in messages[-1].tool_calls])
            at = end
    return record.replaced(messages=tuple(messages)) if tuple(messages) != turns else record


def _in_order(results: Sequence[Message], ids: Sequence[str | None]) -> Sequence[Message]:
    """Results in the order of these ids of calls; as they are if one of them has no id, or that of no call."""
    own = [result.tool_call_id for result in results]
    if None in own or len({*ids}) < len(ids) or len({*own}) < len(own) or not {*own} <= {*ids}:
        return results
    return sorted(results, key=lambda result: ids.index(result.tool_call_id))
