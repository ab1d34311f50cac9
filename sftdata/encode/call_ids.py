"""Ids of tool calls in the form that a chat template demands, for rows that have none or those of another program.

Some templates write the id of a call, so that a model learns to write one: Mistral's ask for nine letters and digits,
Kimi's write `functions.NAME:NUMBER` in place of the name. Made ids depend on the conversation alone.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from xxhash import xxh3_64_intdigest

from sftdata.encode.template.jinja import Turn
from sftdata.encode.template.probes import RESULT, USER, TemplateProbes, tool_turn
from sftdata.records.record import Drop, Message, Record, ToolCall

_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_LENGTH = 9
_FORMS = {
    "any": "ids of calls",
    "long": "ids of nine characters or more",
    "nine": "ids of nine letters and digits",
    "named": "ids such as functions.NAME:0 in place of names",
}
_FITS = {"nine": re.compile(r"[0-9A-Za-z]{9}"), "long": re.compile(r"(?s).{9,}"), "any": re.compile(r"(?s).+")}


class CallIds(NamedTuple):
    """What a template asks of the ids of tool calls.

    "any": it writes them, or demands that there are some; "long": of nine characters or more; "nine": of nine letters
    and digits; "named": functions.NAME:NUMBER, in place of the name; "" if it does nothing with them.
    """

    form: str
    restarts: bool = False  # whether the template itself numbers the calls of every turn from 0, for "named" ids


def find_call_ids(probes: TemplateProbes) -> CallIds:
    """What the template asks of the ids of calls."""
    return probes.once(_find)


def _find(probes: TemplateProbes) -> CallIds:
    own = probes.ids
    # It may take one call a conversation alone, or no results.
    lengths = ((n, text) for n in (5, 3, 2) if (text := _with_ids(probes, own, n)) is not None)
    length, text = next(lengths, (0, ""))
    numbers = re.findall(r"functions\.lookup:(\d+)", text)
    if not length or numbers:
        if own[0] not in text:
            return CallIds("")  # it writes no calls, or ids of its own everywhere
        return CallIds("named", restarts=length == 5 and len({*numbers}) == 1)
    if _with_ids(probes, ["a-longer-id-1", "a-longer-id-2"], length) is None:
        return CallIds("nine")
    if _with_ids(probes, ["c1", "c2"], length) is None:
        return CallIds("long")
    return CallIds("any" if own[0] in text or _with_ids(probes, [None, None], length) is None else "")


def _with_ids(probes: TemplateProbes, ids: Sequence[str | None], length: int) -> str | None:
    """What the template writes for the first messages of two rounds of tools with these ids, or None."""
    turn = probes.tool_turn
    if turn is None:
        return None
    arguments = turn["tool_calls"][0]["function"]["arguments"]
    turns = [tool_turn(turn["content"], arguments, ids=[id_]) for id_ in ids]
    results = [{**RESULT, "tool_call_id": id_} for id_ in ids]  # like transformers, rendering leaves out a null
    chat: list[Turn] = [{"role": "user", "content": USER}, *(one for pair in zip(turns, results) for one in pair)]
    text = probes.probe(chat[:length], tools=True)
    return None if text is None else text.partition(USER)[2]


def with_call_ids(record: Record, probes: TemplateProbes) -> tuple[Record, int]:
    """The record with ids that the template takes, and how many calls have got one. Ids that it takes stay.

    A result gets the id of its call: of the one whose id it has, or else of the first without a result, of those with
    its name if there are any.
    """
    if not any(message.tool_calls for message in record.messages):
        return record, 0
    wanted = find_call_ids(probes)
    if not wanted.form:
        return record, 0
    maker = _Maker(wanted, record)
    messages = tuple(maker.messages(record.messages))
    return (record.replaced(messages=messages) if messages != record.messages else record), maker.made


def with_made_ids(
    records: Sequence[Record], probes: TemplateProbes, written: Sequence[bool]
) -> tuple[list[Record], dict[int, int]]:
    """`with_call_ids` of many records, of those whose calls the template writes; the counts are by the place of the
    record.
    """
    changed, made = list(records), {}
    for number, record in enumerate(records):
        if written[number] and record.text is None and record.plain is None:
            changed[number], count = with_call_ids(record, probes)
            if count:
                made[number] = count
    return changed, made


def advice_on_ids(record: Record, drop: Drop, probes: TemplateProbes) -> str | None:
    """What a template that refuses a record asks of the ids of its calls; None if it has them, or asks for none."""
    if drop.reason not in ("template_error", "lost_field"):
        return None
    calls = [call for message in record.messages for call in message.tool_calls]
    if not calls:
        return None
    wanted = find_call_ids(probes)
    other = next((call for call in calls if wanted.form and not _fits(call, wanted)), None)
    if other is None:
        return None
    own = "has none" if other.id is None else f"has {other.id[:40]!r}"
    call = f"the call of {other.name[:40]!r}"
    return f"the template writes {_FORMS[wanted.form]}, {call} {own}; tool_call_ids: make makes such ids"


def _fits(call: ToolCall, form: CallIds) -> bool:
    if call.id is None:
        return False
    if form.form == "named":
        return re.fullmatch(rf"functions\.{re.escape(call.name)}:[0-9]+", call.id) is not None
    return _FITS[form.form].fullmatch(call.id) is not None


class _Maker:
    """Makes the ids of one conversation."""

    def __init__(self, form: CallIds, record: Record) -> None:
        self.form = form
        self.made = 0
        self._used = {call.id for message in record.messages for call in message.tool_calls}
        self._pending: list[tuple[ToolCall, str]] = []  # calls without a result as yet, and their ids from now on

    def messages(self, messages: tuple[Message, ...]) -> Iterator[Message]:
        """The messages with these ids."""
        number = 0
        for message in messages:
            if message.role == "tool":
                yield self._result(message)
                continue
            if message.role not in ("system", "developer"):
                self._pending = []
            if not message.tool_calls:
                yield message
                continue
            first = 0 if self.form.restarts else number
            calls = tuple([self._call(call, first + at, number + at) for at, call in enumerate(message.tool_calls)])
            number += len(calls)
            yield message._replace(tool_calls=calls) if calls != message.tool_calls else message

    def _call(self, call: ToolCall, index: int, number: int) -> ToolCall:
        """A call with its id. `index` is its number as the template counts, `number` that in the conversation."""
        own = self._new(call, index, number) if self.form.restarts or not _fits(call, self.form) else str(call.id)
        self._pending.append((call, own))
        if own == call.id:
            return call
        self.made += 1
        return replace(call, id=own)

    def _new(self, call: ToolCall, index: int, number: int) -> str:
        if self.form.form == "named":
            return f"functions.{call.name}:{index}"
        text = f"{number}\n{call.name}\n{json.dumps(_parsed(call.arguments))}"
        for salt in range(len(self._used) + 1):
            found = _nine(f"{salt}\n{text}")
            if found not in self._used:
                break
        self._used.add(found)
        return found

    def _result(self, message: Message) -> Message:
        at = self._place(message)
        if at is None:
            return message
        _, new = self._pending.pop(at)
        return message if message.tool_call_id == new else message._replace(tool_call_id=new)

    def _place(self, message: Message) -> int | None:
        """Which of the pending calls a result belongs to; None if that is not certain."""
        calls = [call for call, _ in self._pending]
        own = message.tool_call_id
        by_id = [at for at, call in enumerate(calls) if call.id == own]
        if own is not None and by_id:
            return by_id[0]
        free = [at for at, call in enumerate(calls) if own is None or call.id is None]
        named = [at for at in free if message.name is not None and calls[at].name == message.name]
        return next(iter([*named, *free]), None)


def _parsed(arguments: Any) -> Any:
    """Arguments as an object, so that a call has the same id however its row writes it."""
    if not isinstance(arguments, str):
        return arguments
    try:
        return json.loads(arguments)
    except (ValueError, RecursionError):
        return arguments


def _nine(text: str) -> str:
    """Nine letters and digits, from a hash of the text."""
    value = xxh3_64_intdigest(text.encode("utf-8", "surrogatepass"))
    found = ""
    for _ in range(_LENGTH):
        value, digit = divmod(value, len(_DIGITS))
        found += _DIGITS[digit]
    return found
