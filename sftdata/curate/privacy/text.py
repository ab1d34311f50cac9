"""What all finders share: where a word ends (scripts without spaces between words do not hide what is next to them),
plain signs, and what every number looks like.
"""

from __future__ import annotations

import re

Span = tuple[int, int]

# Chinese and Japanese characters, their punctuation, and Korean syllables. A Korean particle is joined to a word.
CJK = "\u3005-\u30ff\u31f0-\u31ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff\uff66-\uff9f"
# Word characters of other scripts: a number or an address that touches one of them is a part of something else.
WORD = rf"[^\W{CJK}]"
BEFORE = rf"(?<!{WORD})"
AFTER = rf"(?!{WORD})"

# Spaces and hyphens that do not break, dashes, and the wide characters of Chinese and Japanese keyboards, by the plain
# character that people mean.
_PLAIN = dict.fromkeys("\u00a0\u2007\u2009\u202f\u3000", " ")
_PLAIN |= dict.fromkeys("\u2010\u2011\u2012\u2013\u2212\uff0d", "-")
_PLAIN |= {chr(ord(sign) + 0xFEE0): sign for sign in "0123456789@.()+"}
_TO_REPLACE = re.compile("[" + "".join(_PLAIN) + "]")

# Every kind of number contains this, except IPv6 addresses; most texts contain neither.
MANY_DIGITS = re.compile(r"\d[\d ()./-]{5,}\d")


def has_many_digits(text: str) -> bool:
    """Whether the text holds anything that may be an IBAN, a credit card, a phone number, or an IPv4 address."""
    return MANY_DIGITS.search(text) is not None


def plain_signs(text: str) -> str:
    """The text, as long as before, with plain spaces, hyphens and digits, so that finders need no other ones."""
    for sign in set(_TO_REPLACE.findall(text)):  # much faster than str.translate
        text = text.replace(sign, _PLAIN[sign])
    return text
