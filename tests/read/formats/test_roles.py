"""Which names of turns are plain, alone or beside the others of a conversation; the rest are refused by name."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sftdata.read.formats.convert import RowFormat, convert
from sftdata.read.formats.plain import plain_row
from sftdata.read.formats.roles import ROLE_OF, role_of
from sftdata.records.record import Drop, Record


def roles_of(*names: str, **settings) -> list[str] | Drop:
    found = convert(
        {"messages": [{"role": name, "content": "x"} for name in names]}, RowFormat("auto", **settings)
    ).found
    return [message.role for message in found.messages] if isinstance(found, Record) else found


@pytest.mark.parametrize(
    ("user", "assistant"),
    [
        ("Human:", "Assistant:"),
        ("USER:", "ASSISTANT:"),
        ("### Human", "### Assistant"),
        ("<|user|>", "<|assistant|>"),
        ("[USER]", "[ASSISTANT]"),
        ("**User**", "**AI Assistant**"),
        ("End User", "Chat GPT"),
        ("HumanMessage", "AIMessage"),
        ("用户", "助手"),
        ("user", "gpt-4o"),
        ("human", "claude-3-opus"),
        ("User:", "GPT-4 Turbo"),
        ("user", "meta-llama/Llama-3-70b-chat"),
        ("user", "Qwen2.5-7B-Instruct"),
        ("user", "text-davinci-003"),
        ("user", "o1-preview"),
        ("user", "phi-3-mini"),
        ("Q", "A"),
        ("Q:", "A:"),
    ],
)
def test_names_are_plain_without_their_marks_and_models_answer_users(user, assistant):
    assert roles_of("System:", user, assistant) == ["system", "user", "assistant"]
    row = {"messages": [{"role": user, "content": "Hi"}, {"role": assistant, "content": "Hello"}]}
    plain = plain_row(row, RowFormat("auto"))
    assert plain is not None and plain[0].roles == ("user", "assistant")


@pytest.mark.parametrize(
    ("names", "turn", "name"),
    [
        (("customer", "agent"), 1, "customer"),
        (("user", "agent"), 2, "agent"),
        (("alice", "gpt-4o"), 1, "alice"),
        (("gpt-4o", "gpt-4o"), 1, "gpt-4o"),
        (("user", "assistant", "gpt-4o"), 3, "gpt-4o"),  # a judge, or a third
        (("user", "Phi"), 2, "Phi"),
        (("user", "gpt-user"), 2, "gpt-user"),
        (("A", "B"), 1, "A"),
        (("user", "assistant_1"), 2, "assistant_1"),
        (("user", "***"), 2, "***"),
        (("user", ""), 2, ""),
    ],
)
def test_other_names_are_refused_by_name(names, turn, name):
    assert roles_of(*names) == Drop("unknown_role", f"turn {turn}: its role is {name!r}")


def test_a_source_names_its_roles_with_or_without_their_marks():
    own = {"customer": "user", "Agent": "assistant"}
    assert roles_of("Customer:", "### agent", roles=own) == ["user", "assistant"]
    assert roles_of("customer", "gpt-4o", roles=own) == ["user", "assistant"]
    assert roles_of("user", "User", roles={"user": "system", "User": "user"}) == ["system", "user"]


@given(st.text(max_size=30))
def test_no_mark_around_a_name_changes_its_role(name):
    for marks in ("{}:", "### {}", "<|{}|>", "[{}]", " {} "):
        assert role_of(marks.format(name)) == role_of(name)


@given(st.text(max_size=30))
def test_a_name_without_letters_has_no_role(name):
    if not any(map(str.isalnum, name)):
        assert role_of(name) is None


def test_every_known_name_has_its_role_in_any_case():
    assert all(role_of(name.upper()) == role for name, role in ROLE_OF.items())
