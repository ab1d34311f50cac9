"""Pictures, sound, video and documents in a row, which text alone does not train: by their bytes, or their names."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from itertools import islice

from sftdata.read.formats.roles import normalized
from sftdata.read.formats.values import is_given

_KINDS = r"(image|img|picture|pic|photo|photograph|screenshot|pixel_value|audio|video|waveform|spectrogram)s?"
_FORMS = (
    r"(_?(path|file|file_?name|url|uri|link|src|data|byte|base64|b64|blob|content|array|tensor|sample|list|input|feature"
    r"|embedding|value|token|code|video))?s?"
)
_NAME = re.compile(rf"((input|raw|encoded|base64|b64|mel|log_mel)_)?{_KINDS}{_FORMS}(_?\d+)?|input_(features|values)")
# Names that may just as well be those of texts: only a value that is a picture, a sound or a video counts.
_WEAK = re.compile(
    r"(speech|sound|voice|wav|mp3|media|file|attachment|frame|clip|figure|document_image|blob|binary)s?"
    r"(_path|_url|_array|_data|_b64|_base64|_bytes)?s?|.*_(b64|base64|bytes|blob|array)"
)
_FILE = re.compile(
    r"(?is)data:(image|audio|video)/.*|[^\n]{1,2000}\.(png|jpe?g|gif|webp|bmp|tiff?|svg|heic|wav|mp3|flac|ogg|opus|m4a|"
    r"mp4|mov|avi|mkv|webm)([?#]\S*)?\s*"
)
# The first four characters of a URL that is data, and of files of pictures, sound, video and documents in base64: PNG,
# JPEG, GIF, RIFF (WAV, WebP, AVI), PDF, MP3, Ogg, FLAC, WebM, TIFF, MP4.
FILE_HEADS = {"data", "iVBO", "/9j/", "R0lG", "UklG", "JVBE", "SUQz", "T2dn", "Zkxh", "GkXf", "SUkq", "TU0A", "AAAA"}
_IS_BASE64 = re.compile(r"[A-Za-z0-9+/\r\n]+={0,2}\s*")
_MP4 = re.compile(r"AAAA[A-Za-z0-9+/]{2}Z0eX")
_URL = re.compile(r"(?i)data:((image|audio|video)/|application/(pdf|octet-stream))")
_MIN_BASE64 = 40  # characters: no file is smaller
_MIN_NUMBERS = 64  # pixels or samples; sizes, positions and ids are fewer


@lru_cache(maxsize=1 << 12)
def strength(name: str) -> int:
    """2 for the name of a column of pictures, sound or video; 1 for a name that may be one; else 0."""
    plain = normalized(name)
    if _NAME.fullmatch(plain):
        return 2
    return int(_WEAK.fullmatch(plain) is not None)


def is_media(name: str, value: object) -> bool:
    """Whether a column, or a key of a turn, holds pictures, sound or video: by its name, or by the bytes in it.

    Single numbers and booleans are not media, whatever their name; and empty values are not.
    """
    if value is None or isinstance(value, (bool, int, float)):
        return False
    how = strength(name)
    if how == 2:
        return is_given(value) and _is_more_than_numbers(name, value)
    return _is_file(value, how == 1) or (how == 1 and "array" in name.lower() and _has_numbers(value))


def describe_media(value: object) -> str:
    """What a value that is media holds, for messages."""
    heads = [item for item in _texts(value) if item[:16].startswith(("%PDF", "JVBERi0", "data:application/pdf"))]
    return "a PDF document" if heads else "pictures, sound or video"


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, (Mapping, list, tuple)):
        for item in value.values() if isinstance(value, Mapping) else value:
            yield from _texts(item)
    elif isinstance(value, (str, bytes)):
        yield value if isinstance(value, str) else value[:16].decode("latin-1")


def holds_file(value: object) -> bool:
    """Whether a value has the bytes of a picture, a sound, a video or a document in it, whatever its name."""
    return _is_file(value, False)


def _is_more_than_numbers(name: str, value: object) -> bool:
    """Whether a value is text, an object, bytes, or a list with one; numbers only if they are pixels or samples."""
    if isinstance(value, (list, tuple)):
        if normalized(name).startswith(("pixel", "input")) or _has_numbers(value):
            return True
        return any(_is_more_than_numbers(name, item) for item in value)
    return value is not None and not isinstance(value, (bool, int, float))


def _has_numbers(value: object) -> bool:
    """Whether a list, or one in it, has as many numbers as a picture or a sound."""
    return sum(1 for _ in islice(_numbers(value), _MIN_NUMBERS)) == _MIN_NUMBERS


def _numbers(value: object) -> Iterator[float]:
    if isinstance(value, (list, tuple)):
        for item in value:
            yield from _numbers(item)
    elif isinstance(value, (int, float)):
        yield value


def _is_file(value: object, with_names: bool) -> bool:
    """Whether a value has the bytes of a file, as `datasets` keeps pictures and sound; if asked, or its name."""
    if isinstance(value, bytes):
        return bool(value)
    if isinstance(value, str):
        return (value[:4] in FILE_HEADS and is_file_text(value)) or (with_names and _FILE.fullmatch(value) is not None)
    if isinstance(value, Mapping):
        if value.keys() <= {"bytes", "path", "array", "sampling_rate"}:
            path = value.get("path")
            if value.get("bytes") or value.get("array") or (isinstance(path, str) and _FILE.fullmatch(path)):
                return True
        return any(_is_file(item, with_names) for item in value.values())
    return isinstance(value, (list, tuple)) and any(_is_file(item, with_names) for item in value)


def is_file_text(text: str) -> bool:
    """Whether a text that begins as in FILE_HEADS is a file: a picture, a sound, a video or a document."""
    if text.startswith("data"):
        return _URL.match(text) is not None
    if len(text) < _MIN_BASE64 or _IS_BASE64.fullmatch(text) is None:
        return False
    return not text.startswith("AAAA") or _MP4.match(text) is not None
