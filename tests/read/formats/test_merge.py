"""Roles that a source names, and consecutive turns of one role."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from sftdata.config import SourceConfig
from sftdata.read.formats.structure import check_structure
from sftdata.read.stage import row_of
from sftdata.read.units import RawRow
from sftdata.records.record import Drop, Message, Record, Row, ToolCall


def read(*turns: dict[str, Any], **settings: Any) -> Row:
    return row_of(RawRow(1, {"messages": list(turns)}, None), SourceConfig(path="x", **settings))


def said(role: str, content: str | None, **fields: Any) -> dict[str, Any]:
    return {"role": role, "content": content, **fields}


def contents(row: Row) -> list[tuple[str, str | None]]:
    assert row.record is not None, row
    return [(message.role, message.content) for message in row.record.messages]


def test_a_source_names_its_own_roles():
    roles = {"customer": "user", "Support Agent": "assistant"}
    turns = (said("Customer", "Hi"), said("support-agent", "Hello"))
    assert contents(read(*turns, roles=roles)) == [("user", "Hi"), ("assistant", "Hello")]
    assert read(*turns).drop == Drop("unknown_role", "turn 1: its role is 'Customer'")
    other = (said("user", "Hi"), said("human", "Hello"))
    assert contents(read(*other, roles={"human": "assistant"})) == [("user", "Hi"), ("assistant", "Hello")]


def test_a_role_must_be_one_that_there_is():
    with pytest.raises(ValidationError):
        SourceConfig(path="x", roles={"customer": "client"})


TWICE = (said("user", "Hi"), said("user", "there."), said("assistant", "Hello"), said("assistant", "you."))


@pytest.mark.parametrize("setting", ["drop", False])
def test_two_turns_of_one_role_are_dropped_by_name(setting):
    assert read(*TWICE, merge_same_role=setting).drop == Drop(
        "roles_out_of_order", "turn 2: the user's turn follows a turn of the same role"
    )


@pytest.mark.parametrize("setting", ["merge", True])
def test_two_turns_of_one_role_are_joined_by_a_blank_line(setting):
    row = read(*TWICE, merge_same_role=setting)
    assert contents(row) == [("user", "Hi\n\nthere."), ("assistant", "Hello\n\nyou.")]
    assert row.drop is None


def test_two_turns_of_one_role_are_kept_where_they_are_allowed():
    row = read(*TWICE, merge_same_role="allow")
    assert [content for _, content in contents(row)] == ["Hi", "there.", "Hello", "you."]
    assert row.drop is None


CALL = {"name": "f", "arguments": {}}


def test_a_text_and_the_calls_after_it_are_one_turn():
    turns = (said("user", "Hi"), said("assistant", "Wait."), said("assistant", None, tool_calls=[CALL]))
    row = read(*turns, merge_same_role=True)
    assert row.record == Record(
        (Message("user", "Hi"), Message("assistant", "Wait.", tool_calls=(ToolCall(name="f", arguments={}),)))
    )


@pytest.mark.parametrize(
    ("turns", "why"),
    [
        (
            (said("assistant", None, tool_calls=[CALL]), said("assistant", "Done.")),
            "the first calls tools before the second speaks, and templates write the calls of a turn last",
        ),
        (
            (said("assistant", "One.", reasoning="Eh."), said("assistant", "Two.", reasoning="Hm.")),
            "the second has reasoning after the first one's text, and templates write the reasoning of a turn first",
        ),
        ((said("assistant", "One.", weight=0), said("assistant", "Two.", weight=1)), "their weights (or train) differ"),
        ((said("assistant", "One.", name="Ann"), said("assistant", "Two.", name="Bob")), "their names differ"),
    ],
)
def test_turns_that_would_change_by_it_are_not_joined_and_that_is_said(turns, why):
    drop = read(said("user", "Hi"), *turns, merge_same_role=True).drop
    head = "turn 3: the assistant's turn follows a turn of the same role"
    assert drop == Drop("roles_out_of_order", f"{head}, and merge_same_role cannot join them: {why}")
    assert read(said("user", "Hi"), *turns).drop == Drop("roles_out_of_order", head)


def test_system_turns_in_a_row_are_joined():
    turns = (said("system", "Be kind."), said("system", "Be brief."), said("user", "Hi"), said("assistant", "Yo"))
    row = read(*turns, merge_same_role=True)
    assert contents(row) == [("system", "Be kind.\n\nBe brief."), ("user", "Hi"), ("assistant", "Yo")]
    assert len(contents(read(*turns))) == 4


def test_a_system_turn_may_come_later():
    row = read(
        said("user", "Hi"),
        said("assistant", "Yo"),
        said("system", "Be kind."),
        said("user", "?"),
        said("assistant", "Sir!"),
    )
    assert row.drop is None
    assert contents(row)[2] == ("system", "Be kind.")
    assert check_structure(row.record) is None
