"""Which turns of a record are trained."""

from __future__ import annotations

from typing import Any

import pytest

from sftdata.encode.template.messages import trained_turns
from sftdata.records.record import Message, Record


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
