"""Marks of reasoning in answers: at the head they are the model's own tokens, anywhere else they are text."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from small_chats import encode_to_text

from sftdata.encode.record_encoder import RecordEncoder
from sftdata.read.formats.convert import to_record
from sftdata.records.record import Drop, Record

Make = Callable[..., RecordEncoder]
USER, ANSWER, END = "<|im_start|>user\n", "<|im_start|>assistant\n", "<|im_end|>"
PLAIN = ("lfm2", "kimi-k2", "llama4", "hermes3", "granite4", "phi4-mini")  # templates that write no reasoning


def record_of(*turns: tuple[str, str], **more: Any) -> Record:
    messages: list[dict[str, Any]] = [{"role": role, "content": text} for role, text in turns]
    messages[-1] |= more
    record = to_record({"messages": messages}, format="messages", columns={}, system=None)
    assert isinstance(record, Record)
    return record


def marks_of(encoder: RecordEncoder, record: Record, mark: str = "<think>") -> tuple[int, int]:
    """How many tokens of a mark are in the samples of a record, and how many of them are trained."""
    id_ = encoder.probes.control.id_of(mark)
    assert id_ is not None
    samples = encoder.encode([record])[0]
    assert not isinstance(samples, Drop), samples
    return tuple(  # type: ignore[return-value]
        sum(list(ids).count(id_) for ids in column)
        for column in ([one.input_ids for one in samples], [one.labels for one in samples])
    )


def test_an_empty_block_is_no_reasoning_beside_answers_with_reasoning(make_encoder: Make) -> None:
    encoder = make_encoder(name="lfm2")
    turns = (("user", "hi"), ("assistant", "<think></think>yo"), ("user", "hm"), ("assistant", "<think>why</think>ok"))
    (text,) = encode_to_text(encoder, record_of(*turns))
    assert text.endswith(
        f"{USER}hi{END}\n{ANSWER}{{{{yo{END}}}}}\n{USER}hm{END}\n{ANSWER}{{{{<think>why</think>ok{END}}}}}\n"
    )
    assert marks_of(encoder, record_of(*turns)) == (1, 1)


@pytest.mark.parametrize("name", PLAIN)
def test_marks_in_other_turns_and_within_answers_are_text(make_encoder: Make, name: str) -> None:
    encoder = make_encoder(name=name)
    inside = record_of(("user", "<think>a</think>b"), ("assistant", "Write <think>a</think>b"))
    assert marks_of(encoder, inside) == (0, 0)
    head = record_of(("user", "<think>a</think>b"), ("assistant", "<think>a <think></think>Write <think>b</think>"))
    assert marks_of(encoder, head) == (1, 1)


@pytest.mark.parametrize("name", PLAIN)
def test_where_several_marks_may_end_the_reasoning_it_is_text_in_a_context_and_refused_in_an_answer(
    make_encoder: Make, name: str
) -> None:
    encoder, unclear = make_encoder(name=name), "<think>a<think>b</think>c</think>d"
    context = record_of(("assistant", unclear), ("user", "hi"), ("assistant", "yo"))
    result = encoder.encode([context])[0]
    if not isinstance(result, Drop):  # templates that demand a question first refuse it
        assert marks_of(encoder, context) == (0, 0)
    drop = encoder.encode([record_of(("user", "hi"), ("assistant", unclear))])[0]
    assert drop == Drop(
        "unproven_mask", "turn 2: which </think> ends the reasoning that its text begins with is not certain"
    )


def test_an_end_alone_is_that_of_reasoning_at_the_end_of_a_line_and_text_within_one(make_encoder: Make) -> None:
    encoder = make_encoder(name="lfm2")
    (text,) = encode_to_text(encoder, record_of(("user", "hi"), ("assistant", "why\n</think>yo")))
    assert text.endswith(f"{ANSWER}{{{{<think>\nwhy\n</think>\n\nyo{END}}}}}\n")
    record = record_of(("user", "hi"), ("assistant", "why</think>yo"))
    (text,) = encode_to_text(encoder, record)
    assert text.endswith(f"{ANSWER}{{{{why</think>yo{END}}}}}\n")
    assert marks_of(encoder, record, "</think>") == (0, 0)


@pytest.mark.parametrize(
    ("field", "thought"), [("</think>", ""), ("None", ""), ("<think>\nwhy", "why"), ("why</think>\r\n", "why")]
)
def test_a_field_of_reasoning_with_one_mark_is_what_is_beside_it(make_encoder: Make, field: str, thought: str) -> None:
    encoder = make_encoder(name="lfm2.5")
    (text,) = encode_to_text(encoder, record_of(("user", "hi"), ("assistant", "yo"), reasoning_content=field))
    block = f"<think>{thought}</think>" if thought else ""
    assert text.endswith(f"{ANSWER}{{{{{block}yo{END}}}}}\n")


def test_an_argument_that_python_escapes_in_a_list_is_not_lost(make_encoder: Make) -> None:
    call = {"type": "function", "function": {"name": "f", "arguments": {"city": ["a\u00a0b"]}}}
    record = record_of(("user", "hi"), ("assistant", ""), tool_calls=[call])
    (text,) = encode_to_text(make_encoder(name="lfm2.5"), record)
    assert text.endswith(f"{ANSWER}{{{{<|tool_call_start|>[f(city=['a\\xa0b'])]<|tool_call_end|>{END}}}}}\n")


def test_reasoning_in_a_text_follows_the_mark_that_the_prompt_opens(make_encoder: Make) -> None:
    source = (
        "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n<think>\n{% endif %}"
    )
    encoder = make_encoder(source)
    for text in ("<think>why</think>yo", "<think>\nwhy\n</think>\n\nyo", "why\n</think>yo"):
        assert encode_to_text(encoder, record_of(("user", "hi"), ("assistant", text))) == [
            "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n<think>\n{{why\n</think>\n\nyo<|im_end|>}}\n"
        ]
    assert encode_to_text(encoder, record_of(("user", "hi"), ("assistant", "yo"))).reason == "unproven_mask"
