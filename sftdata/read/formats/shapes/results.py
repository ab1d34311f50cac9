"""The result of a tool that is given as an object or a list -> the text that a server would send."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from sftdata.read.formats.media import holds_file
from sftdata.read.formats.values import ConversionError, as_list_of_objects, without_nulls

# The types of content parts, as chat servers have them. Any other type is one of the result's own.
_PARTS = {"text", "input_text", "output_text", "image", "image_url", "input_image", "input_audio", "audio", "audio_url"}
_PARTS |= {"video", "video_url", "file", "input_file", "document"}


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
