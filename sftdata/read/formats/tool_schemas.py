"""Whether tool calls match the JSON schemas that the conversation declares for the tools."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import orjson

from sftdata.read.schemas.judge import Budget, judge
from sftdata.records.record import Drop, Record, ToolCall

UNJUDGED = "unjudged"  # what became of calls whose schema is not judged; see Row.calls
MAX_DETAIL = 300  # characters


def check_tool_calls(record: Record, note: Callable[[str], None] | None = None) -> Drop | None:
    """Why a call does not match the declared tools, or None.

    A call must name a declared tool, and its arguments must be valid under the tool's `parameters`, read as JSON Schema
    (2020-12 unless `$schema` says otherwise; references to other documents are not followed). Conversations that
    declare no tools, and calls whose schema is missing, pass. So do calls whose schema cannot be judged within bounds
    of size and time; `note` is called with what could not be judged.
    """
    if not record.tools:
        return None
    schemas = dict(_declared(tool) for tool in record.tools)
    calls = [(number, call) for number, message in enumerate(record.messages, 1) for call in message.tool_calls]
    budget = Budget(len(calls))
    for number, call in calls:
        problem, unjudged = _check_call(call, schemas, budget)
        if problem is not None:
            return Drop("invalid_tool_call", f"turn {number}: {problem}"[:MAX_DETAIL])
        if unjudged is not None and note is not None:
            note(unjudged)
    return None


_UNJUDGED = {
    "invalid schemas": "a schema that is not valid",
    "references": "a reference to a place that is not in the schema, or to itself",
    "patterns": "a pattern that is not judged in bounded time, or differently by others",
    "unevaluatedProperties": "unevaluatedProperties",
    "size": "a schema or arguments too large or too deep",
}


def unjudged_note(rows: Mapping[str, int]) -> str:
    """What is to be said of rows whose calls were not checked, given with what could not be judged."""
    named = "; ".join(f"{_UNJUDGED.get(why, why)}: {number:,}" for why, number in sorted(rows.items()))
    return f"tool calls of these rows pass without a check of all their arguments ({named})"


def _declared(tool: Mapping[str, Any]) -> tuple[str, Any]:
    """A tool's name and the schema of its arguments."""
    function = tool.get("function", tool)
    if not isinstance(function, Mapping):
        return "", None
    return str(function.get("name")), function.get("parameters")


def _check_call(call: ToolCall, schemas: Mapping[str, Any], budget: Budget) -> tuple[str | None, str | None]:
    """Why a call does not match its schema, or None; and then what of the schema could not be judged, or None."""
    if call.name not in schemas:
        named = ", ".join(name[:40] for name in sorted(schemas))
        return f"{call.name[:100]} is not among the tools declared ({named})", None
    schema = schemas[call.name]
    if not isinstance(schema, Mapping):
        return None, None
    arguments = orjson.loads(call.arguments) if isinstance(call.arguments, str) else call.arguments
    judged = judge(schema, arguments, budget)
    return None if judged.error is None else f"{call.name[:100]}: {judged.error}", judged.unjudged
