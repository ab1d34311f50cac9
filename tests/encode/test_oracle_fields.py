"""Fields that a template leaves out, changes or escapes: the result is right according to the oracle, or a drop."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import pytest
import tiny_tokenizers
from families import DATE, Pair
from oracle import Oracle
from strategies import tool

from sftdata.encode.record_encoder import EncodeSettings, RecordEncoder
from sftdata.encode.tokenizer.load import load_tokenizer
from sftdata.read.formats.convert import to_record
from sftdata.records.record import Record

# Ways in which a template may write a content. Most of them change some of the contents below.
EXPRESSIONS = (
    "message.content",
    "message.content|upper",
    "message.content|lower",
    "message.content|replace('<|im_end|>', '')",
    "message.content.replace('<|im_end|>', '')",
    "message.content|tojson",
    "message.content|e",
    "message.content|indent",
    "message.content|truncate(20)",
    "message.content[:20]",
    "message.content|center(40)",
    "message.content|striptags",
    "message.content.strip('<')",
    "message.content.split('|')|join('/')",
    "message.content ~ message.content",
    "'%s' % message.content",
    "'%-30s' % message.content",
    "(message.content if message.role != 'assistant' else 'x')",
)
TOOLS = ("{{ tools }}", "{{ tools|string }}", "{% if tools %}{{ tools|tojson }}{% endif %}")
CHATS = (
    ("Hello <|im_end|> <|im_start|>user", "sure </s> ok"),
    ("Hello there", "sure"),
    ("x", "SURE <|im_end|>"),
    ("a", "b <|im_end|>", "c", "d"),
)
CALLS: tuple[tuple[str | None, str | None, Any], ...] = (
    # content, reasoning and arguments of a turn that calls a tool
    ("a", None, {"word": "x"}),
    ("lookup", None, {"word": "x"}),
    (None, "a", {"word": "x"}),
    ("b", "a", {"word": "x"}),
    ("word", "look", '{"word":"x"}'),
    (None, None, '{"word": "x", "n": 1e3, "d": 1.0}'),
    (None, None, {}),
    (None, None, {"word": 'tab\t é " <|im_end|>'}),
    (None, None, '{"word":"tab\\t \\u00e9 \\" <|im_end|>"}'),
)
WITH_TOOLS = (
    *("deepseek-v3", "glm4.5", "gpt-oss", "llama3.1", "llama3.2", "mistral-v0.3", "qwen2.5", "qwen3"),
    *("gemma4", "glm4.7", "granite4", "kimi-k2", "lfm2", "llama4", "minimax-m2", "nemotron3", "qwen3.5", "smollm3"),
    *("apertus", "hermes3", "kimi-k2-thinking", "lfm2.5", "phi4-mini"),
)


@cache
def pair_of(folder: Path, template: str) -> Pair:
    return Pair(folder, template, ends=template)


@pytest.mark.parametrize(
    ("expression", "tools"),
    [*((expression, "") for expression in EXPRESSIONS), *(("message.content", tools) for tools in TOOLS)],
)
def test_a_content_that_the_template_changes_is_right_or_dropped(
    byte_level: Any, tmp_path: Path, expression: str, tools: str
) -> None:
    turns = "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ TEXT }}<|im_end|>\n{% endfor %}"
    source = (
        tools + turns.replace("TEXT", expression) + "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )
    folder = tiny_tokenizers.write_folder(tmp_path, byte_level, source, eos_token="<|im_end|>")
    oracle = Oracle(folder, ["<|im_end|>"])
    settings = EncodeSettings(files=load_tokenizer(str(folder)), date=DATE, backend="tokenizers")
    encoder = RecordEncoder(settings)
    declared = tool("lookup")
    declared["function"]["description"] = "It's <|im_end|>"
    for chat in CHATS:
        messages = [{"role": ("user", "assistant")[i % 2], "content": text} for i, text in enumerate(chat)]
        conversation: dict[str, Any] = {"messages": messages} | ({"tools": [declared]} if tools else {})
        record = to_record(conversation, format="messages", columns={}, system=None)
        assert isinstance(record, Record)
        assert oracle.judge(conversation, encoder.encode([record])[0]) == []


@pytest.mark.parametrize("template", WITH_TOOLS)
@pytest.mark.parametrize("number", range(len(CALLS)))
def test_no_field_beside_a_tool_call_is_lost_silently(
    byte_level: Any, tmp_path_factory: pytest.TempPathFactory, template: str, number: int
) -> None:
    eos = "<｜end▁of▁sentence｜>" if template.startswith("deepseek") else "</s>"
    folder = tiny_tokenizers.write_folder(tmp_path_factory.getbasetemp() / eos.strip("</>"), byte_level, eos_token=eos)
    pair = pair_of(folder, template)
    content, reasoning, arguments = CALLS[number]
    call = {"id": "call00000", "type": "function", "function": {"name": "lookup", "arguments": arguments}}
    turn: dict[str, Any] = {"role": "assistant", "content": content, "tool_calls": [call]}
    if reasoning is not None:
        turn["reasoning_content"] = reasoning
    messages = [{"role": "user", "content": "q"}, turn]
    result = {"role": "tool", "tool_call_id": "call00000", "name": "lookup", "content": 'r "q" \n'}
    answer = {"role": "assistant", "content": "done", "reasoning_content": "done"}
    assert pair.problems({"messages": messages, "tools": [tool("lookup")]}) == []
    assert pair.problems({"messages": [*messages, result, answer], "tools": [tool("lookup")]}) == []


def test_a_result_does_not_depend_on_what_was_encoded_before(byte_level: Any, tmp_path: Path) -> None:
    turns = (
        "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ [message.content] }}<|im_end|>\n{% endfor %}"
    )
    source = turns + "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    folder = tiny_tokenizers.write_folder(tmp_path, byte_level, source, eos_token="<|im_end|>")
    files = load_tokenizer(str(folder))
    records = []
    for text in ("Hello", "sure <|im_end|>", "Hello", "a\nb", "sure <|im_end|>", "é"):
        messages = [{"role": "user", "content": "x"}, {"role": "assistant", "content": text}]
        record = to_record({"messages": messages}, format="messages", columns={}, system=None)
        assert isinstance(record, Record)
        records.append(record)
    settings = EncodeSettings(files=files, date=DATE, backend="tokenizers")
    alone = [repr(RecordEncoder(settings).encode([record])[0]) for record in records]
    encoder = RecordEncoder(settings)
    assert [repr(encoder.encode([record])[0]) for record in records] == alone
    assert [repr(result) for result in RecordEncoder(settings).encode(records[::-1])][::-1] == alone
