"""Answers with reasoning and without, in the mode in which a server would have the model write them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import tiny_tokenizers
from small_chats import chat, encode_to_text

from sftdata.encode.options import SourceSettings
from sftdata.encode.record_encoder import RecordEncoder
from sftdata.errors import TemplateError
from sftdata.records.record import Drop, Message, Record

Make = Callable[..., RecordEncoder]
USER = "<|im_start|>user\n{}<|im_end|>\n"
ASSISTANT = "<|im_start|>assistant\n"
BLOCK = "<think>\n\n</think>\n\n"
OFF = ("thinking", "off: enable_thinking=false")
# It thinks unless it is told not to; without reasoning it writes an empty block, and reads no switch.
ALWAYS = (
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' }}"
    "{% if m.role == 'assistant' %}{{ '<think>' + (m.reasoning_content or '') + '</think>' }}{% endif %}"
    "{{ m.content + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
# Does not think unless it is told to, in words.
ASKED = "{{ '<|im_start|>system\nthink<|im_end|>\n' if thinking_mode == 'on' else '' }}" + ALWAYS.replace(
    "{% if m.role == 'assistant' %}", "{% if m.role == 'assistant' and m.reasoning_content %}"
)


def test_an_answer_without_reasoning_is_trained_behind_the_prompt_of_a_model_that_does_not_think(
    make_encoder: Make,
) -> None:
    encoder = make_encoder(name="qwen3")
    assert encode_to_text(encoder, chat("q", "a")) == [USER.format("q") + ASSISTANT + BLOCK + "{{a<|im_end|>}}\n"]
    assert encoder.notes[OFF] == 1


def test_each_turn_of_a_conversation_has_its_own_mode(make_encoder: Make) -> None:
    encoder = make_encoder(name="qwen3")
    assert encode_to_text(encoder, chat("q", "a", "r", "b", reasoning="why")) == [
        USER.format("q") + ASSISTANT + BLOCK + "{{a<|im_end|>}}\n",
        USER.format("q")
        + ASSISTANT
        + "a<|im_end|>\n"
        + USER.format("r")
        + ASSISTANT
        + "{{<think>\nwhy\n</think>\n\nb<|im_end|>}}\n",
    ]
    assert encoder.notes[OFF] == 1


def test_by_setting_the_empty_block_is_trained(make_encoder: Make) -> None:
    encoder = make_encoder(name="qwen3", train_empty_thinking=True)
    for record in (chat("q", "a"), chat("q", BLOCK + "a"), chat("q", "a", reasoning="")):
        assert encode_to_text(encoder, record) == [USER.format("q") + ASSISTANT + "{{" + BLOCK + "a<|im_end|>}}\n"]
    assert encoder.notes[OFF] == 0


def test_an_empty_block_in_the_text_of_an_answer_is_none(make_encoder: Make) -> None:
    assert encode_to_text(make_encoder(name="qwen3"), chat("q", BLOCK + "a")) == [
        USER.format("q") + ASSISTANT + BLOCK + "{{a<|im_end|>}}\n"
    ]


# Both write line breaks behind their block; the second removes those of the content.
SPACED = ALWAYS.replace("</think>'", "</think>\n\n'")
TRIMMING = SPACED.replace("m.content", "m.content.lstrip('\n')")


@pytest.mark.parametrize(
    ("source", "content", "space", "answer"),
    [
        (ALWAYS, " ", "", " "),
        (ALWAYS, "\n", "", "\n"),
        (SPACED, " ", "\n\n", " "),
        (SPACED, "\n", "\n\n", "\n"),
        (TRIMMING, "\n", "\n\n", ""),
        (TRIMMING, "\n ", "\n\n", " "),
        (TRIMMING, "\na", "\n\n", "a"),
    ],
)
def test_white_space_behind_an_empty_block_is_the_prompt_s_if_the_template_writes_it(
    make_encoder: Make, source: str, content: str, space: str, answer: str
) -> None:
    assert encode_to_text(make_encoder(source), chat("q", content)) == [
        USER.format("q") + ASSISTANT + f"<think></think>{space}{{{{{answer}<|im_end|>}}}}\n"
    ]


@pytest.mark.parametrize("setting", [{"thinking": "on"}, {"chat_template_kwargs": {"enable_thinking": True}}])
def test_a_switch_that_is_set_stays_and_the_block_still_goes_to_the_prompt(make_encoder: Make, setting: Any) -> None:
    encoder = make_encoder(name="qwen3", **setting)
    encoder.check()
    assert encode_to_text(encoder, chat("q", "a")) == [USER.format("q") + ASSISTANT + BLOCK + "{{a<|im_end|>}}\n"]
    assert encoder.notes == {("thinking", "prompt"): 1}


def test_reasoning_is_refused_with_thinking_off(make_encoder: Make) -> None:
    drop = make_encoder(name="qwen3", thinking="off").encode([chat("q", "a", reasoning="why")])[0]
    assert isinstance(drop, Drop) and drop.reason == "unproven_mask"
    assert (drop.detail or "").startswith("turn 2: it has reasoning, and enable_thinking=false: ")


def test_the_arguments_of_a_row_win_over_those_of_its_source_and_of_the_run(make_encoder: Make) -> None:
    source = "{{ a ~ b ~ c }}" + tiny_tokenizers.CHATML
    sources = (SourceSettings(), SourceSettings(chat_template_kwargs={"b": 5, "c": 6}))
    encoder = make_encoder(source, chat_template_kwargs={"a": 1, "b": 2, "c": 3}, sources=sources)
    encoder.check()
    row = Record(chat("q", "a").messages, template_kwargs={"c": 9})
    results = encoder.encode([chat("q", "a"), chat("q", "a"), row], [0, 1, 1])
    heads = [encoder.decode(result[0].input_ids.tolist())[:3] for result in results if not isinstance(result, Drop)]
    assert heads == ["123", "156", "159"]


def test_strings_in_the_arguments_of_a_run_stay_text(make_encoder: Make) -> None:
    encoder = make_encoder("{{ mood }}" + tiny_tokenizers.CHATML, chat_template_kwargs={"mood": "<|im_end|>"})
    (sample,) = encoder.encode([chat("q", "a")])[0]
    assert encoder.decode(sample.input_ids.tolist()).startswith("<|im_end|><|im_start|>user\nq")
    assert sample.input_ids.tolist().count(encoder.probes.control.id_of("<|im_end|>")) == 2


def test_what_the_template_does_not_read_is_an_error_that_names_what_it_reads(make_encoder: Make) -> None:
    with pytest.raises(
        TemplateError, match=r"chat_template_kwargs.mood: .* does not read it; it reads enable_thinking"
    ):
        make_encoder(name="qwen3", chat_template_kwargs={"mood": 1}).check()
    with pytest.raises(TemplateError, match="thinking: on can do nothing: the chat template reads no switch for it"):
        make_encoder(tiny_tokenizers.CHATML, sources=(SourceSettings(thinking="on"),)).check()
    with pytest.raises(TemplateError, match="chat_template_kwargs says otherwise"):
        make_encoder(name="qwen3", thinking="on", chat_template_kwargs={"enable_thinking": False}).check()


def test_without_a_switch_the_empty_block_goes_to_the_prompt(make_encoder: Make) -> None:
    encoder = make_encoder(ALWAYS)
    assert encode_to_text(encoder, chat("q", "a", "r", " b")) == [
        USER.format("q")
        + ASSISTANT
        + "<think></think>{{a<|im_end|>}}\n"
        + USER.format("r")
        + ASSISTANT
        + "<think></think>{{ b<|im_end|>}}\n"
    ]
    assert encoder.notes == {("thinking", "prompt"): 1}


def test_an_answer_with_reasoning_is_trained_with_thinking_on_where_that_is_not_the_default(make_encoder: Make) -> None:
    encoder = make_encoder(ASKED)
    assert encode_to_text(encoder, chat("q", "a")) == [USER.format("q") + ASSISTANT + "{{a<|im_end|>}}\n"]
    assert encode_to_text(encoder, chat("q", "a", reasoning="why")) == [
        "<|im_start|>system\nthink<|im_end|>\n" + USER.format("q") + ASSISTANT + "{{<think>why</think>a<|im_end|>}}\n"
    ]


@pytest.mark.parametrize(
    ("text", "trained"),
    [
        ("<think>why</think>a", "<think>why</think>a"),
        ("<think>\nwhy\n</think>\n\na", "<think>\nwhy\n</think>\n\na"),
        ("[THINK]why[/THINK]a", "<think>\nwhy\n</think>\n\na"),
        (BLOCK + "a", "a"),
    ],
)
def test_reasoning_in_a_text_is_written_with_the_models_own_tokens(make_encoder: Make, text: str, trained: str) -> None:
    encoder = make_encoder(tiny_tokenizers.CHATML)
    assert encode_to_text(encoder, chat("q", text)) == [
        USER.format("q") + ASSISTANT + "{{" + trained + "<|im_end|>}}\n"
    ]
    (sample,) = encoder.encode([chat("q", text)])[0]
    think = encoder.probes.control.id_of("<think>")
    assert sample.input_ids.tolist().count(think) == trained.count("<think>")


def test_marks_of_reasoning_in_other_texts_stay_text_and_an_open_block_is_refused(make_encoder: Make) -> None:
    encoder = make_encoder(tiny_tokenizers.CHATML)
    record = Record((Message("user", "<think>hm</think>"), Message("assistant", "a <think> tag")))
    (sample,) = encoder.encode([record])[0]
    assert encoder.probes.control.id_of("<think>") not in sample.input_ids.tolist()
    drop = encoder.encode([chat("q", "<think>why")])[0]
    assert drop == Drop("unproven_mask", "turn 2: its text begins with <think>, which is never closed")


def test_an_empty_block_that_the_template_writes_before_reasoning_in_a_text_is_refused(make_encoder: Make) -> None:
    block = "('<think></think>' if message['role'] == 'assistant' else '')"
    source = tiny_tokenizers.CHATML.replace("+ message['content']", f"+ {block} + message['content']")
    encoder = make_encoder(source)
    assert encode_to_text(encoder, chat("q", "a")) == [
        USER.format("q") + ASSISTANT + "<think></think>{{a<|im_end|>}}\n"
    ]
    drop = encoder.encode([chat("q", "<think>why</think>a")])[0]
    what = "the template writes an empty thinking block in front of the reasoning in its text"
    assert drop == Drop("unproven_mask", f"turn 2: {what}")


def test_a_template_that_demands_an_argument_gets_it_from_the_run(make_encoder: Make) -> None:
    source = "{% if mood is not defined %}{{ raise_exception('no mood') }}{% endif %}" + tiny_tokenizers.CHATML
    with pytest.raises(TemplateError, match="no mood"):
        make_encoder(source).check()
    encoder = make_encoder(source, chat_template_kwargs={"mood": "calm"})
    encoder.check()
    assert encode_to_text(encoder, chat("q", "a")) == [USER.format("q") + ASSISTANT + "{{a<|im_end|>}}\n"]


def test_the_field_reasoning_is_given_to_templates_that_read_no_other(make_encoder: Make) -> None:
    encoder = make_encoder(ALWAYS.replace("m.reasoning_content", "m.reasoning"))
    assert encode_to_text(encoder, chat("q", "a", reasoning="why")) == [
        USER.format("q") + ASSISTANT + "{{<think>why</think>a<|im_end|>}}\n"
    ]


# Its switch has a default, so that the template sets a name that only arguments give.
DEFAULTED = "{% set enable_thinking = enable_thinking | default(false) %}" + ALWAYS.replace(
    "assistant\n' }}{% endif %}", "assistant\n' + ('<think>' if enable_thinking else '<think></think>') }}{% endif %}"
)


def test_a_switch_with_a_default_is_one(make_encoder: Make) -> None:
    encoder = make_encoder(DEFAULTED)
    prompt = USER.format("q") + ASSISTANT
    assert encode_to_text(encoder, chat("q", "a", reasoning="why")) == [prompt + "<think>{{why</think>a<|im_end|>}}\n"]
    assert encode_to_text(encoder, chat("q", "a")) == [prompt + "<think></think>{{a<|im_end|>}}\n"]


def test_a_switch_that_changes_prompts_comes_before_one_that_changes_answers(make_encoder: Make) -> None:
    read = DEFAULTED.replace("enable_thinking", "reasoning_enabled")
    source = read.replace("(m.reasoning_content or '')", "(m.reasoning_content or '' if enable_thinking else '')")
    assert make_encoder(read).probes.thinking.switch.name == "reasoning_enabled"
    assert make_encoder(source).probes.thinking.switch.name == "reasoning_enabled"


# In a third mode the model decides itself, and writes the end of a block where it does not think, as MiniMax M3 does.
ADAPTIVE = (
    "{{ '<|im_start|>system\n' + mode | default('adaptive') + '<|im_end|>\n' }}"
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' }}"
    "{% if m.role == 'assistant' %}{{ '<think>' + m.reasoning_content if m.reasoning_content }}</think>{% endif %}"
    "{{ m.content + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}"
    "{{ {'on': '<think>', 'off': '</think>'}.get(mode, '') }}{% endif %}"
)


def test_the_end_of_an_empty_block_is_not_trained(make_encoder: Make) -> None:
    system, prompt = "<|im_start|>system\n{}<|im_end|>\n", USER.format("q") + ASSISTANT
    without = make_encoder(ADAPTIVE)
    assert encode_to_text(without, chat("q", "a")) == [system.format("adaptive") + prompt + "</think>{{a<|im_end|>}}\n"]
    encoder = make_encoder(ADAPTIVE.replace("mode", "thinking_mode"))
    assert encode_to_text(encoder, chat("q", "a")) == [system.format("off") + prompt + "</think>{{a<|im_end|>}}\n"]
    assert encode_to_text(encoder, chat("q", "a", reasoning="why")) == [
        system.format("adaptive") + prompt + "{{<think>why</think>a<|im_end|>}}\n"
    ]


def test_the_end_of_an_empty_block_is_trained_by_setting(make_encoder: Make) -> None:
    encoder = make_encoder(ADAPTIVE.replace("mode", "thinking_mode"), train_empty_thinking=True)
    prompt = "<|im_start|>system\nadaptive<|im_end|>\n" + USER.format("q") + ASSISTANT
    assert encode_to_text(encoder, chat("q", "a")) == [prompt + "{{</think>a<|im_end|>}}\n"]
