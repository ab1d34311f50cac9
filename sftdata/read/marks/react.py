"""ReAct: a thought, an action with its input, and the observation, each behind its name at the beginning of a line."""

from __future__ import annotations

import json
import re
from typing import NamedTuple

from sftdata.read.marks.forms import Properties
from sftdata.records.record import ToolCall

_ACTION = re.compile(r"^Action:[ \t]*(\S[^\n]*?)[ \t]*\n\s*Action Input:[ \t]*", re.MULTILINE)
_OBSERVATION = re.compile(r"^Observation:[ \t]*", re.MULTILINE)
_NEXT = re.compile(r"^(Thought|Action|Final Answer|Question):", re.MULTILINE)


class Step(NamedTuple):
    """One step of a trace: the text before a call, the call, and what was observed; the last step may have no call."""

    text: str
    call: ToolCall | None
    observation: str | None


def react_steps(text: str, properties: Properties) -> list[Step] | None:
    """The steps that a text consists of, or None if it is no trace of ReAct, or its inputs cannot be read for sure.

    An input is an object in JSON, or any text for a tool that is declared with a single argument.
    """
    steps = []
    at = 0
    while True:
        action = _ACTION.search(text, at)
        if action is None:
            break
        observation = _OBSERVATION.search(text, action.end())
        follow = _NEXT.search(text, action.end())
        end = min(found.start() for found in (observation, follow) if found) if observation or follow else len(text)
        call = _call(action.group(1).strip("`*\"' "), text[action.end() : end].strip(), properties)
        if call is None:
            return None
        observed = None
        before = text[at : action.start()].strip()
        at = end
        if observation is not None and observation.start() == end:
            follow = _NEXT.search(text, observation.end())
            at = follow.start() if follow else len(text)
            observed = text[observation.end() : at].strip() or None
        steps.append(Step(before, call, observed))
    if not steps:
        return None
    rest = text[at:].strip()
    if rest:
        steps.append(Step(rest, None, None))
    # A call that is followed by more of the same turn without an observation is no trace that can be taken apart.
    return None if any(step.observation is None for step in steps[:-1]) else steps


def _call(name: str, given: str, properties: Properties) -> ToolCall | None:
    text = given.removeprefix("```json").removeprefix("```").removesuffix("```").strip()
    try:
        value = json.loads(text) if text.startswith("{") else None
    except (ValueError, RecursionError):
        return None
    if isinstance(value, dict):
        return ToolCall(name=name, arguments=value)
    known = list(properties(name))
    return ToolCall(name=name, arguments={known[0]: given}) if len(known) == 1 and given else None
