"""Developer messages become system messages where the template has no such role."""

from __future__ import annotations

from typing import Any

import tiny_tokenizers
from small_chats import encode_to_text

from sftdata.records.record import Message, Record

DEVELOPER, SYSTEM = Message("developer", "Be brief."), Message("system", "You are Ada.")
USER, ANSWER = Message("user", "hi"), Message("assistant", "yo")
TURNS = "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n{{yo<|im_end|>}}\n"
COUNTED = ("changes", "developer_as_system")


def encoded(encoder: Any, *messages: Message) -> tuple[Any, int]:
    """The samples as text, and how many developer messages were changed."""
    encoder.notes.clear()
    return encode_to_text(encoder, Record(messages)), encoder.notes[COUNTED]


def test_a_template_that_writes_nothing_for_it_gets_a_system_message(make_encoder: Any) -> None:
    source = tiny_tokenizers.CHATML.replace("messages %}", "messages if message.role != 'developer' %}", 1)
    encoder = make_encoder(source)
    assert encoded(encoder, DEVELOPER, USER, ANSWER) == ([f"<|im_start|>system\nBe brief.<|im_end|>\n{TURNS}"], 1)


def test_a_header_that_the_template_writes_for_any_role_is_no_developer_role(make_encoder: Any) -> None:
    encoder = make_encoder(tiny_tokenizers.CHATML)
    assert encoded(encoder, DEVELOPER, USER, ANSWER) == ([f"<|im_start|>system\nBe brief.<|im_end|>\n{TURNS}"], 1)


def test_a_template_with_a_developer_role_writes_it_as_such(make_encoder: Any) -> None:
    known = "{{ raise_exception('unknown role') if messages[0].role not in ['developer', 'system', 'user'] }}"
    encoder = make_encoder(known + tiny_tokenizers.CHATML)
    assert encoded(encoder, DEVELOPER, USER, ANSWER) == ([f"<|im_start|>developer\nBe brief.<|im_end|>\n{TURNS}"], 0)


def test_beside_a_system_message_it_becomes_a_second_one_where_that_is_written(make_encoder: Any) -> None:
    texts, number = encoded(make_encoder(tiny_tokenizers.CHATML), SYSTEM, DEVELOPER, USER, ANSWER)
    head = "<|im_start|>system\nYou are Ada.<|im_end|>\n<|im_start|>system\nBe brief.<|im_end|>\n"
    assert (texts, number) == ([head + TURNS], 1)


ONE_SYSTEM = (
    "{% for m in messages %}{% if m.role in ['user', 'assistant'] or (loop.first and m.role == 'system') %}"
    "<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def test_where_one_system_message_is_written_the_two_are_joined_and_turns_keep_their_numbers(make_encoder: Any) -> None:
    encoder = make_encoder(ONE_SYSTEM)
    texts, number = encoded(encoder, SYSTEM, DEVELOPER, USER, ANSWER)
    assert (texts, number) == ([f"<|im_start|>system\nYou are Ada.\n\nBe brief.<|im_end|>\n{TURNS}"], 1)
    (sample,) = encoder.encode([Record((SYSTEM, DEVELOPER, USER, ANSWER))])[0]
    assert sample.turns == (3,)


def test_messages_with_a_name_are_not_joined_and_so_refused(make_encoder: Any) -> None:
    named = DEVELOPER._replace(name="ops")
    drop, _ = encoded(make_encoder(ONE_SYSTEM), SYSTEM, named, USER, ANSWER)
    assert drop == ("lost_field", "turn 2: the developer's content")


def test_behind_the_first_turn_it_is_refused_by_name_where_nothing_is_written_there(make_encoder: Any) -> None:
    drop, _ = encoded(make_encoder(ONE_SYSTEM), USER, ANSWER, DEVELOPER, USER, ANSWER)
    assert drop == ("lost_field", "turn 3: the developer's content")
