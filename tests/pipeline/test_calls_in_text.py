"""Tool calls in texts from the rows to the dataset: parsed where the template writes calls, counted, with ways out."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from raw_rows import chat, write_lines
from runs import RecordedProgress, ledger, prepare

import sftdata
from sftdata.store.manifest import CallsEntry
from sftdata.view.summary import summarize

BODY = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}CALLS<|im_end|>\n{% endfor %}"
PROMPT = "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
CALLS = "{% for c in m.tool_calls or [] %}<<{{ c.function.name }} {{ c.function.arguments | tojson }}>>{% endfor %}"
WRITES_NONE, WRITES_CALLS = BODY.replace("CALLS", "") + PROMPT, BODY.replace("CALLS", CALLS) + PROMPT
ONE_CALL = (
    "{% for m in messages if (m.tool_calls or []) | length > 1 %}{{ raise_exception('one call, please') }}{% endfor %}"
) + WRITES_CALLS
HERMES = '<tool_call>{"name": "f", "arguments": {"a": "x"}}</tool_call>'


@pytest.fixture
def tokenizer(tiny_tokenizer: Path, tmp_path: Path) -> Any:
    """What makes a tokenizer with a template."""

    def make(source: str) -> Path:
        shutil.copytree(tiny_tokenizer, tmp_path / "tokenizer")
        (tmp_path / "tokenizer" / "chat_template.jinja").write_text(source, encoding="utf-8")
        return tmp_path / "tokenizer"

    return make


def text_of(out: Path) -> str:
    """All samples of a dataset as text."""
    dataset = sftdata.open(out)
    return "\n".join(sample.text for row in dataset for sample in row.samples)


def with_call(answer: str = HERMES) -> dict[str, Any]:
    row = chat("Hi", answer)
    row["messages"] += [
        {"role": "tool", "content": "<tool_response>3</tool_response>"},
        {"role": "assistant", "content": "Three."},
    ]
    return row


def test_under_a_template_that_writes_no_calls_they_stay_text_and_are_counted(tokenizer: Any, tmp_path: Path) -> None:
    data = write_lines(tmp_path / "a.jsonl", [with_call(), chat("Hi", "Hello"), with_call("Action Input: 3")])
    manifest = prepare(tmp_path / "out", tokenizer(WRITES_NONE), [str(data)], pack={"seq_len": 512})
    assert manifest.counts.packed == 3
    source = manifest.calls_in_text[0].source
    assert manifest.calls_in_text == (
        CallsEntry(source=source, fate="unwritten", forms=("<tool_call>",), rows=1),
        CallsEntry(source=source, fate="unwritten", forms=("ReAct",), rows=1),
    )
    assert (
        "2 rows have tool calls left in their texts (<tool_call> 1, ReAct 1), because the template writes no tool "
        "calls; tool_calls_in_text: drop would drop these rows"
    ) in summarize("out", manifest).lines
    sftdata.verify(tmp_path / "out")
    dropped = prepare(tmp_path / "dropped", tmp_path / "tokenizer", [{"path": str(data), "tool_calls_in_text": "drop"}])
    assert dropped.counts.dropped == {"format": {"bad_tool_call": 2}}


def test_under_a_template_that_writes_calls_they_are_parsed_and_counted(tokenizer: Any, tmp_path: Path) -> None:
    about = f"So: {HERMES} is how a call is written."
    data = write_lines(tmp_path / "a.jsonl", [with_call(), with_call(f"I look. {HERMES}"), chat("Hi", about)])
    manifest = prepare(tmp_path / "out", tokenizer(WRITES_CALLS), [str(data)], pack={"seq_len": 512})
    assert manifest.counts.packed == 3
    assert [(entry.fate, entry.forms, entry.rows) for entry in manifest.calls_in_text] == [
        ("parsed", ("<tool_call>", "<tool_response>"), 2),
        ("unread", ("<tool_call>",), 1),
    ]
    lines = summarize("out", manifest).lines
    assert (
        "2 rows have tool calls or results, read out of their texts (<tool_call> 2, <tool_response> 2); "
        "tool_calls_in_text: keep would leave them there"
    ) in lines
    assert (
        "1 row has what looks like tool calls left in their texts, in a form or a place that is not certain "
        "(<tool_call> 1); tool_calls_in_text: drop would drop these rows"
    ) in lines
    sftdata.verify(tmp_path / "out")


def test_a_template_may_write_calls_of_conversations_with_tools_only(tokenizer: Any, tmp_path: Path) -> None:
    source = "{% if tools %}{{ tools[0].function.name }}" + WRITES_CALLS + "{% else %}" + WRITES_NONE + "{% endif %}"
    tool = {"type": "function", "function": {"name": "f"}}
    data = write_lines(tmp_path / "a.jsonl", [{**with_call(), "tools": [tool]}, with_call()])
    manifest = prepare(tmp_path / "out", tokenizer(source), [str(data)], pack={"seq_len": 512})
    assert manifest.counts.packed == 2
    assert [(entry.fate, entry.rows) for entry in manifest.calls_in_text] == [("parsed", 1), ("unwritten", 1)]


def test_calls_as_text_are_a_way_out_where_the_template_refuses_them(tokenizer: Any, tmp_path: Path) -> None:
    rows = [with_call(HERMES + HERMES), with_call(), chat("Hi", "Hello")]
    data = write_lines(tmp_path / "a.jsonl", rows)
    progress = RecordedProgress()
    manifest = prepare(tmp_path / "out", tokenizer(ONE_CALL), [str(data)], pack={"seq_len": 512}, progress=progress)
    way = "sources.0.tool_calls_in_text=keep trains 1 of 1 of them that were tried"
    assert manifest.counts.packed == 2
    assert manifest.encoding is not None
    assert manifest.encoding.ways_out == {"template_error": way}
    assert progress.notes == [f"rows dropped as template_error: {way}"]
    kept = prepare(
        tmp_path / "kept",
        tmp_path / "tokenizer",
        [{"path": str(data), "tool_calls_in_text": "keep"}],
        pack={"seq_len": 512},
    )
    assert (kept.counts.packed, kept.encoding.ways_out if kept.encoding else None) == (3, {})


def test_ways_out_of_reading_are_tried(tokenizer: Any, tmp_path: Path) -> None:
    twice = chat("Hi", "Hello")
    twice["messages"].insert(0, {"role": "user", "content": "Hey"})
    broken = chat("Hi", '<tool_call>{"name": "f", "arguments": {"a": }}</tool_call>')
    first = write_lines(tmp_path / "a.jsonl", [chat("Go", "Gone")])
    data = write_lines(tmp_path / "b.jsonl", [twice, chat("Hi", "Hello"), broken, twice])
    manifest = prepare(tmp_path / "out", tokenizer(WRITES_CALLS), [str(first), str(data)])
    assert manifest.encoding is not None
    assert manifest.encoding.ways_out == {
        "bad_tool_call": "sources.1.tool_calls_in_text=keep trains 1 of 1 of them that were tried",
        "roles_out_of_order": "sources.1.merge_same_role=true trains 2 of 2 of them that were tried",
    }
    settings = {"tool_calls_in_text": "keep", "merge_same_role": True}
    again = prepare(tmp_path / "again", tmp_path / "tokenizer", [str(first), {"path": str(data), **settings}])
    assert [row["reason"] for row in ledger(tmp_path / "again")] == [None, None, None, None, "duplicate"]
    assert again.encoding is not None
    assert again.encoding.ways_out == {}


@pytest.mark.parametrize("workers", [1, 2])
def test_counts_and_ways_out_do_not_depend_on_how_rows_are_divided(
    tokenizer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    kinds = [with_call(HERMES + HERMES), with_call(), chat("Hi", "Hello")]
    rows = [json.loads(json.dumps(kinds[n % 3]).replace("Hi", f"Hi {n}")) for n in range(180)]
    data = write_lines(tmp_path / "a.jsonl", rows)
    folder = tokenizer(ONE_CALL)
    whole = prepare(tmp_path / "whole", folder, [str(data)], pack={"seq_len": 512})
    monkeypatch.setattr("sftdata.pipeline.read.UNIT_BYTES", 2000)
    divided = prepare(tmp_path / "divided", folder, [str(data)], workers, pack={"seq_len": 512})
    assert divided.to_json() == whole.to_json()
    assert whole.encoding is not None
    assert whole.encoding.ways_out == {
        "template_error": "sources.0.tool_calls_in_text=keep trains 50 of 50 of them that were tried"
    }


def test_consecutive_turns_are_allowed_where_merging_them_would_lose_a_part(tokenizer: Any, tmp_path: Path) -> None:
    row = chat("Hi", "Hello")
    row["messages"][0]["name"] = "Ann"
    row["messages"].insert(1, {"role": "user", "content": "Hey", "name": "Bob"})
    data = write_lines(tmp_path / "a.jsonl", [row, chat("Hi", "Hello")])
    manifest = prepare(tmp_path / "out", tokenizer(WRITES_CALLS), [str(data)])
    assert manifest.encoding is not None
    assert manifest.encoding.ways_out == {
        "roles_out_of_order": "sources.0.merge_same_role=allow trains 1 of 1 of them that were tried"
    }


def test_what_the_owner_asked_for_is_not_talked_out_of(tokenizer: Any, tmp_path: Path) -> None:
    data = write_lines(tmp_path / "a.jsonl", [with_call(), chat("Hi", "Hello")])
    manifest = prepare(tmp_path / "out", tokenizer(WRITES_CALLS), [{"path": str(data), "tool_calls_in_text": "drop"}])
    assert manifest.encoding is not None
    assert (manifest.counts.packed, manifest.encoding.ways_out) == (1, {})


def test_the_values_of_a_parsed_call_are_in_the_dataset_once(tokenizer: Any, tmp_path: Path) -> None:
    data = write_lines(tmp_path / "a.jsonl", [with_call()])
    prepare(tmp_path / "out", tokenizer(WRITES_CALLS), [str(data)], pack={"seq_len": 512})
    text = text_of(tmp_path / "out")
    assert text.count(json.dumps({"a": "x"})) == 1
    assert "<tool_call>" not in text
    assert "<tool_response>" not in text
