"""Characters that nobody sees, or that a terminal obeys: which they are, and what to call them."""

from __future__ import annotations

import re

# The inside of a regular expression's [...]: control characters, and spaces and formats other than space, newline, tab.
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
    """`ESC` for a control character of ASCII, `U+200B` for anything else."""
    code = ord(char)
    if code < 0x20:
        return _C0[code]
    return "DEL" if code == 0x7F else f"U+{code:04X}"


def visible_char(char: str) -> str:
    """Visible text for an invisible character: Unicode's picture of a control character, else its number."""
    code = ord(char)
    if code < 0x20:
        return chr(0x2400 + code)
    return "\u2421" if code == 0x7F else f"<U+{code:04X}>"


def encodable(text: str, encoding: str) -> str:
    """Text with an escape for each character that an encoding lacks."""
    return text.encode(encoding, "backslashreplace").decode(encoding)


def terminal_safe(text: str) -> str:
    """Text without a character that a terminal would obey, on one line."""
    return re.sub(f"[\n\t{INVISIBLE}]", lambda match: visible_char(match[0]), text)
