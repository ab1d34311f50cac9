"""The choices that settings give an encoder."""

from __future__ import annotations

from typing import Literal

Backend = Literal["fastokens", "tokenizers"]
TrainOn = Literal["all", "last"]
Overlong = Literal["drop", "split", "truncate"]

BACKENDS: dict[str, Backend | None] = {"auto": None, "fast": "fastokens", "hf": "tokenizers"}  # by `encoder`
