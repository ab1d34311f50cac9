"""Whether the model's answer to a customer's message agrees with the reference: one check for each key."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


def intent(answer: str, row: Mapping[str, Any]) -> bool:
    """What the customer wants: refund, delivery, question, ..."""
    return _agrees("intent", answer, row)


def product(answer: str, row: Mapping[str, Any]) -> bool:
    """What it is about, in the words of the reference."""
    return _agrees("product", answer, row)


def urgency(answer: str, row: Mapping[str, Any]) -> bool:
    """Low, medium or high."""
    return _agrees("urgency", answer, row)


def sentiment(answer: str, row: Mapping[str, Any]) -> bool:
    """Happy, neutral, annoyed, worried or angry."""
    return _agrees("sentiment", answer, row)


def needs_human(answer: str, row: Mapping[str, Any]) -> bool:
    """Whether a person must look at it."""
    return _agrees("needs_human", answer, row)


def _agrees(key: str, answer: str, row: Mapping[str, Any]) -> bool:
    """Whether the answer is a JSON object with the value that the reference has."""
    reference = json.loads(row["messages"][-1]["content"])
    try:
        found = json.loads(answer)
    except ValueError:
        return False
    return isinstance(found, dict) and found.get(key) == reference[key]
