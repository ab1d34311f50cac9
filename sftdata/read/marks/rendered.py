"""Texts and prompts that are chats which a template has already rendered: refused by name.

The way out that a refusal names was tried on the row.
"""

from __future__ import annotations

from collections.abc import Sequence

from sftdata.read.formats.values import ConversionError
from sftdata.records.record import Message
from sftdata.records.rendered import ends_rendered, looks_rendered, rendered_turns

_READ_BACK = "format: rendered"
KEEP = "rendered_chats: keep"


def refuse_text(value: object, label: str, keep: str = KEEP) -> None:
    """Raise ConversionError if a value is a text that looks rendered. `keep` is what to set to train it as it is."""
    family = looks_rendered(value) if isinstance(value, str) else None
    if family is not None:
        raise _error(label, family, _READ_BACK if rendered_turns(str(value)) is not None else None, keep)


def refuse_prompt(messages: Sequence[Message], label: str, answer: object, columns: str = "") -> None:
    """Raise ConversionError if the only message is a prompt that is rendered, up to the marks that open the answer.

    `columns` is the setting with which format: rendered finds the two, if it needs one.
    """
    prompt = (messages[0].content or "") if len(messages) == 1 else ""
    family = ends_rendered(prompt)
    if family is not None:
        is_proven = isinstance(answer, str) and rendered_turns(prompt + answer) is not None
        way = " and ".join(filter(None, [_READ_BACK, columns]))
        raise _error(label, family, way if is_proven else None, KEEP)


def _error(label: str, family: str, way: str | None, keep: str) -> ConversionError:
    what = f"its {label} is a conversation that is already written in the marks of {family}"
    todo = f"{way} reads it back into turns"
    if way is None:
        todo = "which turns it has cannot be proven, so write them as messages"
    return ConversionError("rendered_chat", f"{what}; {todo}; {keep} keeps it as text")
