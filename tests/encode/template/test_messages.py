"""Which turns of a record are trained, and in which form the template gets them."""

from __future__ import annotations

from typing import Any

import pytest
from small_chats import encode_to_text

from sftdata.encode.template.messages import trained_turns
from sftdata.records.record import Message, Record, ToolCall


def test_the_first_turn_is_never_trained() -> None:
    messages = (Message(role="assistant", content="a"), Message(role="user", content="b"))
    assert trained_turns(Record(messages), "all") == ()


@pytest.mark.parametrize(
    ("train", "train_on", "expected"),
    [
        ((None, None), "all", (1, 3)),
        ((None, None), "last", (3,)),
        ((False, None), "all", (3,)),
        ((True, None), "last", (1, 3)),
        ((None, False), "last", ()),
        ((False, False), "all", ()),
    ],
)
def test_the_train_field_of_a_message_wins_over_train_on(
    train: tuple[Any, Any], train_on: Any, expected: tuple[int, ...]
) -> None:
    roles = ["user", "assistant", "user", "assistant"]
    fields = [None, train[0], None, train[1]]
    messages = tuple(Message(role=role, content="x", train=field) for role, field in zip(roles, fields))
    assert trained_turns(Record(messages), train_on) == expected


# Takes a call without a content only in a last turn, as QwQ does.
SPLITS = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n"
    "{{ m.content if loop.last else m.content.split('</think>')[-1] }}"
    "{% for c in m.tool_calls or [] %}<tool_call>{{ c.function | tojson }}</tool_call>{% endfor %}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


@pytest.mark.parametrize("content", [None, ""])
def test_a_call_without_text_has_the_empty_content_that_the_template_also_takes_earlier(
    make_encoder: Any, content: str | None
) -> None:
    encoder = make_encoder(SPLITS)
    call = ToolCall(name="lookup", arguments={"word": "x"})
    turns = [
        Message("user", "hi"),
        Message("assistant", content, tool_calls=(call,)),
        Message("tool", "r", name="lookup"),
    ]
    text = '<tool_call>{"name": "lookup", "arguments": {"word": "x"}}</tool_call><|im_end|>'
    assert encode_to_text(encoder, Record((*turns, Message("assistant", "so")))) == [
        f"<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n{{{{{text}}}}}\n"
        "<|im_start|>tool\nr<|im_end|>\n<|im_start|>assistant\n{{so<|im_end|>}}\n"
    ]
