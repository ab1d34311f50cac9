"""Where a word ends, for all finders: scripts without spaces between words do not hide what stands next to them."""

from __future__ import annotations

Span = tuple[int, int]

# Chinese and Japanese characters, their punctuation, and Korean syllables. A Korean particle is joined to a word.
CJK = "\u3005-\u30ff\u31f0-\u31ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff\uff66-\uff9f"
# Word characters of other scripts: a number or an address that touches one of them is a part of something else.
WORD = rf"[^\W{CJK}]"
BEFORE = rf"(?<!{WORD})"
AFTER = rf"(?!{WORD})"
