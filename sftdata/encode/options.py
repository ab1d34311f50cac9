"""The values of the encoding settings."""

from __future__ import annotations

from typing import Literal

Backend = Literal["fastokens", "tokenizers"]  # the library that encodes
TrainOn = Literal["all", "last"]
Overlong = Literal["drop", "split", "truncate"]
LostContext = Literal["drop", "warn"]
Reasoning = Literal["template", "text", "omit"]

MAX_TURNS = 1000  # messages of a conversation: see the setting `max_turns`

BACKENDS: dict[str, Backend | None] = {"auto": None, "fast": "fastokens", "hf": "tokenizers"}  # by setting `encoder`
