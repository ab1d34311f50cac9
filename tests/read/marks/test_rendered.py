"""Conversations that a template has rendered: read back where that is proven, refused by name where it is not asked."""

from __future__ import annotations

import pytest

from sftdata.config import SourceConfig
from sftdata.read.formats.convert import RowFormat, convert
from sftdata.records.record import Drop, Message, Record, ToolCall
from sftdata.records.rendered import ANSWER_MARKS, STEMS, looks_rendered, rendered_turns

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
    "Command R": "<BOS_TOKEN><|START_OF_TURN_TOKEN|><|USER_TOKEN|>Hi\nthere<|END_OF_TURN_TOKEN|>"
    "<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>Hello<|END_OF_TURN_TOKEN|>",
    "Open Assistant": "<|prompter|>Hi\nthere<|endoftext|><|assistant|>Hello<|endoftext|>",
    "OpenChat": "<s>GPT4 Correct User: Hi\nthere<|end_of_turn|>GPT4 Correct Assistant: Hello<|end_of_turn|>",
    "human and bot": "<human>: Hi\nthere\n<bot>: Hello",
    "SOLAR": "### User:\nHi\nthere\n\n### Assistant:\nHello",
    "User and Assistant": "User: Hi\nthere\nAssistant: Hello",
    "Llama 4": "<|begin_of_text|><|header_start|>user<|header_end|>\n\nHi\nthere<|eot|>"
    "<|header_start|>assistant<|header_end|>\n\nHello<|eot|>",
    "Phi-4": "<|im_start|>user<|im_sep|>Hi\nthere<|im_end|><|im_start|>assistant<|im_sep|>Hello<|im_end|>",
    "Kimi": "<|im_user|>user<|im_middle|>Hi\nthere<|im_end|><|im_assistant|>assistant<|im_middle|>Hello<|im_end|>",
    "GLM": "[gMASK]<sop><|user|>\nHi\nthere<|assistant|>\nHello<|user|>",
    "Granite": "<|start_of_role|>user<|end_of_role|>Hi\nthere<|end_of_text|>\n"
    "<|start_of_role|>assistant<|end_of_role|>Hello<|end_of_text|>\n",
    "EXAONE": "[|user|]Hi\nthere\n[|assistant|]Hello[|endofturn|]\n",
    "Harmony": "<|start|>user<|message|>Hi\nthere<|end|><|start|>assistant<|channel|>final<|message|>Hello<|return|>",
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
        "Interview transcript.\n\nHuman: I was born in 1950.\n\nAssistant: She nodded.\n\nThe end of chapter one.",
        "In this guide we explain ChatML. A turn begins with <|im_start|>user and ends with <|im_end|>.",
        "User: alice\nPassword: x\n",
        "The play.\nUser: Hello?\nAssistant: Who is there?\n",
        "Assistant: Hello.\nUser: Hi.\nAssistant: Bye.",
        "He said: User: a, then Assistant: b.",
        "In DeepSeek's format <｜User｜> comes first, and <｜Assistant｜> comes second.",
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


def test_what_harmony_thinks_is_the_reasoning_of_its_answer():
    text = (
        "<|start|>user<|message|>Hi<|end|><|start|>assistant<|channel|>analysis<|message|>They greet me.<|end|>"
        "<|start|>assistant<|channel|>final<|message|>Hello<|return|>"
    )
    assert convert({"text": text}, RowFormat("rendered")).found == Record(
        (Message("user", "Hi"), Message("assistant", "Hello", "They greet me."))
    )


@pytest.mark.parametrize(
    ("row", "way"),
    [
        ({"prompt": "[INST] Hi [/INST]", "completion": " Hello </s>"}, "format: rendered reads it back into turns"),
        (
            {"instruction": "### Instruction:\nHi\n\n### Response:", "output": "Hello"},
            "format: rendered and columns: {prompt: instruction, completion: output} reads it back into turns",
        ),
        (
            {
                "prompt": "<|im_start|>user\nHi <|im_end|> there<|im_end|>\n<|im_start|>assistant\n",
                "completion": "Hello",
            },
            "which turns it has cannot be proven, so write them as messages",
        ),
    ],
)
def test_the_way_out_was_tried_on_the_row(row, way):
    drop = convert(row, RowFormat()).found
    assert isinstance(drop, Drop)
    assert f"; {way}; rendered_chats: keep keeps it as text" in str(drop.detail)
    if "columns" in way:
        columns = {"prompt": "instruction", "completion": "output"}
        assert convert(row, RowFormat("rendered", columns)).found == Record((Message("user", "Hi"), ANSWER))


def test_a_prompt_with_examples_in_words_is_a_prompt():
    prompt = "The following is a conversation.\nHuman: Hi\nAssistant:"
    row = {"prompt": prompt, "completion": " Hello"}
    assert convert(row, RowFormat()).found == Record((Message("user", prompt), Message("assistant", " Hello")))


def test_by_setting_rendered_chats_stay_text():
    text = TEXTS["ChatML"]
    assert convert({"text": text}, RowFormat("text", rendered_chats="keep")).found == Record(text=text)
    row = {"prompt": "[INST] Hi [/INST]", "completion": "Hello"}
    assert convert(row, RowFormat(rendered_chats="keep")).found == Record(
        (Message("user", "[INST] Hi [/INST]"), Message("assistant", "Hello"))
    )
    with pytest.raises(ValueError, match="rendered_chats can do nothing with format: messages"):
        SourceConfig(path="a.jsonl", format="messages", rendered_chats="keep")


def test_every_mark_of_an_answer_has_one_of_the_stems_that_are_looked_for_first():
    assert [mark for mark in ANSWER_MARKS if not any(stem in mark for stem in STEMS)] == []


@pytest.mark.parametrize(
    "text",
    [
        "### System:\nBe kind.\n\n### User:\nHi\nthere\n\n### Assistant:\nHello",
        "System: Be kind.\n\nHuman: Hi\nthere\n\nAssistant: Hello",
        "SYSTEM: Be kind. USER: Hi\nthere ASSISTANT: Hello",
    ],
)
def test_a_header_before_the_system_prompt_is_no_part_of_it(text):
    assert looks_rendered(text) is not None
    assert convert({"text": text}, RowFormat("rendered")).found == Record((SYSTEM, USER, ANSWER))
