"""The samples of a record that the settings of its source change: its reasoning, or its calls and tools as text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sftdata.encode.proof.guarded_samples import GuardedBatch
from sftdata.encode.stats import AS_TEXT, CHANGES, REASONING, UNWRITTEN
from sftdata.encode.template.conversation import Refusal
from sftdata.encode.template.jinja import RenderError, Turn
from sftdata.encode.template.probes import LATER, SENTINEL, USER, TemplateProbes
from sftdata.encode.template.reasoning import rewritten
from sftdata.records.record import Record
from sftdata.records.tools_as_text import MARKS, NotJsonError, ToolsIn, as_text, has_tools

if TYPE_CHECKING:
    from sftdata.encode.proof.shapes import ShapeProver
    from sftdata.encode.provers import Way

_WORDS = [SENTINEL.format(word) for word in ("tool", "does", "parameter", "meaning")]
_TOOL: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": _WORDS[0],
        "description": _WORDS[1],
        "parameters": {
            "type": "object",
            "properties": {_WORDS[2]: {"type": "string", "description": _WORDS[3]}},
            "required": [_WORDS[2]],
        },
    },
}


def add_changed(record: Record, way: Way, prover: ShapeProver, batch: GuardedBatch, owner: int) -> None:
    """Add the samples of a record as its source changes it. Their turns are those of the record as it is.

    Raises Refusal.
    """
    if way.reasoning != "keep":
        record, changed = rewritten(record, way.reasoning)
        if changed:
            batch.note(owner, REASONING, way.reasoning, changed)
    if way.tool_calls == "keep" or not has_tools(record):
        prover.add_samples(record, batch, owner)
        return
    try:
        written = as_text(record, tools_in(prover.probes, record), own_marks(prover.probes))
    except NotJsonError as error:
        raise Refusal("bad_tool_call", error.detail, error.turn) from error
    before = len(batch.turns)
    try:
        prover.add_samples(written.record, batch, owner)
    except Refusal as refusal:
        raise refusal.placed(written.places) from refusal
    batch.turns[before:] = [_placed(turns, written.places) for turns in batch.turns[before:]]
    if owner in batch.left_out:
        batch.left_out[owner] = [refusal.placed(written.places) for refusal in batch.left_out[owner]]
    for name, number in written.counts.items():
        batch.note(owner, CHANGES, f"{AS_TEXT}{name}", number)
    for name, number in written.unwritten.items():
        if number:
            batch.note(owner, UNWRITTEN, name, number)


def _placed(turns: Sequence[int], places: Sequence[int]) -> tuple[int, ...]:
    return tuple([places[turn] for turn in turns])


def own_marks(probes: TemplateProbes) -> frozenset[str]:
    """The marks of tools that the model has tokens for, of which both the opening and the closing one are known."""
    pairs = [pair for pair in MARKS if all(probes.control.id_of(mark) is not None for mark in pair)]
    return frozenset(mark for pair in pairs for mark in pair)


def tools_in(probes: TemplateProbes, record: Record) -> ToolsIn:
    """Where the tools of a record are written if its calls are text: by the template itself, if it writes all of them;
    else in the system message, or in the first user message if it takes no system message.
    """
    if not record.tools:
        return "template"
    has_system = bool(record.messages) and record.messages[0].role in ("system", "developer")
    return probes.once(_find_places)[has_system]


def _find_places(probes: TemplateProbes) -> tuple[ToolsIn, ToolsIn]:
    """For a conversation without and with a system message."""
    user: Turn = {"role": "user", "content": USER}
    system: Turn = {"role": "system", "content": LATER}
    takes_system = LATER in (probes.probe([system, user], prompt=True) or "")
    return _place(probes, [user], takes_system), _place(probes, [system, user], takes_system)


def _place(probes: TemplateProbes, messages: list[Turn], takes_system: bool) -> ToolsIn:
    try:
        text = probes.template.render(messages, tools=[_TOOL], add_generation_prompt=True, kwargs=probes.kwargs)
    except RenderError:
        text = ""
    if probes.needs_tools or all(word in text for word in _WORDS):
        return "template"
    return "system" if takes_system else "user"
