"""The values of the encoding settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator

from sftdata.records.template_arguments import flaw_of_arguments

Backend = Literal["fastokens", "tokenizers"]  # the library that encodes
TrainOn = Literal["all", "last"]
Overlong = Literal["drop", "split", "truncate"]
LostContext = Literal["drop", "warn"]
ToolCallIds = Literal["keep", "make"]
Reasoning = Literal["keep", "inline", "drop"]
ToolCalls = Literal["keep", "inline"]
Thinking = Literal["auto", "on", "off"]


def _checked(arguments: dict[str, Any]) -> dict[str, Any]:
    flaw = flaw_of_arguments(arguments)
    if flaw is not None:
        raise ValueError(flaw)
    return arguments


def _switched(value: object) -> object:
    """YAML reads a bare on as true and off as false."""
    return {True: "on", False: "off"}[value] if isinstance(value, bool) else value


TemplateArguments = Annotated[dict[str, Any], AfterValidator(_checked)]
ThinkingSetting = Annotated[Thinking, BeforeValidator(_switched)]

MAX_TURNS = 1000  # messages of a conversation: see the setting `max_turns`

BACKENDS: dict[str, Backend | None] = {"auto": None, "fast": "fastokens", "hf": "tokenizers"}  # by setting `encoder`


@dataclass(frozen=True, kw_only=True)
class SourceSettings:
    """What a source says of encoding its rows. None: as the run says."""

    chat_template_kwargs: Mapping[str, Any] = field(default_factory=dict)
    thinking: Thinking | None = None
    reasoning: Reasoning | None = None
    tool_calls: ToolCalls | None = None
