"""Where a word ends, for all finders: scripts without spaces between words do not hide what stands next to them."""

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
_PLAIN = dict.fromkeys(map(ord, "\u00a0\u2007\u2009\u202f\u3000"), " ")
_PLAIN |= dict.fromkeys(map(ord, "\u2010\u2011\u2012\u2013\u2212\uff0d"), "-")
_PLAIN |= {code: chr(code - 0xFEE0) for code in (*range(0xFF10, 0xFF1A), *map(ord, "＠．（）＋"))}
_TO_REPLACE = re.compile("[" + "".join(map(chr, _PLAIN)) + "]")


def plain_signs(text: str) -> str:
    """The text, as long as before, with plain spaces, hyphens and digits, so that finders need no other ones."""
    return text if text.isascii() or not _TO_REPLACE.search(text) else text.translate(_PLAIN)
