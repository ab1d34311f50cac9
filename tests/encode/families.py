"""End-of-turn tokens of every template, written by hand, and pairs of an encoder and the oracle that judges it."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from as_read import as_read
from oracle import Oracle

from sftdata.encode.record_encoder import EncodeSettings, RecordEncoder
from sftdata.encode.tokenizer.load import load_tokenizer
from sftdata.read.formats.convert import to_record
from sftdata.records.record import Drop, Record

DATE = "2026-01-01"
TEMPLATES = Path(__file__).resolve().parents[2] / "templates"
# The tokens that end a turn, according to the publisher of the format. None means the tokenizer's EOS.
ENDS: dict[str, tuple[str, ...] | None] = {
    "alpaca": None,
    "apertus": ("<|assistant_end|>", "<|tools_suffix|>"),
    "chatml": ("<|im_end|>",),
    "command-r": ("<|END_OF_TURN_TOKEN|>",),
    "deepseek-r1": ("<｜end▁of▁sentence｜>",),
    "deepseek-v3": ("<｜end▁of▁sentence｜>",),
    "deepseek-v3.1": ("<｜end▁of▁sentence｜>",),
    "gemma2": ("<end_of_turn>",),
    "gemma3": ("<end_of_turn>",),
    "gemma4": ("<turn|>", "<|tool_response>"),
    "glm4": ("<|user|>", "<|observation|>"),
    "glm4.5": ("<|user|>", "<|observation|>"),
    "glm4.7": ("<|user|>", "<|observation|>"),
    "gpt-oss": ("<|return|>", "<|call|>"),
    "granite4": ("<|end_of_text|>",),
    "hermes3": ("<|im_end|>",),
    "kimi-k2": ("<|im_end|>",),
    "kimi-k2-thinking": ("<|im_end|>",),
    "lfm2": ("<|im_end|>",),
    "lfm2.5": ("<|im_end|>",),
    "llama2": None,
    "llama3": ("<|eot_id|>",),
    "llama3.1": ("<|eot_id|>",),
    "llama3.2": ("<|eot_id|>",),
    "llama4": ("<|eot|>",),
    "minimax-m2": ("[e~[",),
    "mistral-nemo": None,
    "mistral-v0.3": None,
    "nemotron3": ("<|im_end|>",),
    "phi3": ("<|end|>",),
    "phi4": ("<|im_end|>",),
    "phi4-mini": ("<|end|>",),
    "qwen2.5": ("<|im_end|>",),
    "qwen3": ("<|im_end|>",),
    "qwen3.5": ("<|im_end|>",),
    "smollm3": ("<|im_end|>",),
    "vicuna": None,
    "zephyr": None,
}
# The arguments that tell a template whether the model thinks.
SWITCHES = dict.fromkeys(
    ("apertus", "deepseek-v3.1", "gemma4", "glm4.5", "glm4.7", "nemotron3", "qwen3", "qwen3.5", "smollm3"),
    "enable_thinking",
)
SHARED = {"qwen3": "qwen3", "llama3": "llama3", "deepseek_v3": "deepseek-v3", "smollm2": "chatml"}


class Pair:
    """An encoder, and the oracle for the same tokenizer folder and template."""

    def __init__(self, folder: Path, template: str = "auto", *, ends: str, train_on: Any = "all") -> None:
        files = load_tokenizer(str(folder))
        self.train_on = train_on
        self.encoder = RecordEncoder(
            # The oracle judges trained turns alone; test_nothing_is_lost.py is about the context before them.
            EncodeSettings(files=files, date=DATE, template=template, train_on=train_on, lost_context="warn")
        )
        source = None if template == "auto" else (TEMPLATES / f"{template}.jinja").read_text(encoding="utf-8")
        self.oracle = Oracle(folder, ENDS[ends], source, DATE)
        self.oracle.switch = SWITCHES.get(ends)

    def problems(self, conversation: dict[str, Any]) -> list[str]:
        """What the oracle finds wrong with the encoder's result for a conversation; nothing if reading drops it."""
        record = to_record(conversation, format="messages", columns={}, system=None)
        if isinstance(record, Drop):
            return []
        turns = as_read(conversation["messages"], record.messages)
        return self.judge({**conversation, "messages": turns}, self.encode(record))

    def encode(self, record: Record) -> Any:
        """The encoder's result for one record."""
        return self.encoder.encode([record])[0]

    def judge(self, conversation: dict[str, Any], result: Any) -> list[str]:
        """What the oracle finds wrong with a result."""
        return self.oracle.judge(conversation, result, self.train_on)


@cache
def shared_pair(folder: Path, name: str) -> Pair:
    """The pair for a shared tokenizer with its own template. Cached, because loading takes seconds."""
    return Pair(folder / "tokenizers" / name, ends=SHARED[name])
