"""Text of a dataset as HTML: escaped, with white space and invisible characters marked."""

from __future__ import annotations

import re
import unicodedata
from html import escape

from sftdata.safe.control_chars import INVISIBLE, char_name, visible_char

_MARKED = re.compile(f"[ \n\t\ufffd{INVISIBLE}]")


def visible(text: str) -> str:
    """Text as escaped HTML with white space and invisible characters marked.

    Copying it from a browser gives the text itself, except for control characters, which are not allowed in HTML: they
    become Unicode control pictures.
    """
    return _MARKED.sub(_mark, escape(text))


def _mark(match: re.Match[str]) -> str:
    char = match[0]
    if char == " ":
        return '<i class="s"> </i>'
    if char == "\n":
        return '<i class="n"></i>\n'
    if char == "\t":
        return '<i class="b">\t</i>'
    if char == "\ufffd":
        return f'<i class="r" title="U+FFFD: invalid bytes">{char}</i>'
    inside = visible_char(char) if unicodedata.category(char) == "Cc" else char
    return f'<i class="u" data-c="{char_name(char)}">{escape(inside)}</i>'
