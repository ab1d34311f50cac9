"""Which of several templates that would train refused rows is named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import tiny_tokenizers
from small_chats import chat

from sftdata.encode.record_encoder import EncodeSettings
from sftdata.encode.stats import EncodingStats
from sftdata.encode.template.load import template_source
from sftdata.encode.tokenizer.load import load_tokenizer
from sftdata.encode.ways_out import find_ways_out
from sftdata.records.record import Message, Record, ToolCall

TOOL = {"type": "function", "function": {"name": "lookup", "description": "Look it up.", "parameters": {}}}
CALLING = Message("assistant", None, tool_calls=(ToolCall(name="lookup", arguments={"word": "x"}),))
CALL = Record((Message("user", "hi"), CALLING), tools=(TOOL,))
REFUSES_CALLS = "{% for m in messages if m.tool_calls %}{{ raise_exception('no calls') }}{% endfor %}"
CHATML = REFUSES_CALLS + tiny_tokenizers.CHATML
LLAMA3 = REFUSES_CALLS + template_source("llama3")


def way_for(folder: Path, byte_level: Any, source: str, record: Record, eos: str = "<|im_end|>") -> str | None:
    """What is named for a record that the template refuses, for a tokenizer with all markers in a folder."""
    tiny_tokenizers.write_folder(folder, byte_level, source, eos_token=eos)
    stats = EncodingStats()
    stats.add_examples("template_error", [("0", record.to_json(), 0)])
    return find_ways_out(stats, EncodeSettings(files=load_tokenizer(str(folder)), date="2024-02-29")).get(
        "template_error"
    )


@pytest.mark.parametrize(
    ("name", "template"),
    [
        ("Qwen3-0.6B", "qwen3"),
        ("my-tune", "qwen3"),  # hermes3 has a system message of its own
    ],
)
def test_of_templates_that_write_plain_chats_as_the_own_one_that_of_the_tokenizer_s_name_is_named(
    tmp_path: Path, byte_level: Any, name: str, template: str
) -> None:
    way = way_for(tmp_path / name, byte_level, CHATML, CALL)
    assert way == f"template={template} trains 1 of 1 of them that were tried"


def test_a_template_with_the_same_turns_behind_another_beginning_is_better_than_calls_as_text(
    tmp_path: Path, byte_level: Any
) -> None:
    way = way_for(tmp_path / "Meta-Llama-3-8B", byte_level, LLAMA3, CALL, eos="<|eot_id|>")
    assert way == "template=llama3.1 trains 1 of 1 of them that were tried"


def test_reasoning_in_the_text_is_better_than_a_template_of_another_format(tmp_path: Path, byte_level: Any) -> None:
    refuses = "{% for m in messages if m.thinking %}{{ raise_exception('no thoughts') }}{% endfor %}"
    source = refuses + template_source("llama3")
    way = way_for(tmp_path / "own", byte_level, source, chat("hi", "yo", reasoning="why"), eos="<|eot_id|>")
    assert way == "reasoning=inline trains 1 of 1 of them that were tried"
