"""What a template leaves out of the context of trained turns is refused by name, or counted."""

from __future__ import annotations

from typing import Any

import pytest
import tiny_tokenizers
from small_chats import encode_to_text

from sftdata.encode.template.probes import TOOL
from sftdata.records.record import Drop, Message, Record, ToolCall

USER, ANSWER = Message("user", "hi"), Message("assistant", "yo")
CALL = Message("assistant", "", tool_calls=(ToolCall(name="lookup", arguments={"word": "tide"}, id="callaaaa1"),))
RESULT = Message("tool", "rise and fall", tool_call_id="callaaaa1", name="lookup")


def only(*roles: str) -> str:
    """ChatML for these roles; nothing is written for others."""
    return tiny_tokenizers.CHATML.replace("messages %}", f"messages if message.role in {list(roles)} %}}", 1)


@pytest.mark.parametrize(
    ("record", "detail"),
    [
        (Record((Message("system", "Be brief."), USER, ANSWER)), "turn 1: the system's content"),
        (Record((USER, CALL._replace(train=False), RESULT, ANSWER)), "turn 2: the assistant's tool calls"),
        (Record((USER, ANSWER, RESULT, ANSWER)), "turn 3: the tool's content"),
        (Record((USER, ANSWER), tools=(TOOL,)), "tools"),
    ],
)
def test_context_that_is_not_written_is_a_lost_field_with_its_name(
    make_encoder: Any, record: Record, detail: str
) -> None:
    assert make_encoder(only("user", "assistant")).encode([record])[0] == Drop("lost_field", detail)


def test_with_warn_the_row_is_trained_and_counted_by_what_it_lacks(make_encoder: Any) -> None:
    encoder = make_encoder(only("user", "assistant"), lost_context="warn")
    record = Record((Message("system", "Be brief."), USER, ANSWER), tools=(TOOL,))
    assert encode_to_text(encoder, record) == [
        "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n{{yo<|im_end|>}}\n"
    ]
    assert dict(encoder.notes) == {
        ("lost_context", "tools"): 1,
        ("lost_context", "system messages"): 1,
    }


def test_a_text_that_stands_there_by_chance_is_no_proof(make_encoder: Any) -> None:
    source = "You answer." + only("user", "assistant")
    record = Record((Message("system", "You answer."), USER, ANSWER))
    assert make_encoder(source).encode([record])[0] == Drop("lost_field", "turn 1: the system's content")


def test_a_text_that_the_template_cuts_is_lost_although_others_like_it_are_not(make_encoder: Any) -> None:
    source = tiny_tokenizers.CHATML.replace("message['content']", "message['content'].split('|cut|')[0]")
    encoder = make_encoder(source)
    assert not isinstance(encoder.encode([Record((USER, ANSWER))])[0], Drop)
    record = Record((Message("user", "hi |cut| there"), ANSWER))
    assert encoder.encode([record])[0] == Drop("lost_field", "turn 1: the user's content")


@pytest.mark.parametrize(
    ("written", "text"),
    [
        ("message['content'] | trim", "  spaces \n"),
        ("message['content'] | tojson", 'a "quoted"\nline'),
        ("message['content'] | replace('\\n', ' / ')", "two\nlines"),
    ],
)
def test_a_text_in_another_form_is_not_lost(make_encoder: Any, written: str, text: str) -> None:
    content = f"({written} if message.role == 'user' else message['content'])"
    encoder = make_encoder(tiny_tokenizers.CHATML.replace("message['content']", content))
    assert not isinstance(encoder.encode([Record((Message("user", text), ANSWER))])[0], Drop)


def test_earlier_reasoning_that_the_template_strips_is_no_loss(make_encoder: Any) -> None:
    encoder = make_encoder(name="qwen3")
    thought = ANSWER._replace(reasoning="why")
    assert len(encoder.encode([Record((USER, thought, USER, thought))])[0]) == 2
    assert dict(encoder.notes) == {}


def test_names_ids_and_template_arguments_that_are_not_written_are_counted(make_encoder: Any) -> None:
    encoder = make_encoder(name="qwen3")
    record = Record((USER._replace(name="Bob"), CALL, RESULT, ANSWER, USER), tools=(TOOL,), template_kwargs={"mood": 1})
    assert not isinstance(encoder.encode([record])[0], Drop)
    assert dict(encoder.notes) == {
        ("unwritten", "messages: a name"): 1,
        ("unwritten", "messages: call ids"): 1,
        ("unwritten", "messages: a tool_call_id"): 1,
        ("unwritten", "rows: chat_template_kwargs.mood"): 1,
        ("changes", "unused_messages"): 1,
        ("changes", "arguments: object"): 1,
        ("thinking", "off: enable_thinking=false"): 1,
    }
