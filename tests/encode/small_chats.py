"""Short conversations, and encoded samples as text that a test can compare by eye."""

from __future__ import annotations

from typing import Any

from sftdata.encode.record_encoder import RecordEncoder
from sftdata.records.record import Drop, Message, Record


def chat(*turns: str, **fields: Any) -> Record:
    """A record of alternating user and assistant turns. `fields` are set on the last turn."""
    roles = ["user", "assistant"] * len(turns)
    messages = [Message(role=role, content=text) for role, text in zip(roles, turns)]
    if fields:
        messages[-1] = messages[-1]._replace(**fields)
    return Record(messages=tuple(messages))


def encode_to_text(encoder: RecordEncoder, record: Record) -> Any:
    """The samples of a record as text, with trained parts in double braces; or the drop."""
    result = encoder.encode([record])[0]
    if isinstance(result, Drop):
        return result
    texts = []
    for sample in result:
        text, inside = "", False
        for id_, label in zip(sample.input_ids.tolist(), sample.labels.tolist()):
            if (label != -100) != inside:
                inside = not inside
                text += "{{" if inside else "}}"
            text += encoder.decode([id_])
        texts.append(text + ("}}" if inside else ""))
    return texts
