"""Whether a row says of a turn that it is trained: `train`, or what other programs call it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sftdata.read.formats.values import ConversionError, describe_value

# Flags of axolotl and ms-swift, which may also be something else (the loss that was measured), and weights.
_FLAGS, _WEIGHTS = ("training", "loss"), ("weight", "loss_weight")


def trained_by(turn: Mapping[str, Any]) -> tuple[bool | None, list[str]]:
    """Whether the row says that a turn is trained, None if it does not, and the keys that say so.

    Raises ConversionError: wrong_type for a `train` or a weight with another value, conflicting_fields if two keys say
    different things.
    """
    found: dict[str, bool] = {}
    train = turn.get("train")
    if train is not None:
        if not isinstance(train, bool):
            raise ConversionError("wrong_type", f"its train is {describe_value(train)}, not true or false")
        found["train"] = train
    found |= {name: turn[name] for name in _FLAGS if isinstance(turn.get(name), bool)}
    for name in _WEIGHTS:
        weight = turn.get(name)
        if weight is not None:
            if not isinstance(weight, (int, float)) or weight not in (0, 1):
                raise ConversionError("wrong_type", f"its {name} is {describe_value(weight)}; a weight is 0 or 1")
            found[name] = bool(weight)
    names = list(found)
    for name in names[1:]:
        if found[name] != found[names[0]]:
            detail = f"its {names[0]} and its {name} say different things of whether it is trained"
            raise ConversionError("conflicting_fields", detail)
    return (found[names[0]] if names else None), names
