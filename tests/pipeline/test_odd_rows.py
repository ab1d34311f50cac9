"""One row costs that row: whatever it holds, it is packed or dropped with a reason, the others are packed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from command_line import call
from hypothesis import given, settings
from hypothesis import strategies as st
from odd_rows import ODD, line_of
from raw_rows import chat
from runs import ledger, prepare

import sftdata
from sftdata.audit import audit
from sftdata.reasons import REASONS
from sftdata.store.ledger import DROPPED, PACKED

GOOD = [json.dumps(chat(f"Question {number}?", f"Answer {number}.")) for number in range(5)]
# The template writes tools and calls.
SETTINGS: dict[str, Any] = {"template": "qwen2.5", "pack": {"seq_len": 4096}}


def written(folder: Path, *odd: str) -> Path:
    """A file with odd lines among five good ones."""
    file = folder / "data.jsonl"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(f"{line}\n" for line in (*GOOD[:2], *odd, *GOOD[2:])), encoding="utf-8")
    return file


def test_there_are_enough_odd_rows() -> None:
    assert len(ODD) >= 66
    assert {reason for _, reason in ODD.values()} <= {*REASONS, None}


@pytest.fixture(scope="module")
def by_file(tmp_path_factory: pytest.TempPathFactory, tiny_tokenizer: Path) -> dict[str, list[dict[str, Any]]]:
    """The ledger of a run over one file for each odd row, by the name of the row."""
    folder = tmp_path_factory.mktemp("odd")
    files = {str(written(folder / str(at), line_of(row))): name for at, (name, (row, _)) in enumerate(ODD.items())}
    prepare(folder / "out", tiny_tokenizer, list(files), **SETTINGS, dedup={"exact": False})
    sftdata.verify(folder / "out")
    found: dict[str, list[dict[str, Any]]] = {}
    for row in ledger(folder / "out"):
        found.setdefault(files[row["source"]], []).append(row)
    return found


@pytest.mark.parametrize("name", ODD)
def test_an_odd_row_costs_no_other_row(name: str, by_file: dict[str, list[dict[str, Any]]]) -> None:
    reason = ODD[name][1]
    good, odd = [*by_file[name]], by_file[name][2]
    good.remove(odd)
    assert (odd["fate"], odd["reason"]) == (PACKED if reason is None else DROPPED, reason), odd["detail"]
    assert [one["fate"] for one in good] == [PACKED] * 5


def test_check_reads_all_odd_rows(tmp_path: Path) -> None:
    found = audit([written(tmp_path, *(line_of(row) for row, _ in ODD.values()))])
    kinds = {one.kind for one in found.findings}
    assert found.rows == 5 + len(ODD)
    assert kinds >= {"invalid_tool_call", "bad_tool_call", "wrong_type", "bad_json", "bad_characters"}
    assert "internal_error" not in kinds
    assert any(note.startswith("tool calls of these rows pass without a check") for note in found.notes)


def test_the_summary_says_once_which_schemas_were_not_judged(tmp_path: Path, tiny_tokenizer: Path) -> None:
    names = (
        "a reference to nothing",
        "a reference to itself",
        "a pattern that looks ahead",
        "a draft that is a number",
    )
    file = written(tmp_path, *(line_of({**ODD[name][0], "n": number}) for number, name in enumerate(names)))
    manifest = prepare(tmp_path / "out", tiny_tokenizer, [str(file)], **SETTINGS)
    assert manifest.notes == (
        "tool calls of these rows pass without a check of all their arguments (a schema that is not valid: 1; a "
        "pattern that is not judged in bounded time, or differently by others: 1; a reference to a place that is not "
        "in the schema, or to itself: 2)",
    )


def test_the_commands_end_with_all_odd_rows_in_one_file(tmp_path: Path, tiny_tokenizer: Path) -> None:
    file = written(tmp_path, *(line_of(row) for row, _ in ODD.values()))
    code, _, errors = call("check", file)
    assert (code, errors.count("Traceback")) == (0, 0)
    out = tmp_path / "out"
    code, shown, errors = call("prepare", file, "--tokenizer", tiny_tokenizer, "--out", out, "template=qwen2.5")
    assert (code, "internal_error" in shown, errors.count("Traceback")) == (0, False, 0)
    assert not (out / "errors.log").exists()


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8)
    | st.sampled_from(["user", "assistant", "f", "#", "{}", "[]", '{"a": NaN}', "^(a+)+$", "object", "\ud800"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.text(max_size=4)
            | st.sampled_from(
                [
                    *(
                        "role",
                        "content",
                        "name",
                        "arguments",
                        "function",
                        "type",
                        "$ref",
                        "$id",
                        "anyOf",
                        "not",
                        "pattern",
                    ),
                    *(
                        "properties",
                        "required",
                        "items",
                        "enum",
                        "text",
                        "value",
                        "from",
                        "id",
                        "tool_calls",
                        "thinking",
                    ),
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)
PLACES = (
    *("messages", "messages.0", "messages.1", "messages.0.role", "messages.1.role", "messages.0.content"),
    *("messages.1.content", "messages.1.tool_calls", "messages.1.tool_calls.0", "messages.1.tool_calls.0.id"),
    *("messages.1.tool_calls.0.function", "messages.1.tool_calls.0.function.name"),
    *("messages.1.tool_calls.0.function.arguments", "messages.1.name", "messages.1.weight", "messages.1.train"),
    *("messages.1.reasoning_content", "messages.2", "messages.2.content", "messages.2.tool_call_id"),
    *("tools", "tools.0", "tools.0.function", "tools.0.function.name", "tools.0.function.parameters"),
    *("tools.0.function.parameters.properties.a", "chat_template_kwargs", "system", "weight", "more", "prompt"),
    *("conversations", "completion", "instruction", "text", "history", "documents", "thinking"),
)


def whole_row() -> dict[str, Any]:
    call = {"id": "abc123456", "type": "function", "function": {"name": "f", "arguments": {"a": 1}}}
    return {
        "messages": [
            {"role": "user", "content": "Which?"},
            {"role": "assistant", "content": "", "tool_calls": [call]},
            {"role": "tool", "content": "7", "tool_call_id": "abc123456"},
            {"role": "assistant", "content": "Seven."},
        ],
        "tools": [{"type": "function", "function": {"name": "f", "parameters": {"properties": {"a": True}}}}],
    }


def replaced(row: Any, place: str, value: Any) -> Any:
    """The row with a value in one of its places."""
    head, _, rest = place.partition(".")
    key: Any = int(head) if isinstance(row, list) else head
    row[key] = replaced(row[key], rest, value) if rest else value
    return row


@settings(max_examples=25)
@given(st.lists(st.tuples(st.sampled_from(PLACES), JSON), min_size=20, max_size=20))
def test_any_value_in_any_place_of_a_row_costs_that_row_at_most(
    tmp_path_factory: pytest.TempPathFactory, tiny_tokenizer: Path, odd: list[tuple[str, Any]]
) -> None:
    folder = tmp_path_factory.mktemp("odd")
    file = written(folder, *(json.dumps(replaced(whole_row(), place, value)) for place, value in odd))
    privacy = {"filters": "strict", "privacy": "redact"}
    prepare(
        folder / "out", tiny_tokenizer, [str(file)], **SETTINGS, **privacy, dedup={"near": {}, "prefix": {"chars": 4}}
    )
    sftdata.verify(folder / "out")
    rows = ledger(folder / "out")
    assert [one["reason"] for one in rows if one["reason"] == "internal_error"] == []
    assert len(rows) == 25
    assert audit([file]).rows == 25
