"""What is asked of an encoder, and what it says of itself: all that whoever has it in another process needs of it."""

from __future__ import annotations

from typing import Literal, NamedTuple

Backend = Literal["fastokens", "tokenizers"]
TrainOn = Literal["all", "last"]
Overlong = Literal["drop", "split", "truncate"]

BACKENDS: dict[str, Backend | None] = {"auto": None, "fast": "fastokens", "hf": "tokenizers"}


class EncodingRequest(NamedTuple):
    """All of the settings that decides how records are encoded."""

    tokenizer: str
    trust_remote_code: bool
    template: str
    is_plain_text: bool  # no record needs a template
    date: str
    train_on: TrainOn
    overlong: Overlong
    seq_len: int | None  # None where `overlong` is "drop": nothing depends on it then
    strip_trailing_control: bool
    encoder: str  # one of BACKENDS


class TokenizerFacts(NamedTuple):
    """What an encoder alone can say of its tokenizer for the manifest: see TokenizerEntry."""

    sha256: str
    vocab_size: int
    bos_id: int | None
    eos_id: int | None
    pad_id: int | None
    end_of_turn_ids: tuple[int, ...]
    control_ids: tuple[int, ...]
