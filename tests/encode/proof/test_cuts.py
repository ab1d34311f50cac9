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


# The header of an answer is written with other white space once the answer is there, as in vLLM's Llama 4 and Granite.
SPACED = (
    "{% for m in messages %}{{ 'BEFORE' }}<|im_start|>{{ m.role }}\n{{ m.content or '' }}"
    "{% for c in m.tool_calls or [] %}{{ c.function | tojson }}{% endfor %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}{{ 'PROMPT' }}{% endif %}"
)


def spaced(before: str, prompt: str) -> str:
    """SPACED with these texts in front of each message and as its generation prompt."""
    before, prompt = (text.replace("\n", "\\n") for text in (before, prompt))
    return SPACED.replace("BEFORE", before).replace("PROMPT", prompt)


@pytest.mark.parametrize(
    ("before", "prompt", "trained"),
    [
        ("", "\n<|im_start|>assistant\n", "yo"),  # more in front of it
        ("\n", "<|im_start|> assistant\n", "yo"),  # less in front of it, and more in it
        ("", "<|im_start|>assistant \n\n", "yo"),  # another form behind it
        ("", "<|im_start|>assistant", "\nyo"),  # less behind it, so that the answer begins with the rest
    ],
)
def test_white_space_of_the_prompt_is_not_written_again(
    make_encoder: Any, before: str, prompt: str, trained: str
) -> None:
    encoder = make_encoder(spaced(before, prompt))
    question = before + "<|im_start|>user\nhi<|im_end|>\n"
    assert encode_to_text(encoder, chat("hi", "yo"))[0].split("}}")[0] == f"{question}{prompt}{{{{{trained}<|im_end|>"
    call = encode_to_text(encoder, Record((Message("user", "hi"), Message("assistant", None, tool_calls=(CALL,)))))
    assert call[0].split("{{", 1)[0] == question + prompt


def test_white_space_of_an_answer_stays_its_own(make_encoder: Any) -> None:
    encoder = make_encoder(spaced("", "\n<|im_start|>assistant\n"))
    prompt = "<|im_start|>user\nhi<|im_end|>\n\n<|im_start|>assistant\n"
    assert encode_to_text(encoder, chat("hi", "\n yo"))[0] == prompt + "{{\n yo<|im_end|>}}"


@pytest.mark.parametrize("prompt", ["<|im_start|>model\n", "<|im_start|>assistant:\n", "<|im_end|>assistant\n"])
def test_a_header_that_differs_in_more_than_white_space_proves_nothing(make_encoder: Any, prompt: str) -> None:
    encoder = make_encoder(spaced("", prompt))
    drop = encode_to_text(encoder, chat("hi", "yo"))
    assert (drop.reason, drop.detail.startswith("turn 2: ")) == ("unproven_mask", True)


# The prompt opens the reasoning in words, which the rendering leaves out, as Apriel 1.6 does.
OPENED = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n"
    "{{ m.reasoning_content + '\n[FINAL]\n' if m.reasoning_content and loop.last }}{{ m.content }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\nOPENING{% endif %}"
)


@pytest.mark.parametrize("opening", ["My steps:\n", "<think>\n", "<think>"])
def test_reasoning_follows_an_opening_that_only_its_prompt_has(make_encoder: Any, opening: str) -> None:
    encoder = make_encoder(OPENED.replace("OPENING", opening))
    assert encode_to_text(encoder, chat("hi", "yo", reasoning="why")) == [
        USER + opening + "{{why\n[FINAL]\nyo<|im_end|>}}"
    ]
    # A turn without reasoning would come where the model is to think.
    drop = encode_to_text(encoder, chat("hi", "yo"))
    assert (drop.reason, drop.detail.startswith("turn 2: ")) == ("unproven_mask", True)


@pytest.mark.parametrize("opening", ["<think></think>", "My steps:\n[FINAL]\n", "<think>a</think>b"])
def test_reasoning_behind_a_block_that_the_prompt_closes_is_not_trained(make_encoder: Any, opening: str) -> None:
    drop = encode_to_text(make_encoder(OPENED.replace("OPENING", opening)), chat("hi", "yo", reasoning="why"))
    assert drop.reason == "unproven_mask"


def test_reasoning_that_its_own_opening_precedes_is_not_trained_behind_another(make_encoder: Any) -> None:
    source = OPENED.replace("{{ m.reasoning_content", "{{ '[START]' + m.reasoning_content").replace("OPENING", "Steps:")
    assert encode_to_text(make_encoder(source), chat("hi", "yo", reasoning="why")).reason == "unproven_mask"
