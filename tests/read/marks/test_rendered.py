"""Conversations that a template has rendered: read back where that is proven, refused by name where it is not asked."""

from __future__ import annotations

import pytest

from sftdata.read.formats.convert import RowFormat, convert
from sftdata.read.marks.rendered import looks_rendered, rendered_turns
from sftdata.records.record import Drop, Message, Record, ToolCall

USER, ANSWER, SYSTEM = Message("user", "Hi\nthere"), Message("assistant", "Hello"), Message("system", "Be kind.")

TEXTS = {
    "ChatML": "<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\nHi\nthere<|im_end|>\n"
    "<|im_start|>assistant\nHello<|im_end|>\n",
    "Llama 3": "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nBe kind.<|eot_id|>"
    "<|start_header_id|>user<|end_header_id|>\n\nHi\nthere<|eot_id|>"
    "<|start_header_id|>assistant<|end_header_id|>\n\nHello<|eot_id|>",
    "Llama 2": "<s>[INST] <<SYS>>\nBe kind.\n<</SYS>>\n\nHi\nthere [/INST] Hello </s>",
    "Phi": "<|system|>\nBe kind.<|end|>\n<|user|>\nHi\nthere<|end|>\n<|assistant|>\nHello<|end|>\n",
    "Zephyr": "<|system|>\nBe kind.</s>\n<|user|>\nHi\nthere</s>\n<|assistant|>\nHello</s>\n",
    "Vicuna": "Be kind. USER: Hi\nthere ASSISTANT: Hello</s>",
    "DeepSeek": "<｜begin▁of▁sentence｜>Be kind.<｜User｜>Hi\nthere<｜Assistant｜>Hello<｜end▁of▁sentence｜>",
    "Alpaca": "Be kind.\n\n### Instruction:\nHi\nthere\n\n### Response:\nHello",
    "Guanaco": "Be kind.\n### Human: Hi\nthere\n### Assistant: Hello",
}
BARE = {
    "Gemma": "<bos><start_of_turn>user\nHi\nthere<end_of_turn>\n<start_of_turn>model\nHello<end_of_turn>\n",
    "Llama 2": "<s>[INST] Hi\nthere [/INST] Hello</s>",
    "Human and Assistant": "\n\nHuman: Hi\nthere\n\nAssistant: Hello",
    "Guanaco": "### Human: Hi\nthere### Assistant: Hello",
}


@pytest.mark.parametrize(("family", "text"), [*TEXTS.items(), *BARE.items()])
def test_a_rendered_chat_is_read_back_into_its_turns(family, text):
    turns = (USER, ANSWER) if text in BARE.values() else (SYSTEM, USER, ANSWER)
    assert rendered_turns(text) == (family, turns)
    assert convert({"text": text}, RowFormat("rendered")).found == Record(turns)


@pytest.mark.parametrize("text", [*TEXTS.values(), *BARE.values()])
def test_a_rendered_chat_in_a_column_of_text_is_refused_by_name(text):
    for format in ("text", "auto"):
        drop = convert({"text": text}, RowFormat(format)).found
        assert isinstance(drop, Drop)
        assert drop.reason == "rendered_chat"
        assert "format: rendered" in str(drop.detail)


@pytest.mark.parametrize(
    "prompt",
    [
        "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n",
        "<s>[INST] Hi [/INST]",
        "Below is an instruction.\n\n### Instruction:\nHi\n\n### Response:\n",
        "USER: Hi ASSISTANT:",
    ],
)
def test_a_rendered_prompt_is_refused_by_name(prompt):
    for row in ({"prompt": prompt, "completion": "Hello"}, {"instruction": prompt, "output": "Hello"}):
        drop = convert(row, RowFormat()).found
        assert isinstance(drop, Drop)
        assert drop.reason == "rendered_chat"


def test_a_rendered_prompt_and_its_completion_are_read_back():
    row = {"prompt": "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n", "completion": "Hello<|im_end|>"}
    assert convert(row, RowFormat("rendered")).found == Record((Message("user", "Hi"), ANSWER))


def test_several_turns_and_a_cut_end_are_read_back():
    text = "<s>[INST] A [/INST] B </s><s>[INST] C [/INST] D"
    found = rendered_turns(text)
    assert found is not None
    assert [message.content for message in found[1]] == ["A", "B", "C", "D"]


def test_calls_in_a_rendered_chat_are_calls():
    text = (
        "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n<tool_call>\n"
        '{"name": "f", "arguments": {}}\n</tool_call><|im_end|>\n'
        "<|im_start|>user\n<tool_response>\n3\n</tool_response><|im_end|>\n<|im_start|>assistant\nThree.<|im_end|>\n"
    )
    assert convert({"text": text}, RowFormat("rendered")).found == Record(
        (
            Message("user", "Hi"),
            Message("assistant", None, tool_calls=(ToolCall(name="f", arguments={}),)),
            Message("tool", "3"),
            Message("assistant", "Three."),
        )
    )


@pytest.mark.parametrize(
    "text",
    [
        "Once upon a time.",
        "The user asked, and the assistant: silent.",
        "In ChatML, <|im_start|> opens a turn.",
        "USER: is a word.",
        "### Instruction:\nNo response.",
        "Human: I.\n",
    ],
)
def test_other_text_is_no_rendered_chat(text):
    assert looks_rendered(text) is None
    assert convert({"text": text}, RowFormat("text")).found == Record(text=text)


@pytest.mark.parametrize(
    "text",
    [
        "Once upon a time.",
        "<|im_start|>user\nHi<|im_end|><|im_start|>assistant\nHello<|im_end|>\n<|im_start|>user\nBye",
        "<|im_start|>user\nHi <|im_end|> there<|im_end|>\n<|im_start|>assistant\nHello<|im_end|>\n",
        "<|im_start|>wizard\nHi<|im_end|>\n<|im_start|>assistant\nHello<|im_end|>\n",
    ],
)
def test_what_cannot_be_proven_is_refused(text):
    drop = convert({"text": text}, RowFormat("rendered")).found
    assert isinstance(drop, Drop)
    assert drop.reason == "rendered_chat"
