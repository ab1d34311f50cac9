"""The end of a turn is a token at which a server stops: EOS, generation_config.json, or stop_tokens."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from small_chats import chat, encode_to_text

from sftdata.encode.record_encoder import RecordEncoder
from sftdata.encode.tokenizer.stops import with_stops
from sftdata.errors import TemplateError, TokenizerError
from sftdata.records.record import Message, Record, ToolCall

# The format of GLM: a turn ends where the next one begins.
GLM = (
    "{% for m in messages %}{{ '<|observation|>' if m.role == 'tool' else '<|' + m.role + '|>' }}\n"
    "{{ m.content or '' }}"
    "{% for c in m.tool_calls or [] %}<tool_call>{{ c.function.name }} {{ c.function.arguments | tojson }}</tool_call>"
    "{% endfor %}{% endfor %}{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)
CALL = ToolCall(name="lookup", arguments={"word": "x"})


@pytest.fixture
def with_generation_config(make_encoder: Any, byte_level: Any, tmp_path: Path) -> Any:
    def make(source: str, *stops: str, eos: str = "</s>") -> RecordEncoder:
        ids = [byte_level.token_to_id(stop) for stop in stops]
        (tmp_path / "generation_config.json").write_text(json.dumps({"eos_token_id": ids}), encoding="utf-8")
        encoder: RecordEncoder = make_encoder(source, eos=eos)
        return encoder

    return make


def calling(*results: str) -> Record:
    """A question, a call, its results, and an answer if there are any."""
    turns = [Message("user", "q"), Message("assistant", None, tool_calls=(CALL,))]
    turns += [Message("tool", text, name="lookup") for text in results]
    return Record((*turns, Message("assistant", "so")) if results else tuple(turns))


def test_an_answer_ends_with_the_stop_that_begins_the_next_turn(with_generation_config: Any) -> None:
    encoder = with_generation_config(GLM, "<|user|>", "<|observation|>")
    assert encode_to_text(encoder, chat("hi", "yo", "and", "so")) == [
        "<|user|>\nhi<|assistant|>\n{{yo<|user|>}}\nand<|assistant|>\n{{so<|user|>}}"
    ]


def test_a_call_ends_with_the_stop_that_begins_its_result(with_generation_config: Any) -> None:
    encoder = with_generation_config(GLM, "<|user|>", "<|observation|>")
    call = '<tool_call>lookup {"word": "x"}</tool_call><|observation|>'
    assert encode_to_text(encoder, calling()) == ["<|user|>\nq<|assistant|>\n{{" + call + "}}"]
    assert encode_to_text(encoder, calling("r")) == [
        "<|user|>\nq<|assistant|>\n{{" + call + "}}\nr<|assistant|>\n{{so<|user|>}}"
    ]


def test_a_turn_whose_next_header_is_no_stop_has_no_end_and_the_error_names_the_way_out(make_encoder: Any) -> None:
    with pytest.raises(TemplateError, match=r'<\|user\|>.*stop_tokens: \["<\|user\|>"\]'):
        make_encoder(GLM, eos="</s>").check()


def test_declared_stops_are_stops(make_encoder: Any) -> None:
    settings = make_encoder(GLM, eos="</s>").settings
    encoder = RecordEncoder(replace(settings, files=with_stops(settings.files, ["<|user|>"])))
    assert encode_to_text(encoder, chat("hi", "yo")) == ["<|user|>\nhi<|assistant|>\n{{yo<|user|>}}"]
    drop = encode_to_text(encoder, calling())
    assert (drop.reason, "<|observation|>" in drop.detail) == ("no_end_of_turn", True)


def test_a_declared_stop_that_the_tokenizer_does_not_have_is_an_error(make_encoder: Any) -> None:
    with pytest.raises(TokenizerError, match="no added token '<none>'"):
        with_stops(make_encoder(GLM).settings.files, ["<none>"])


def test_the_first_special_token_behind_an_answer_is_not_its_end_if_servers_stop_at_another(
    with_generation_config: Any,
) -> None:
    source = (
        "{% for m in messages %}<|start|>{{ m.role }}<|message|>{{ m.content }}"
        "{{ '<|end|>' if m.role == 'assistant' }}<|eot_id|>{% endfor %}"
        "{% if add_generation_prompt %}<|start|>assistant<|message|>{% endif %}"
    )
    before = "<|start|>user<|message|>hi<|eot_id|><|start|>assistant<|message|>"
    encoder = with_generation_config(source, "<|eot_id|>")
    assert encode_to_text(encoder, chat("hi", "yo")) == [before + "{{yo<|end|><|eot_id|>}}"]
    with pytest.raises(TemplateError, match=r"<\|eot_id\|>.*stop_tokens"):
        with_generation_config(source).check()


def test_an_end_behind_a_closed_part_of_the_answer_may_come_with_the_next_turn(with_generation_config: Any) -> None:
    source = (
        "{% for m in messages %}{{ '<|eot_id|>' if m.role == 'user' and not loop.first }}"
        "<|start|>{{ m.role }}<|message|>{{ m.content }}<|end|>{% endfor %}"
        "{% if add_generation_prompt %}<|start|>assistant<|message|>{% endif %}"
    )
    encoder = with_generation_config(source, "<|eot_id|>")
    assert encode_to_text(encoder, chat("hi", "yo")) == [
        "<|start|>user<|message|>hi<|end|><|start|>assistant<|message|>{{yo<|end|><|eot_id|>}}"
    ]


def test_a_turn_with_calls_ends_behind_what_closes_each_call(with_generation_config: Any) -> None:
    source = (
        "{% for m in messages %}{% if m.role == 'tool' %}{{ m.content }}<|end|>{% else %}"
        "<|start|>{{ m.role }}<|message|>{{ m.content or '' }}"
        "{% for c in m.tool_calls or [] %}<|python_tag|>{{ c.function | tojson }}<|eom_id|>{% endfor %}"
        "{{ '<|call|>' if m.tool_calls else '<|end|>' }}{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}<|start|>assistant<|message|>{% endif %}"
    )
    before = "<|start|>user<|message|>q<|end|><|start|>assistant<|message|>"
    call = '<|python_tag|>{"name": "lookup", "arguments": {"word": "x"}}<|eom_id|><|call|>'
    for encoder in (with_generation_config(source, "<|end|>", "<|call|>"), with_generation_config(source, "<|end|>")):
        assert encode_to_text(encoder, calling()) == [before + "{{" + call + "}}"]


def test_an_eos_that_ends_the_document_is_not_trained(make_encoder: Any) -> None:
    source = (
        "{% for m in messages %}<|start|>{{ m.role }}<|message|>{{ m.content }}<|end|>\n{% endfor %}"
        "{{ '<|start|>assistant<|message|>' if add_generation_prompt else '</s>' }}"
    )
    assert encode_to_text(make_encoder(source, eos="</s>"), chat("hi", "yo")) == [
        "<|start|>user<|message|>hi<|end|>\n<|start|>assistant<|message|>{{yo<|end|>}}\n</s>"
    ]


@pytest.mark.parametrize("value", ["2", [1, "2"], True, {"id": 3}])
def test_an_eos_token_id_that_is_no_id_is_an_error(make_encoder: Any, tmp_path: Path, value: Any) -> None:
    (tmp_path / "generation_config.json").write_text(json.dumps({"eos_token_id": value}), encoding="utf-8")
    with pytest.raises(TokenizerError, match="eos_token_id in its generation_config"):
        make_encoder(GLM).check()


def test_a_template_that_takes_only_conversations_with_tools_trains_those(make_encoder: Any) -> None:
    source = (
        "{% for t in tools %}<tools>{{ t | tojson }}</tools>{% endfor %}"
        "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}{{ '' if tools else raise_exception('none') }}"
    )
    encoder = make_encoder(source)
    encoder.check()
    tool = {"type": "function", "function": {"name": "f", "description": "d", "parameters": {}}}
    (text,) = encode_to_text(encoder, Record(chat("hi", "yo").messages, tools=(tool,)))
    assert text.endswith("</tools><|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n{{yo<|im_end|>}}\n")
    drop = encode_to_text(encoder, chat("hi", "yo"))
    assert (drop.reason, "takes only conversations with tools" in drop.detail) == ("template_error", True)


def test_an_end_that_is_no_stop_may_also_close_the_parts_of_a_turn(with_generation_config: Any) -> None:
    # As Solar writes reasoning, and GigaChat 3 text beside a call; servers stop at another token than <|end|>.
    source = (
        "{% for m in messages %}"
        "{% if m.reasoning_content %}<|start|>{{ m.role }}<|think|>{{ m.reasoning_content }}<|end|>{% endif %}"
        "<|start|>{{ m.role }}<|message|>{{ m.content or '' }}<|end|>"
        "{% for c in m.tool_calls or [] %}<|start|>call<|message|>{{ c.function | tojson }}<|end|>{% endfor %}"
        "{% endfor %}"
        "{% if add_generation_prompt %}<|start|>assistant{% endif %}"
    )
    encoder = with_generation_config(source, "<|return|>")
    prompt = "<|start|>user<|message|>hi<|end|><|start|>assistant"
    assert encode_to_text(encoder, chat("hi", "yo")) == [prompt + "{{<|message|>yo<|end|>}}"]
    assert encode_to_text(encoder, chat("hi", "yo", reasoning="why")) == [
        prompt + "{{<|think|>why<|end|><|start|>assistant<|message|>yo<|end|>}}"
    ]
    call = '<|message|>Wait.<|end|><|start|>call<|message|>{"name": "lookup", "arguments": {"word": "x"}}<|end|>'
    record = Record((Message("user", "hi"), Message("assistant", "Wait.", tool_calls=(CALL,))))
    assert encode_to_text(encoder, record) == [prompt + "{{" + call + "}}"]
