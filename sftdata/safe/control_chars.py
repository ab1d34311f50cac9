"""Invisible characters and characters that control a terminal: which ones, their names, visible replacements."""

from __future__ import annotations

import re
from html import escape

# The inside of a regex class [...]: control, format and space characters other than space, newline and tab.
INVISIBLE = (
    "\x00-\x08\x0b-\x1f\x7f-\xa0\xad\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u1680\u180e\u2000-\u200f"
    "\u2028-\u202f\u205f-\u206f\u3000\ufeff\ufff9-\ufffb\U000110bd\U000110cd\U00013430-\U00013438"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e007f"
)
_C0 = (
    *("NUL", "SOH", "STX", "ETX", "EOT", "ENQ", "ACK", "BEL", "BS", "HT", "LF", "VT", "FF", "CR", "SO", "SI"),
    *("DLE", "DC1", "DC2", "DC3", "DC4", "NAK", "SYN", "ETB", "CAN", "EM", "SUB", "ESC", "FS", "GS", "RS", "US"),
)


def char_name(char: str) -> str:
    """`ESC` for an ASCII control character, `U+200B` for others."""
    code = ord(char)
    if code < 0x20:
        return _C0[code]
    return "DEL" if code == 0x7F else f"U+{code:04X}"


def visible_char(char: str) -> str:
    """Visible text for an invisible character: the Unicode control picture if there is one, else its code point."""
    code = ord(char)
    if code < 0x20:
        return chr(0x2400 + code)
    return "\u2421" if code == 0x7F else f"<U+{code:04X}>"


def encodable(text: str, encoding: str) -> str:
    """Text with characters that an encoding lacks replaced by escapes."""
    return text.encode(encoding, "backslashreplace").decode(encoding)


def one_line(text: str) -> str:
    """Text, such as the name of a file, with its line breaks made visible."""
    return re.sub(r"[\n\r]", lambda match: visible_char(match[0]), text)


def terminal_safe(text: str) -> str:
    """Text on one line, with control and invisible characters made visible."""
    return re.sub(f"[\n\t{INVISIBLE}]", lambda match: visible_char(match[0]), text)


def html_safe(text: str) -> str:
    """The same as HTML, for texts and quoted attributes."""
    return escape(terminal_safe(text))
