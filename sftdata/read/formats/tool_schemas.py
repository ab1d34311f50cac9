"""Whether tool calls match the JSON schemas that the conversation declares for the tools."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import orjson

from sftdata.records.record import Drop, Record, ToolCall


def check_tool_calls(record: Record) -> Drop | None:
    """Why a call does not match the declared tools, or None.

    A call must name a declared tool, and its arguments must be valid under the tool's `parameters`, read as JSON Schema
    (2020-12 unless `$schema` says otherwise; references to other documents are not followed). Conversations that
    declare no tools, and calls whose schema is missing or invalid, pass.
    """
    if not record.tools:
        return None
    schemas = dict(_declared(tool) for tool in record.tools)
    for number, message in enumerate(record.messages, 1):
        for call in message.tool_calls:
            problem = _check_call(call, schemas)
            if problem is not None:
                return Drop("invalid_tool_call", f"turn {number}: {problem}")
    return None


def _declared(tool: Mapping[str, Any]) -> tuple[str, Any]:
    """A tool's name and the schema of its arguments."""
    function = tool.get("function", tool)
    return str(function.get("name")), function.get("parameters")


def _check_call(call: ToolCall, schemas: Mapping[str, Any]) -> str | None:
    """Why a call does not match its schema, or None."""
    if call.name not in schemas:
        return f"{call.name} is not among the tools declared ({', '.join(sorted(schemas))})"
    schema = schemas[call.name]
    if not isinstance(schema, Mapping):
        return None
    validator = _validator(orjson.dumps(schema))
    arguments = orjson.loads(call.arguments) if isinstance(call.arguments, str) else call.arguments
    error = None if validator is None else next(iter(validator.iter_errors(arguments)), None)
    if error is None:
        return None
    place = ".".join(str(part) for part in error.absolute_path)
    return f"{call.name}: {place + ': ' if place else ''}{error.message}"[:300]


@lru_cache(maxsize=4096)
def _validator(schema_json: bytes) -> Any:
    """The validator of a schema; None if the schema is invalid."""
    from jsonschema.exceptions import SchemaError
    from jsonschema.validators import Draft202012Validator, validator_for
    from referencing import Registry

    schema = orjson.loads(schema_json)
    kind = validator_for(schema, default=Draft202012Validator)
    try:
        kind.check_schema(schema)
    except SchemaError:
        return None
    return kind(schema, registry=Registry())
