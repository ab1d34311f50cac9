"""Reasoning of answers under templates that write it and under templates that do not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import tiny_tokenizers
from small_chats import encode_to_text

from sftdata.encode.record_encoder import RecordEncoder
from sftdata.errors import TemplateError
from sftdata.records.record import Drop, Message, Record

Make = Callable[..., RecordEncoder]
QUESTION = "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n"


def answer(text: str, prompt: str = "hi", **more: Any) -> Record:
    return Record((Message("user", prompt), Message("assistant", text, **more)))


@pytest.mark.parametrize(
    "text",
    [
        "<think>why</think>yo",
        "<thinking>why</thinking>yo",
        "<Thought>why</Thought>yo",
        "[THINK]why[/THINK]yo",
        "<seed:think>why</seed:think>yo",
        "◁think▷why◁/think▷yo",
        "<|begin_of_thought|>why<|end_of_thought|>\n\n<|begin_of_solution|>yo<|end_of_solution|>",
        "why\n</think>\n\nyo",
    ],
)
def test_a_template_that_writes_reasoning_writes_it_once_in_its_own_marks(make_encoder: Make, text: str) -> None:
    encoder = make_encoder(name="qwen3")
    assert encode_to_text(encoder, answer(text)) == [QUESTION + "{{<think>\nwhy\n</think>\n\nyo<|im_end|>}}\n"]
    mark = "</think>" if text.startswith("why") else text.partition("why")[0]
    assert encoder.notes["reasoning", f"read: {mark}"] == 1


def test_no_empty_block_is_trained_before_reasoning_whose_end_is_not_certain(make_encoder: Make) -> None:
    drop = make_encoder(name="qwen3").encode([answer("<think>\nnever closed")])[0]
    assert drop == Drop("unproven_mask", "turn 2: its text begins with <think>, which is never closed")


def test_reasoning_without_an_answer_is_an_empty_answer(make_encoder: Make) -> None:
    drop = make_encoder(name="qwen3").encode([answer("<think>why</think>\n")])[0]
    assert drop == Drop("empty_answer", "turn 2: the assistant's turn holds reasoning in <think> but no answer")


def test_tags_that_the_prompt_asks_for_stay_text_and_are_counted(make_encoder: Make) -> None:
    encoder = make_encoder(name="qwen3")
    text = "<reasoning>why</reasoning><answer>yo</answer>"
    record = answer(text, "Write <reasoning>..</reasoning> first.")
    assert encode_to_text(encoder, record)[0].endswith("<think>\n\n</think>\n\n{{" + text + "<|im_end|>}}\n")
    assert encoder.notes["reasoning", "text: <reasoning>"] == 1


def test_a_template_that_writes_none_leaves_marks_in_texts_and_refuses_fields(make_encoder: Make) -> None:
    encoder = make_encoder(tiny_tokenizers.CHATML)
    text = "<reasoning>why</reasoning>yo"
    assert encode_to_text(encoder, answer(text, "Write <reasoning> first.")) == [
        QUESTION.replace("hi", "Write <reasoning> first.") + "{{" + text + "<|im_end|>}}\n"
    ]
    assert encoder.encode([answer("yo", reasoning="why")])[0] == Drop("lost_field", "turn 2: reasoning_content")


def test_marks_that_would_come_behind_more_than_the_prompt_stay_text(make_encoder: Make) -> None:
    source = (
        "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' }}{{ '<|message|>' if m.role == 'assistant' }}"
        "{{ m.content + '<|im_end|>\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}MORE{% endif %}"
    )
    inside, behind = make_encoder(source.replace("MORE", "")), make_encoder(source.replace("MORE", "<|message|>"))
    record = answer("<think>why</think>yo")
    assert encode_to_text(inside, record) == [QUESTION + "{{<|message|><think>why</think>yo<|im_end|>}}\n"]
    assert encode_to_text(behind, record) == [QUESTION + "<|message|>{{<think>why</think>yo<|im_end|>}}\n"]
    think = inside.probes.control.id_of("<think>")
    assert think is not None
    assert [think in encoder.encode([record])[0][0].input_ids for encoder in (inside, behind)] == [False, True]


def test_by_setting_reasoning_is_written_in_front_of_the_answer_or_left_out(make_encoder: Make) -> None:
    record = answer("yo", reasoning="\nwhy\n")
    as_text = make_encoder(tiny_tokenizers.CHATML, reasoning="inline")
    assert encode_to_text(as_text, record) == [QUESTION + "{{<think>\nwhy\n</think>\n\nyo<|im_end|>}}\n"]
    assert as_text.notes["reasoning", "inline"] == 1
    without = make_encoder(tiny_tokenizers.CHATML, reasoning="drop")
    for one in (record, answer("[THINK]why[/THINK]yo"), answer("why\n</think>\n\nyo")):
        assert encode_to_text(without, one) == [QUESTION + "{{yo<|im_end|>}}\n"]
        assert without.notes["reasoning", "drop"] == 1
        without.notes.clear()


def test_reasoning_as_text_under_a_template_that_writes_it_is_an_error(make_encoder: Make) -> None:
    with pytest.raises(TemplateError, match="set reasoning: keep"):
        make_encoder(name="qwen3", reasoning="inline").check()
