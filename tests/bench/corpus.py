"""A corpus of any size, made of the shared data by repeating and varying it."""

from __future__ import annotations

import json
import re
from pathlib import Path

# Frequent words. Each round over the data writes them in its own way, which changes two thirds of all runs of three
# words, so that the rounds are no near-duplicates of each other. All rounds add as many digits, each of which is a
# token: else ten times the records would have eleven times the tokens.
_WORDS = re.compile(r"\b(the|of|and|to|a|in|is|for|that|with|you|it|on|as)\b")


def write_corpus(path: Path, data: Path, records: int) -> None:
    """Write `records` conversations, as JSON lines, made from those in `data`."""
    lines = [json.loads(line) for line in data.open("rb")]
    with path.open("w", encoding="utf-8") as file:
        for number in range(records):
            round_, row = divmod(number, len(lines))
            messages = [
                {**message, "content": _varied(message["content"], round_)} for message in lines[row]["messages"]
            ]
            file.write(json.dumps({"messages": messages}) + "\n")


def _varied(text: str, round_: int) -> str:
    return _WORDS.sub(rf"\g<1>{round_:02}", text)
