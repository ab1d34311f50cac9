"""ReAct: a thought, an action with its input, and the observation, each behind its name at the beginning of a line.

The action is a name with an `Action Input:`, or JSON with an `action` and an `action_input`, as LangChain writes it.
"""

from __future__ import annotations

import json
import re
from typing import NamedTuple

from sftdata.read.marks.call_values import Properties
from sftdata.records.record import ToolCall

_ACTION = re.compile(r"^Action:[ \t]*(\S[^\n]*?)[ \t]*\n\s*Action Input:[ \t]*", re.MULTILINE)
_BLOB = re.compile(r"^Action:\s*(?=(?:```(?:json)?\s*)?\{)", re.MULTILINE)
_BLOB_KEYS = {"action", "action_input"}
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
        found = [match for match in (_ACTION.search(text, at), _BLOB.search(text, at)) if match]
        if not found:
            break
        action = min(found, key=re.Match.start)
        observation = _OBSERVATION.search(text, action.end())
        follow = _NEXT.search(text, action.end())
        end = min(found.start() for found in (observation, follow) if found) if observation or follow else len(text)
        given = text[action.end() : end].strip()
        if action.re is _BLOB:
            name, given = _blob(given)
            if name == "Final Answer":
                break  # LangChain writes the answer as an action
        else:
            name = action.group(1).strip("`*\"' ")
        call = _call(name, given, properties) if name else None
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


def _unfenced(text: str) -> str:
    return text.removeprefix("```json").removeprefix("```").removesuffix("```").strip()


def _blob(given: str) -> tuple[str, str]:
    """The name and the input, as text, of an action in JSON; an empty name if it is none."""
    try:
        value = json.loads(_unfenced(given))
    except (ValueError, RecursionError):
        return "", ""
    name = value.get("action")
    action_input = value.get("action_input")
    if not isinstance(name, str) or not isinstance(action_input, (str, dict)) or value.keys() != _BLOB_KEYS:
        return "", ""
    return name, action_input if isinstance(action_input, str) else json.dumps(action_input)


def _call(name: str, given: str, properties: Properties) -> ToolCall | None:
    text = _unfenced(given)
    try:
        value = json.loads(text) if text.startswith("{") else None
    except (ValueError, RecursionError):
        return None
    if isinstance(value, dict):
        return ToolCall(name=name, arguments=value)
    known = list(properties(name))
    return ToolCall(name=name, arguments={known[0]: given}) if len(known) == 1 and given else None
