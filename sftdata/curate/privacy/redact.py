"""Personal data and secrets in a record: find them, replace them with [EMAIL] and the like, or report where they are.

A finding holds its kind and its place, never the text, so everything written about findings is safe to show.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import orjson

from sftdata.curate.privacy.settings import KINDS, Kind, PrivacyConfig
from sftdata.curate.privacy.text import Span, has_many_digits, plain_signs
from sftdata.records.record import Message, Record, ToolCall

PLACEHOLDERS: Mapping[str, str] = {kind: f"[{kind.upper()}]" for kind in KINDS}
DEFAULT = PrivacyConfig()
# Searches of a whole text before only the surroundings of what was found last are searched: how far these reach on
# either side, and how much at their edges is only looked at.
_FULL_ROUNDS, _NEAR_CHARS, _EDGE_CHARS = 3, 200, 64


@dataclass(frozen=True, slots=True)
class Finding:
    """One piece of personal data: its kind and where it is, never the data itself.

    `start` and `end` count characters in the text named `place`, such as "message 2"; "" if a single text was searched.
    """

    kind: str
    start: int
    end: int
    place: str = ""


def find_private(text: str, settings: PrivacyConfig = DEFAULT) -> tuple[Finding, ...]:
    """All findings in a text, in order, without overlaps.

    The search is repeated until a text with all findings replaced contains none: replacing one finding can reveal
    another next to it.
    """
    found = _search(text, settings)
    if not found:
        return ()
    rounds = 0
    while more := _search(_replaced(text, found), settings):
        place = _Places(found)
        revealed = [Finding(new.kind, place.in_text(new.start), place.in_text(new.end - 1) + 1) for new in more]
        rounds += 1
        if rounds >= _FULL_ROUNDS:
            revealed = _revealed_in_turn(text, found, revealed, settings)
        found = _merged([*found, *revealed])
    return found


def _revealed_in_turn(
    text: str, found: Sequence[Finding], revealed: Sequence[Finding], settings: PrivacyConfig
) -> list[Finding]:
    """These findings, and those next to them that replacing one after the other reveals.

    Each time only the surroundings are searched: in a list of a thousand numbers of which one reveals the next, a
    thousand searches of the whole text would take the square of its length.
    """
    characters = list(text if text.isascii() else plain_signs(text))
    for finding in (*found, *revealed):
        _blank(characters, finding)
    kinds = tuple(kind for kind in settings.kinds if kind != "ip_address")  # what an address is, the whole text says
    settings = settings.model_copy(update={"kinds": kinds})
    everything, waiting = list(revealed), list(revealed)
    while waiting:
        near = waiting.pop()
        first, last = max(0, near.start - _NEAR_CHARS), min(len(text), near.end + _NEAR_CHARS)
        for new in _search("".join(characters[first:last]), settings):
            start, end = first + new.start, first + new.end
            if (first == 0 or new.start >= _EDGE_CHARS) and (last == len(text) or end <= last - _EDGE_CHARS):
                finding = Finding(new.kind, start, end)
                _blank(characters, finding)
                everything.append(finding)
                waiting.append(finding)
    return everything


def _blank(characters: list[str], finding: Finding) -> None:
    """Write a placeholder of the same length over a finding."""
    characters[finding.start : finding.end] = "[" + "_" * (finding.end - finding.start - 2) + "]"


def _search(text: str, settings: PrivacyConfig) -> tuple[Finding, ...]:
    """One pass over a text. Where findings overlap, the kind that comes first in KINDS is kept."""
    found: list[Finding] = []
    taken = bytearray()  # a byte for each character, 1 where something is found
    if not text.isascii():
        text = plain_signs(text)
    has_numbers = has_many_digits(text)
    for kind in KINDS if has_numbers else _WITHOUT_NUMBERS:
        if kind in settings.kinds:
            for start, end in _finder(kind)(text, settings, has_numbers):
                if not taken:
                    taken = bytearray(len(text))
                if taken.find(1, start, end) < 0:
                    taken[start:end] = b"\1" * (end - start)
                    found.append(Finding(kind, start, end))
    return tuple(sorted(found, key=lambda finding: finding.start))


# The kinds that a text without many digits may hold.
_WITHOUT_NUMBERS: tuple[Kind, ...] = ("private_key", "api_key", "email", "ip_address")


@cache
def _finder(kind: Kind) -> Callable[[str, PrivacyConfig, bool], Iterable[Span]]:
    """What finds the (start, end) of everything of this kind in a text. It is imported when it is first needed: the
    patterns of all kinds take 0.06 s to compile, and a run without `privacy` looks for keys alone.
    """
    if kind == "private_key" or kind == "api_key":
        from sftdata.curate.privacy.secrets import api_keys, private_keys

        find = private_keys if kind == "private_key" else api_keys
        return lambda text, settings, has_numbers: find(text)
    if kind == "email":
        from sftdata.curate.privacy.emails import emails

        return lambda text, settings, has_numbers: emails(text)
    if kind == "ip_address":
        from sftdata.curate.privacy.addresses import ip_addresses

        return lambda text, settings, has_numbers: ip_addresses(text, settings.private_ips, has_numbers)
    if kind == "phone":
        from sftdata.curate.privacy.phones import phones

        return lambda text, settings, has_numbers: phones(text, settings.phone_regions)
    from sftdata.curate.privacy.patterns import credit_cards, ibans

    find_number = ibans if kind == "iban" else credit_cards
    return lambda text, settings, has_numbers: find_number(text)


def _replaced(text: str, found: Sequence[Finding]) -> str:
    """The text with placeholders."""
    pieces: list[str] = []
    position = 0
    for finding in found:
        pieces += (text[position : finding.start], PLACEHOLDERS[finding.kind])
        position = finding.end
    pieces.append(text[position:])
    return "".join(pieces)


class _Places:
    """Where the characters of a text with placeholders are in the original."""

    def __init__(self, found: Sequence[Finding]) -> None:
        self._found = found
        self._starts: list[int] = []  # of the placeholders
        shift = 0
        for finding in found:
            self._starts.append(finding.start + shift)
            shift += len(PLACEHOLDERS[finding.kind]) - (finding.end - finding.start)

    def in_text(self, place: int) -> int:
        """The place in the original: for the last character of a placeholder that of the finding, else its first."""
        index = bisect_right(self._starts, place) - 1
        if index < 0:
            return place
        finding = self._found[index]
        behind = place - self._starts[index] - len(PLACEHOLDERS[finding.kind])
        return finding.start if behind < -1 else finding.end + behind


def _merged(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """Findings in order. Overlapping ones are merged into one of the kind of the first."""
    merged: list[Finding] = []
    for finding in sorted(findings, key=lambda finding: (finding.start, -finding.end)):
        if merged and finding.start < merged[-1].end:
            merged[-1] = replace(merged[-1], end=max(finding.end, merged[-1].end))
        else:
            merged.append(finding)
    return tuple(merged)


def redact(text: str, settings: PrivacyConfig = DEFAULT) -> tuple[str, tuple[Finding, ...]]:
    """The text with every finding replaced by its placeholder, and the findings, with places in the original text.

    Redacting twice changes nothing more. A text without findings is returned unchanged.
    """
    found = find_private(text, settings)
    return (_replaced(text, found) if found else text), found


def redact_record(record: Record, settings: PrivacyConfig = DEFAULT) -> tuple[Record, tuple[Finding, ...]]:
    """The record with every finding replaced, and the findings. The same object if nothing is found.

    The search covers messages, their reasoning, the arguments of tool calls, the tools, and the text of a plain-text
    record.
    """
    found: list[Finding] = []

    def clean(value: Any, place: str) -> Any:
        if value is None:
            return None
        cleaned, findings = _redact_value(value, settings)
        found.extend(replace(finding, place=place) for finding in findings)
        return cleaned

    messages = tuple(
        _redact_message(message, f"message {number}", clean) for number, message in enumerate(record.messages, 1)
    )
    tools = clean(record.tools, "tools")
    text = clean(record.text, "text")
    if not found:
        return record, ()
    return record.replaced(messages=messages, tools=tools, text=text), tuple(found)


def _redact_message(message: Message, place: str, clean: Any) -> Message:
    """The message with its texts redacted, or itself if nothing changes."""
    content = clean(message.content, place)
    reasoning = clean(message.reasoning, f"{place}, reasoning")
    calls = tuple(_redact_call(call, f"{place}, tool call", clean) for call in message.tool_calls)
    if content is message.content and reasoning is message.reasoning and calls == message.tool_calls:
        return message
    return message._replace(content=content, reasoning=reasoning, tool_calls=calls)


def _redact_call(call: ToolCall, place: str, clean: Any) -> ToolCall:
    """The call with its arguments redacted. Arguments given as JSON text stay JSON text, with numbers as written."""
    if not isinstance(call.arguments, str):
        return replace(call, arguments=clean(call.arguments, place))
    try:
        orjson.loads(call.arguments)  # refuses what json takes: NaN, halves of characters
        parsed = json.loads(call.arguments, parse_float=_Written)
    except ValueError:
        return replace(call, arguments=clean(call.arguments, place))
    cleaned = clean(parsed, place)
    return call if cleaned is parsed else replace(call, arguments=_as_json(cleaned))


@dataclass(frozen=True, slots=True)
class _Written:
    """A number that is no integer, as it is written: a float may have other digits."""

    digits: str


def _as_json(value: Any) -> str:
    """A value as JSON text; integers of any size, and other numbers as they were written."""
    if isinstance(value, Mapping):
        items = (f"{_as_json(key)}:{_as_json(item)}" for key, item in value.items())
        return "{" + ",".join(items) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_as_json, value)) + "]"
    if isinstance(value, _Written):
        return value.digits
    is_number = isinstance(value, int) and not isinstance(value, bool)
    return str(value) if is_number else orjson.dumps(value).decode()


def _redact_value(value: Any, settings: PrivacyConfig) -> tuple[Any, list[Finding]]:
    """A text, or a JSON value with the texts in it, redacted; the same object if nothing is found."""
    if isinstance(value, str):
        cleaned, found = redact(value, settings)
        return cleaned, list(found)
    if isinstance(value, int) and not isinstance(value, bool):
        cleaned, found = redact(str(value), settings)
        return (cleaned if found else value), list(found)
    if isinstance(value, Mapping):
        parts = [(_redact_value(key, settings), _redact_value(item, settings)) for key, item in value.items()]
        findings = [finding for (_, in_key), (_, in_item) in parts for finding in (*in_key, *in_item)]
        return ({key: item for (key, _), (item, _) in parts} if findings else value), findings
    if isinstance(value, (list, tuple)):
        items = [_redact_value(item, settings) for item in value]
        findings = [finding for _, in_item in items for finding in in_item]
        return (type(value)(item for item, _ in items) if findings else value), findings
    return value, []


def describe(found: Sequence[Finding]) -> str:
    """A summary of findings: "2 email in message 1, 1 phone in message 2"."""
    counts = Counter((finding.place, finding.kind) for finding in found)
    return ", ".join(f"{count} {kind}" + (f" in {place}" if place else "") for (place, kind), count in counts.items())
