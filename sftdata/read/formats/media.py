"""Pictures, sound and video in a row, which text alone does not train."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache

from sftdata.read.formats.roles import normalized
from sftdata.read.formats.values import is_given

_KINDS = r"(image|img|picture|pic|photo|photograph|screenshot|pixel_value|audio|video)s?"
_FORMS = r"(_?(path|file|file_?name|url|uri|link|src|data|byte|base64|b64|array|list|input|feature|video|tensor))?s?"
_NAME = re.compile(rf"(input_|raw_)?{_KINDS}{_FORMS}(_?\d+)?|input_(features|values)")
# Names that may just as well be those of texts: only a value that is a picture, a sound or a video counts.
_WEAK = re.compile(
    r"(speech|sound|voice|wav|mp3|media|file|attachment|frame|clip|figure|document_image)s?(_path|_url)?s?"
)
_FILE = re.compile(
    r"(?is)data:(image|audio|video)/.*|[^\n]{1,2000}\.(png|jpe?g|gif|webp|bmp|tiff?|svg|heic|wav|mp3|flac|ogg|opus|m4a|"
    r"mp4|mov|avi|mkv|webm)([?#]\S*)?\s*"
)


@lru_cache(maxsize=1 << 12)
def strength(name: str) -> int:
    """2 for the name of a column of pictures, sound or video; 1 for a name that may be one; else 0."""
    plain = normalized(name)
    if _NAME.fullmatch(plain):
        return 2
    return int(_WEAK.fullmatch(plain) is not None)


def is_media(name: str, value: object) -> bool:
    """Whether a column, or a key of a turn, holds pictures, sound or video: by its name, or by the bytes in it.

    Numbers and booleans are not media, whatever their name; and empty values are not.
    """
    if value is None or isinstance(value, (bool, int, float)):
        return False
    how = strength(name)
    if how == 2:
        return is_given(value) and _is_more_than_numbers(name, value)
    return _is_file(value, how == 1)


def _is_more_than_numbers(name: str, value: object) -> bool:
    """Whether a value is text, an object, bytes, or a list with one; numbers only if they are pixels or samples."""
    if isinstance(value, (list, tuple)):
        if normalized(name).startswith(("pixel", "input")):
            return True
        return any(_is_more_than_numbers(name, item) for item in value)
    return value is not None and not isinstance(value, (bool, int, float))


def _is_file(value: object, with_names: bool) -> bool:
    """Whether a value has the bytes of a file, as `datasets` keeps pictures and sound; if asked, or its name."""
    if isinstance(value, bytes):
        return bool(value)
    if isinstance(value, str):
        return value.startswith(("data:image/", "data:audio/", "data:video/")) or (
            with_names and _FILE.fullmatch(value) is not None
        )
    if isinstance(value, Mapping):
        if value.keys() <= {"bytes", "path", "array", "sampling_rate"} and (value.get("bytes") or value.get("array")):
            return True
        return with_names and any(_is_file(item, True) for item in value.values())
    return isinstance(value, (list, tuple)) and any(_is_file(item, with_names) for item in value)
