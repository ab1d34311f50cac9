"""Answers in front of which the template writes no header: after an answer, a result or a system message."""

from __future__ import annotations

from collections.abc import Callable

from small_chats import chat, encode_to_text

from sftdata.encode.record_encoder import RecordEncoder
from sftdata.records.record import Drop, Message, Record

Make = Callable[..., RecordEncoder]
# As DeepSeek V3.1: only an answer to a user has a header.
ONE_HEADER = (
    "{% for m in messages %}{% if m.role == 'user' %}{{ '<|im_start|>' + m.content + '<|im_start|>' }}"
    "{% else %}{{ m.content + '<|im_end|>' }}{% endif %}{% endfor %}"
)


def answers(*messages: Message) -> Record:
    return Record((Message("user", "q"), *messages))


def test_two_trained_answers_with_nothing_in_between_are_refused(make_encoder: Make) -> None:
    encoder = make_encoder(ONE_HEADER)
    for texts in (("a", "b"), ("a", "b <|im_end|>"), ("same", "same")):
        drop = encoder.encode([answers(*(Message("assistant", text) for text in texts))])[0]
        assert isinstance(drop, Drop) and drop.reason == "unproven_mask"
        assert drop.detail == "turn 3: the template writes nothing between the answer before it and itself"


def test_one_of_two_answers_is_trained_behind_the_other(make_encoder: Make) -> None:
    encoder = make_encoder(ONE_HEADER)
    record = answers(Message("assistant", "a", train=False), Message("assistant", "b"))
    assert encode_to_text(encoder, record) == ["<|im_start|>q<|im_start|>a<|im_end|>{{b<|im_end|>}}"]
    record = answers(Message("assistant", "a"), Message("assistant", "b", train=False))
    (text,) = encode_to_text(encoder, record)
    assert text.startswith("<|im_start|>q<|im_start|>{{a<|im_end|>}}")


def test_answers_with_a_header_each_are_trained_together(make_encoder: Make) -> None:
    assert encode_to_text(make_encoder(ONE_HEADER), chat("q", "a", "r", "b")) == [
        "<|im_start|>q<|im_start|>{{a<|im_end|>}}<|im_start|>r<|im_start|>{{b<|im_end|>}}"
    ]


def test_deepseek_refuses_two_answers_in_a_row_and_reasoning_that_it_does_not_write(make_encoder: Make) -> None:
    encoder = make_encoder(name="deepseek-v3.1", eos="<｜end▁of▁sentence｜>")
    drop = encoder.encode([answers(Message("assistant", "a"), Message("assistant", "b"))])[0]
    assert isinstance(drop, Drop) and drop.reason == "unproven_mask" and (drop.detail or "").startswith("turn 3: ")
    first = Message("assistant", "a", train=False)
    for second in (Message("assistant", "b", reasoning="why"), Message("assistant", "<think>why</think>b")):
        drop = encoder.encode([answers(first, second)])[0]
        assert isinstance(drop, Drop) and (drop.reason, drop.detail) == ("lost_field", "turn 3: reasoning_content")
