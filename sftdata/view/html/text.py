"""Text of a dataset as HTML: escaped, with white space and invisible characters marked."""

from __future__ import annotations

import re
import unicodedata
from html import escape

from sftdata.safe.control_chars import INVISIBLE, char_name, html_safe, visible_char

_MARKED = re.compile(f"[ \n\t\ufffd{INVISIBLE}]")
_SPACE = re.compile(r"<[^>]*>| +|\t|\n")
_HIDDEN = re.compile(f"(?![\n\t])[\ufffd{INVISIBLE}]")


def visible(text: str) -> str:
    """Text as escaped HTML with white space and invisible characters marked.

    Copying it from a browser gives the text itself, except for control characters, which are not allowed in HTML: they
    become Unicode control pictures.
    """
    return _MARKED.sub(_mark, escape(text, quote=False))


def readable(text: str) -> str:
    """The same with nothing marked that can be seen: white space is as it is."""
    return _HIDDEN.sub(_mark, escape(text, quote=False))


def token_text(text: str) -> str:
    """The text of a token: white space marked where the stylesheet is asked to, but for a space that begins it, and for
    spaces or a line break that are all of it, which its tag says.
    """
    if text == "\n" or text.strip(" ") == "":
        return text
    begins = text[:1] == " " and text[1:2] != " "
    marked = _SPACE.sub(_space, readable(text[1:] if begins else text))
    return f" {marked}" if begins else marked


def _space(match: re.Match[str]) -> str:
    space = match[0]
    if space.startswith("<"):  # a mark, not text
        return space
    if space == "\n":
        return "<u></u>\n"
    tag = "q" if space == "\t" else "s"
    return f"<{tag}>{space}</{tag}>"


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


def code(text: str) -> str:
    """A name, a setting or a command."""
    return f"<code>{html_safe(text)}</code>"
