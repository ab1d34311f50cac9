"""Roles that name nothing are an error; unknown roles are named with the setting that was tried on their rows."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest
from command_line import call
from raw_rows import chat, write_lines
from runs import ledger, prepare

from sftdata.errors import SourceError
from sftdata.store.manifest import Manifest


def talk(*turns: tuple[str, str]) -> dict[str, Any]:
    return {"messages": [{"role": name, "content": text} for name, text in turns]}


def test_a_role_that_no_turn_has_is_an_error_before_anything_is_written(tiny_tokenizer: Path, tmp_path: Path) -> None:
    data = write_lines(tmp_path / "a.jsonl", [talk(("customer", "Hi"), ("assistant", "Ho")), {"x": 1}])
    source = {"path": str(data), "roles": {"customer": "user", "agent": "assistant"}}
    with pytest.raises(SourceError) as caught:
        prepare(tmp_path / "out", tiny_tokenizer, [source])
    assert str(caught.value) == (
        f"{data}: roles names agent, which no turn of its rows has; its rows have the roles customer, assistant; "
        "correct the name, or remove it from roles"
    )
    assert not (tmp_path / "out" / "manifest.json").exists()


def test_roles_of_rows_without_turns_are_an_error(tiny_tokenizer: Path, tmp_path: Path) -> None:
    data = write_lines(tmp_path / "a.jsonl", [{"prompt": "Hi", "completion": "Ho"}])
    with pytest.raises(
        SourceError, match=r"roles names agent, .*; its rows have no turns with roles; correct the name"
    ):
        prepare(tmp_path / "out", tiny_tokenizer, [{"path": str(data), "roles": {"agent": "assistant"}}])


@pytest.mark.parametrize(
    "row",
    [
        talk(("Customer:", "Hi"), ("### agent", "Ho")),
        {"messages": json.dumps(talk(("customer", "Hi"), ("agent", "Ho"))["messages"])},
        {"conversations": [{"customer": "Hi", "agent": "Ho"}]},
        {"conversation": [["customer", "Hi"], ["agent", "Ho"]]},
        {"prompt": talk(("customer", "Hi"))["messages"], "completion": talk(("agent", "Ho"))["messages"]},
    ],
)
def test_roles_are_found_in_every_form_of_turns(tiny_tokenizer: Path, tmp_path: Path, row: dict[str, Any]) -> None:
    data = write_lines(tmp_path / "a.jsonl", [*[chat(f"Hi {number}") for number in range(120)], row])
    source = {"path": str(data), "roles": {"customer": "user", "agent": "assistant"}}
    assert prepare(tmp_path / "out", tiny_tokenizer, [source]).counts.packed == 121


def notes(tokenizer: Path, folder: Path, *rows: Any, **settings: Any) -> tuple[Manifest, tuple[str, ...]]:
    data = write_lines(folder / "a.jsonl", rows)
    manifest = prepare(folder / "out", tokenizer, [{"path": str(data), **settings}])
    return manifest, tuple(note.removeprefix(f"{data}: ") for note in manifest.notes)


def test_unknown_roles_are_counted_with_the_setting_that_works_when_pasted(
    tiny_tokenizer: Path, tmp_path: Path
) -> None:
    talks = [talk((name, f"Hi {name}"), ("agent", "Ho")) for name in ("customer", "Customer", "### CUSTOMER:")]
    _, said = notes(
        tiny_tokenizer, tmp_path, chat("Hi"), *talks, talk(("narrator", "Once."), ("user", "Hi"), ("bot", ""))
    )
    assert said == (
        "4 rows dropped as unknown_role: turns have unknown roles: customer (3 rows), agent (3 rows), narrator "
        "(1 row); set roles: {customer: user, agent: assistant} (fixes 3 of 4 such rows tried) (on the "
        "command line: 'sources.0.roles={customer: user, agent: assistant}')",
    )
    pasted = shlex.split(said[0].partition("command line: ")[2].removesuffix(")"))
    command = ["prepare", str(tmp_path / "a.jsonl"), *pasted, "--tokenizer", str(tiny_tokenizer)]
    code, _, stderr = call(*command, "--out", str(tmp_path / "again"))
    assert code == 0, stderr
    assert [row["reason"] for row in ledger(tmp_path / "again")] == [None, None, None, None, "unknown_role"]


def test_a_name_beside_a_plain_user_answers(tiny_tokenizer: Path, tmp_path: Path) -> None:
    _, said = notes(tiny_tokenizer, tmp_path, chat("Hi"), talk(("user", "Hi"), ("Zoe", "Ho")))
    assert said == (
        "1 row dropped as unknown_role: turns have unknown roles: Zoe (1 row); set roles: "
        "{Zoe: assistant} (on the command line: 'sources.0.roles={Zoe: assistant}')",
    )


def test_two_names_that_say_nothing_are_left_to_the_owner(tiny_tokenizer: Path, tmp_path: Path) -> None:
    _, said = notes(tiny_tokenizer, tmp_path, chat("Hi"), talk(("Ann", "Hi"), ("Zoe", "Ho")))
    assert "; if Ann is the user and Zoe is the assistant, set roles: {Ann: user, Zoe: assistant} (" in said[0]


def test_names_of_many_people_are_no_setting(tiny_tokenizer: Path, tmp_path: Path) -> None:
    talks = [talk((f"Ann{letter}", "Hi"), (f"Bo{letter}", "Ho")) for letter in "abcdefgh"]
    _, said = notes(tiny_tokenizer, tmp_path, chat("Hi"), *talks)
    assert said[0].endswith(
        " and 10 more; say in roles of this source which of them is the user and which the assistant"
    )


def test_roles_that_are_set_stay_in_the_setting_that_is_named(tiny_tokenizer: Path, tmp_path: Path) -> None:
    talks = [talk(("client", "Hi"), ("agent", "Ho")), talk(("client", "He"), ("helper", "Ha"))]
    _, said = notes(tiny_tokenizer, tmp_path, *talks, roles={"client": "user", "agent": "assistant"})
    assert "set roles: {client: user, agent: assistant, helper: assistant} (on the command" in said[0]


def test_a_source_of_unknown_roles_alone_is_an_error_with_the_setting(tiny_tokenizer: Path, tmp_path: Path) -> None:
    data = write_lines(tmp_path / "a.jsonl", [talk(("customer", "Hi"), ("agent", "Ho"))])
    with pytest.raises(SourceError) as caught:
        prepare(tmp_path / "out", tiny_tokenizer, [str(data)])
    assert str(caught.value) == (
        f"{data}: none of its rows is a conversation; turns have unknown roles: customer (1 row), agent (1 row); "
        "set roles: {customer: user, agent: assistant} (on the command line: "
        "'sources.0.roles={customer: user, agent: assistant}')"
    )


def test_rows_of_an_unknown_shape_beside_others_have_their_advice_in_the_summary(
    tiny_tokenizer: Path, tmp_path: Path
) -> None:
    _, said = notes(
        tiny_tokenizer, tmp_path, chat("Hi"), {"dialog": [["What is 1?", "1"]]}, {"dialog": [["And?", "2"]]}
    )
    assert said == (
        "rows dropped, 2 as unknown_shape: its rows have the keys dialog; its rows have several shapes, and settings "
        "for these would change the others; put these into a file of their own, and read it with columns: {messages: "
        "dialog}",
    )


def test_a_name_that_is_no_word_is_not_shown_around(tiny_tokenizer: Path, tmp_path: Path) -> None:
    rows = [talk(("maria.keller@posteo.de", "Hi"), ("assistant", "Ho")), talk(("user", "Hi"), ("8.34.208.77", "Ho"))]
    _, said = notes(tiny_tokenizer, tmp_path, chat("Hi"), *rows)
    assert said == (
        "2 rows dropped as unknown_role: turns have 2 unknown roles; say in roles of this source which of "
        "them is the user and which the assistant",
    )


def test_rows_without_the_names_of_their_columns_are_explained(tiny_tokenizer: Path, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('[["Hi","Ho"],["He","Ha"]]')
    with pytest.raises(SourceError, match=r"its rows are lists of values .* orient='values'\); write them with names"):
        prepare(tmp_path / "out", tiny_tokenizer, [str(tmp_path / "a.json")])
