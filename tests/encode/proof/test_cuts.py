"""Completions in renderings that do not start with their prompts, with the results written by hand."""

from __future__ import annotations

from typing import Any

import pytest
from small_chats import chat, encode_to_text

from sftdata.records.record import Message, Record, ToolCall

CALL = ToolCall(name="lookup", arguments={"word": "x"})
# A tool's result is closed in another way once something follows, as in the template of Hermes 2 Pro.
HERMES = (
    "{% for m in messages %}{% if m.role == 'tool' %}<|im_start|>tool\n{{ m.content }}"
    "{{ '' if loop.last else '\n' }}<|im_end|>{% else %}<|im_start|>{{ m.role }}\n{{ m.content or '' }}"
    "{% for c in m.tool_calls or [] %}<tool_call>{{ c.function | tojson }}</tool_call>{% endfor %}<|im_end|>\n"
    "{% endif %}{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
# A prompt that ends with a block of thinking, which the rendering of an answer without reasoning leaves out.
BLOCK = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n"
    "{{ '<think>\n' + m.reasoning_content + '\n</think>\n\n' if m.reasoning_content and loop.last }}"
    "{{ m.content }}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\nEMPTY{% endif %}"
)
USER = "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n"


def test_what_closes_a_tool_result_may_change_once_it_is_answered(make_encoder: Any) -> None:
    call = '<tool_call>{"name": "lookup", "arguments": {"word": "x"}}</tool_call><|im_end|>'
    turns = (Message("user", "hi"), Message("assistant", None, tool_calls=(CALL,)), Message("tool", "r", name="lookup"))
    record = Record((*turns, Message("assistant", "so")))
    history = USER + call + "\n<|im_start|>tool\nr<|im_end|><|im_start|>assistant\n"
    assert encode_to_text(make_encoder(HERMES), record) == [
        USER + "{{" + call + "}}\n",
        history + "{{so<|im_end|>}}",
    ]


@pytest.mark.parametrize("block", ["<think>\n\n</think>\n\n", "<think></think>", "<think>\n</think>\n"])
def test_an_answer_follows_an_empty_block_that_only_its_prompt_has(make_encoder: Any, block: str) -> None:
    encoder = make_encoder(BLOCK.replace("EMPTY", block))
    assert encode_to_text(encoder, chat("hi", "yo", "and", "so")) == [
        USER + block + "{{yo<|im_end|>}}",
        USER + "yo<|im_end|>\n<|im_start|>user\nand<|im_end|>\n<|im_start|>assistant\n" + block + "{{so<|im_end|>}}",
    ]


def test_an_answer_may_begin_with_the_characters_of_the_block(make_encoder: Any) -> None:
    encoder = make_encoder(BLOCK.replace("EMPTY", "<think>\n\n</think>\n\n"))
    assert encode_to_text(encoder, chat("hi", "<b>yo</b>")) == [USER + "<think>\n\n</think>\n\n{{<b>yo</b><|im_end|>}}"]


@pytest.mark.parametrize("block", ["<think>\n", "</think><think>", "<think>a</think>", "Sure: "])
def test_a_prompt_that_ends_in_anything_else_proves_nothing(make_encoder: Any, block: str) -> None:
    drop = encode_to_text(make_encoder(BLOCK.replace("EMPTY", block)), chat("hi", "yo"))
    assert (drop.reason, drop.detail.startswith("turn 2: ")) == ("unproven_mask", True)


def test_reasoning_behind_an_empty_block_is_not_trained(make_encoder: Any) -> None:
    encoder = make_encoder(BLOCK.replace("EMPTY", "<think>\n\n</think>\n\n"))
    drop = encode_to_text(encoder, chat("hi", "yo", reasoning="why"))
    assert drop.reason == "unproven_mask"


def test_instructions_at_the_end_of_every_rendering_come_before_the_generation_prompt(make_encoder: Any) -> None:
    source = (
        "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content or '' }}"
        "{% for c in m.tool_calls or [] %}{{ c.function | tojson }}{% endfor %}{{ '<|im_end|>' if not m.tool_calls }}"
        "{% endfor %}<|im_start|>system\nDo it.<|im_end|>"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )
    encoder = make_encoder(source)
    before = "<|im_start|>user\nhi<|im_end|><|im_start|>system\nDo it.<|im_end|><|im_start|>assistant\n"
    assert encode_to_text(encoder, chat("hi", "yo")) == [before + "{{yo<|im_end|>}}"]
    # A call has no end of its own: the instructions behind it are no part of it.
    drop = encode_to_text(encoder, Record((Message("user", "hi"), Message("assistant", None, tool_calls=(CALL,)))))
    assert drop.reason == "unproven_mask"


def test_a_rendering_may_leave_out_a_header_of_control_tokens(make_encoder: Any) -> None:
    source = (
        "{% for m in messages %}{% if m.role == 'tool' %}[{{ m.content }}]{% elif m.role == 'user' %}"
        "<|user|>{{ m.content }}<|end|>{% else %}{{ '' if loop.previtem.role == 'tool' else '<|assistant|>' }}"
        "{{ m.content or '' }}{% for c in m.tool_calls or [] %}<tool_call>{{ c.function | tojson }}</tool_call>"
        "{% endfor %}{{ '<|call|>' if m.tool_calls else '<|end|>' }}{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}<|assistant|>{% endif %}"
    )
    turns = (Message("user", "hi"), Message("assistant", None, tool_calls=(CALL,)), Message("tool", "r", name="lookup"))
    call = '<tool_call>{"name": "lookup", "arguments": {"word": "x"}}</tool_call><|call|>'
    assert encode_to_text(make_encoder(source, eos="<|end|>"), Record((*turns, Message("assistant", "so")))) == [
        "<|user|>hi<|end|><|assistant|>{{" + call + "}}",
        "<|user|>hi<|end|><|assistant|>" + call + "[r]<|assistant|>{{so<|end|>}}",
    ]
