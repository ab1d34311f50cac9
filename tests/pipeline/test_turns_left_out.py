"""One turn that cannot be proven is left out by name, and the others are trained, if their prompts are right."""

from __future__ import annotations

import copy
import shutil
from pathlib import Path
from typing import Any

import pytest
from raw_rows import chat, write_lines
from runs import ledger, prepare, warnings_on

import sftdata
from sftdata.view.why import explain

SECOND = {"role": "user", "content": "And?"}
WHY = "not trained as lost_field: turn 4: reasoning_content"
CALL = {"id": "callaaaa1", "type": "function", "function": {"name": "lookup", "arguments": '{"word": "tide"}'}}
PARAMETERS = {"type": "object", "properties": {"word": {"type": "string"}}}
TOOL = {"type": "function", "function": {"name": "lookup", "description": "Look it up.", "parameters": PARAMETERS}}
# Writes the calls of a turn, or else its content.
NO_TEXT_BESIDE_CALLS = (
    "{% for t in tools or [] %}{{ t | tojson }}{% endfor %}{% for m in messages %}<|im_start|>{{ m.role }}\n"
    "{% if m.tool_calls %}{% for c in m.tool_calls %}{{ c.function | tojson }}{% endfor %}"
    "{% else %}{{ m.content }}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def thinking_last(answer: str = "Hello") -> dict[str, Any]:
    """Two answers, of which the second has reasoning, which the template of the tests does not write."""
    row = chat("Hi", answer)
    thought = {"role": "assistant", "content": "So.", "reasoning_content": "They greet me."}
    row["messages"] += [SECOND, thought]
    return row


def test_a_turn_whose_field_is_not_written_is_left_out_and_named(tiny_tokenizer: Path, tmp_path: Path) -> None:
    data = write_lines(tmp_path / "a.jsonl", [thinking_last(), chat("Hi", "Hello again")])
    manifest = prepare(tmp_path / "out", tiny_tokenizer, [str(data)])
    sftdata.verify(tmp_path / "out")
    assert [(row["fate"], row["turns"], row["detail"]) for row in ledger(tmp_path / "out")] == [
        ("packed", [[2]], WHY),
        ("packed", [[2]], None),
    ]
    assert manifest.encoding is not None and manifest.encoding.left_out == {"lost_field": 1}
    way = "reasoning=inline trains 1 of 1 of them that were tried"
    assert manifest.encoding.ways_out == {"lost_field": way}
    warning = "1 turn of rows that are trained otherwise is left out as lost_field: see the ledger"
    assert warning in warnings_on(manifest)
    assert f"  {WHY}" in explain(tmp_path / "out", "a.jsonl:1").splitlines()
    whole = prepare(tmp_path / "whole", tiny_tokenizer, [str(data)], reasoning="inline")
    assert whole.encoding is not None and whole.encoding.left_out == {}


def test_a_row_of_which_no_turn_can_be_proven_is_dropped(tiny_tokenizer: Path, tmp_path: Path) -> None:
    row = thinking_last()
    row["messages"][1]["reasoning_content"] = "A greeting."
    data = write_lines(tmp_path / "a.jsonl", [row, chat("Hi", "Hello")])
    prepare(tmp_path / "out", tiny_tokenizer, [str(data)])
    first = ledger(tmp_path / "out")[0]
    assert (first["reason"], first["detail"]) == ("lost_field", "turn 2: reasoning_content")


def test_a_turn_whose_loss_later_prompts_would_show_takes_its_row_along(tiny_tokenizer: Path, tmp_path: Path) -> None:
    beside = {"role": "assistant", "content": "Let me look.", "tool_calls": [CALL]}
    result = {"role": "tool", "content": "rise and fall", "tool_call_id": "callaaaa1", "name": "lookup"}
    answer = {"role": "assistant", "content": "It rises and falls."}
    asks = {"messages": [SECOND, beside, result, answer], "tools": [TOOL]}
    first = {"messages": [SECOND, answer, SECOND, copy.deepcopy(beside)], "tools": [TOOL]}
    data = write_lines(tmp_path / "a.jsonl", [asks, first])
    tokenizer = tmp_path / "tokenizer"
    shutil.copytree(tiny_tokenizer, tokenizer)
    (tokenizer / "chat_template.jinja").write_text(NO_TEXT_BESIDE_CALLS, encoding="utf-8")
    manifest = prepare(tmp_path / "out", tokenizer, [str(data)], pack={"seq_len": 512})
    assert [(row["reason"], row["turns"], row["detail"]) for row in ledger(tmp_path / "out")] == [
        ("lost_field", None, "turn 2: content"),
        (None, [[2]], "not trained as lost_field: turn 4: content"),
    ]
    assert manifest.encoding is not None and manifest.encoding.left_out == {"lost_field": 1}


@pytest.mark.parametrize("workers", [1, 2])
def test_windows_of_a_long_row_leave_the_turn_out_too(tiny_tokenizer: Path, tmp_path: Path, workers: int) -> None:
    row = chat("Hi", "Hello " * 8)
    row["messages"] += thinking_last("Hello " * 8)["messages"]
    data = write_lines(tmp_path / "a.jsonl", [row])
    manifest = prepare(
        tmp_path / "out", tiny_tokenizer, [str(data)], overlong="split", pack={"seq_len": 96}, workers=workers
    )
    sftdata.verify(tmp_path / "out")
    (only,) = ledger(tmp_path / "out")
    assert sorted(turn for turns in only["turns"] for turn in turns) == [2, 4]
    assert only["detail"] == "not trained as lost_field: turn 6: reasoning_content"
    assert manifest.encoding is not None and manifest.encoding.overlong_turns == 0
