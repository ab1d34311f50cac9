"""Turns that name a channel of Harmony, in which gpt-oss answers -> one turn for each answer.

{"role": "assistant", "channel": "analysis", "content": "It is 3."}      the reasoning of the turn behind it
{"role": "assistant", "channel": "commentary", "recipient": "functions.f", "content": "{}"}      a call of f
{"role": "assistant", "channel": "final", "content": "Three."}           the answer
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sftdata.read.formats.roles import role_of
from sftdata.read.formats.shapes.training import trained_by
from sftdata.read.formats.values import ConversionError, is_given

FOLDED = object()  # in place of a turn that has become a part of the turn behind it
_CHANNELS = ("analysis", "commentary", "final")
_FUNCTIONS = "functions."
_CALLS = ("tool_calls", "function_call")


class TurnKeys:
    """The keys under which turns have their role, content and reasoning, and the roles that the source names."""

    def __init__(self, role: str | None, content: str | None, reasoning: str | None, roles: Mapping[str, str]) -> None:
        self.role = role or "role"
        self.content = content or "content"
        self.reasoning = reasoning or "reasoning_content"
        self._roles = roles

    def role_of(self, turn: Any) -> str | None:
        """The role of a turn; None if it is not known."""
        name = (turn.get(self.role) or turn.get("from")) if isinstance(turn, dict) else None
        return role_of(name, self._roles) if isinstance(name, str) else None


def join_channels(turns: Sequence[Any], keys: TurnKeys) -> Sequence[Any]:
    """The turns with the analysis of an answer as its reasoning, and FOLDED in place of the turn that it was. Turns
    without channels are returned as they are.

    Raises ConversionError: roles_out_of_order for texts of two channels in a row, which no template writes as one turn,
    conflicting_fields if the parts of one answer contradict each other.
    """
    if not any(isinstance(turn, dict) and _channel(turn) is not None for turn in turns):
        return turns
    found: list[Any] = []
    before: str | None = None  # the channel of the turn before, if that is an answer
    for number, turn in enumerate(turns, 1):
        channel = _channel(turn) if isinstance(turn, dict) else None
        role = keys.role_of(turn)
        if channel is None or role not in ("assistant", "tool"):
            found.append(turn)
            before = None
            continue
        try:
            own = _own(turn, channel, keys) if role == "assistant" else _result(turn)
            own = _with_part(own, channel, found, before, keys) if role == "assistant" else own
        except ConversionError as error:
            raise ConversionError(error.drop.reason, f"turn {number}: {error.drop.detail}") from None
        found.append(own)
        before = channel if role == "assistant" else None
    return found


def _channel(turn: Mapping[str, Any]) -> str | None:
    """The channel of Harmony that a turn names; None for any other value."""
    value = turn.get("channel")
    name = value.strip().lower() if isinstance(value, str) else ""
    return name if name in _CHANNELS else None


def _result(turn: Mapping[str, Any]) -> dict[str, Any]:
    """A tool's turn without what every one of them has in Harmony."""
    rest = {name: value for name, value in turn.items() if name != "channel"}
    if isinstance(turn.get("name"), str):
        rest["name"] = turn["name"].removeprefix(_FUNCTIONS)
    if turn.get("recipient") == "assistant":
        del rest["recipient"]
    return rest


def _own(turn: dict[str, Any], channel: str, keys: TurnKeys) -> dict[str, Any]:
    """An assistant's turn by itself, without its channel where that is said in another way."""
    key = keys.content if turn.get(keys.content) is not None else "value"
    content, recipient = turn.get(key), turn.get("recipient")
    rest = {name: value for name, value in turn.items() if name not in ("channel", key)}
    if channel == "analysis":
        if is_given(content) and is_given(turn.get(keys.reasoning)) and turn[keys.reasoning] != content:
            raise ConversionError("conflicting_fields", "its channel is analysis, but a field has other reasoning")
        return {**rest, keys.content: None, **({keys.reasoning: content} if is_given(content) else {})}
    if isinstance(recipient, str) and recipient.startswith(_FUNCTIONS) and not _calls(turn) and is_given(content):
        rest = {name: value for name, value in rest.items() if name not in ("recipient", "content_type")}
        call = {"name": recipient.removeprefix(_FUNCTIONS), "arguments": _text(content)}
        return {**rest, keys.content: None, "tool_calls": [call]}
    return {**rest, key: content} if channel == "final" or _calls(turn) else turn


def _calls(turn: Mapping[str, Any]) -> bool:
    return any(is_given(turn.get(name)) for name in _CALLS)


def _text(content: Any) -> Any:
    """The text of a content of one part; any other content unchanged."""
    if isinstance(content, list) and len(content) == 1 and isinstance(content[0], Mapping):
        return content[0].get("text", content)
    return content


def _with_part(
    turn: dict[str, Any], channel: str, found: list[Any], before: str | None, keys: TurnKeys
) -> dict[str, Any]:
    """A turn with the turn before it, if that is a part of it: its reasoning, or the text before its calls."""
    part = found[-1] if before is not None else None
    if part is None or before == channel == "analysis":
        return turn
    is_reasoning = before == "analysis" and not _calls(part)
    is_preamble = before == channel == "commentary" and not _calls(part) and _calls(turn)
    if not is_reasoning and not (is_preamble and not is_given(turn.get(keys.content))):
        if before != channel and "analysis" not in (before, channel) and not (_calls(part) or _calls(turn)):
            raise ConversionError(
                "roles_out_of_order",
                f"its channel is {channel} and that of the assistant's turn before it is {before}, and no template "
                "writes both in one turn",
            )
        return turn
    if trained_by(part)[0] != trained_by(turn)[0]:
        raise ConversionError("conflicting_fields", f"its weight (or train) is not that of its {before}")
    if all(is_given(each.get(keys.reasoning)) for each in (part, turn)):
        raise ConversionError("conflicting_fields", "it has reasoning of its own and in the analysis before it")
    found[-1] = FOLDED
    part = {name: value for name, value in part.items() if name != "channel"}
    given = {name: value for name, value in turn.items() if is_given(value) or name not in part}
    return {**part, **given}
