"""What is said of texts that are trained as they are, though their owner may mean something else.

They are looked for in all texts of a batch at once; what is found is looked at in detail.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from sftdata.encode.stats import EncodingStats
from sftdata.records.column import RecordColumn
from sftdata.records.reasoning_marks import BEGINNING as REASONING_BEGINNING
from sftdata.records.reasoning_marks import FIRST_BYTES as REASONING_FIRST
from sftdata.records.reasoning_marks import split_reasoning
from sftdata.records.record import Record
from sftdata.records.rendered import BEGINNING as CHAT_BEGINNING
from sftdata.records.rendered import ends_rendered, looks_rendered

# Where a picture was, as LLaVA's data has it: before or behind the question. In the middle of a text it may be HTML.
MEDIA = ("<image>", "<audio>", "<video>", "<|image|>", "<|audio|>", "<|image_1|>", "<|audio_1|>")
_CHAT, _REASONING = re.compile(CHAT_BEGINNING), re.compile(REASONING_BEGINNING)


def note_texts(
    column: RecordColumn,
    dropped: Sequence[object],
    others: Sequence[Record],
    stats: EncodingStats,
    *,
    leaves_reasoning: bool,
) -> None:
    """Count messages that are chats in the marks of a template, messages with the mark of a picture or a sound, and
    rows whose system message lists the tools again; and with `leaves_reasoning`, answers that begin with reasoning.

    `dropped` marks rows of the column that do not count; `others` are its records that are not plain.
    """
    own = [(one.role, one.content or "") for record in others for one in record.messages]

    def texts(pattern: str, first: bytes = b"") -> Iterator[tuple[str, str]]:
        return ((role, text) for row, role, text in column.texts_matching(pattern, first) if not dropped[row])

    chats = (one for one in own if _CHAT.match(one[1]))
    _count_rendered([*texts(CHAT_BEGINNING), *chats], stats)
    media = [*(hit[1:] for hit in column.texts_at_an_end(MEDIA) if not dropped[hit[0]]), *own]
    stats.changes["media_marks"] += sum(map(_has_media_mark, media))
    stats.changes["tools_twice"] += sum(map(_lists_tools_twice, others))
    if leaves_reasoning:
        closed = (one for one in texts("</think>") if not _REASONING.match(one[1]))
        _count_reasoning([*texts(REASONING_BEGINNING, REASONING_FIRST), *closed, *own], stats)


def _count_rendered(texts: Iterable[tuple[str, str]], stats: EncodingStats) -> None:
    for _, text in texts:
        family = looks_rendered(text) or ends_rendered(text)
        if family is not None:
            stats.rendered[family] += 1


def _count_reasoning(texts: Iterable[tuple[str, str]], stats: EncodingStats) -> None:
    for role, text in texts:
        found = split_reasoning(text) if role == "assistant" else None
        if found is not None:
            stats.reasoning[f"unwritten: {found.mark}"] += 1


def _has_media_mark(message: tuple[str, str]) -> bool:
    role, text = message
    return role != "assistant" and (text.lstrip().startswith(MEDIA) or text.rstrip().endswith(MEDIA))


def _lists_tools_twice(record: Record) -> bool:
    """Whether a system message of a record lists the tools that the record declares too."""
    if not record.tools:
        return False
    system = "\n".join(one.content or "" for one in record.messages if one.role in ("system", "developer"))
    names = [
        tool.get("function", tool).get("name") for tool in record.tools if isinstance(tool.get("function", tool), dict)
    ]
    is_list = "<tools>" in system or '"parameters"' in system or "'parameters'" in system
    return is_list and bool(names) and all(isinstance(name, str) and name in system for name in names)
