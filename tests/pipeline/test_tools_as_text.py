"""Rows with tools under a template that writes none: the refusal names `tool_calls=inline`, which trains them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from raw_rows import chat, write_lines
from runs import ledger, prepare, tree

import sftdata
from sftdata.view.summary import summarize

TOOL = {"type": "function", "function": {"name": "look", "description": "Looks.", "parameters": {"type": "object"}}}
CALL = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"at":"me"}'}}
IN_TEXT = '<tool_call>\n{"name": "look", "arguments": {"at": "me"}}\n</tool_call>'


def asked(number: int, **answer: Any) -> dict[str, Any]:
    """A call, its result and an answer."""
    return {
        "messages": [
            {"role": "user", "content": f"Who am I, {number}?"},
            {"role": "assistant", "content": None, "tool_calls": [CALL], **answer},
            {"role": "tool", "tool_call_id": "c1", "content": "Bo"},
            {"role": "assistant", "content": f"You are Bo, {number}."},
        ],
        "tools": [TOOL],
    }


def unused(number: int) -> dict[str, Any]:
    """Tools that are not called."""
    return {**chat(f"Hi {number}", f"Hello {number}"), "tools": [TOOL]}


def prepared(out: Path, tokenizer: Path, data: Path, **settings: Any) -> sftdata.Manifest:
    manifest = prepare(out, tokenizer, [{"path": str(data)}], pack={"seq_len": 2048}, **settings)
    if manifest.counts.packed:
        sftdata.verify(out)
    return manifest


def with_template(tokenizer: Path, folder: Path, source: str) -> Path:
    """A copy of a tokenizer with another template."""
    shutil.copytree(tokenizer, folder)
    (folder / "chat_template.jinja").write_text(source, encoding="utf-8")
    return folder


def set_by(way: str) -> dict[str, str]:
    """The settings that a way out names, as on the command line."""
    return dict(setting.split("=") for setting in way.partition(" trains ")[0].split(" "))


@pytest.mark.parametrize(
    ("row", "reason", "way"),
    [
        (asked(1), "template_error", "tool_calls=inline"),
        (asked(1, content="Let me look."), "lost_field", "tool_calls=inline"),
        (unused(1), "lost_field", "tool_calls=inline"),
        (
            asked(1, content="Let me look.", reasoning_content="Look."),
            "lost_field",
            "tool_calls=inline reasoning=inline",
        ),
    ],
)
def test_the_refusal_names_the_settings_that_train_the_row(
    tiny_tokenizer: Path, tmp_path: Path, row: dict[str, Any], reason: str, way: str
) -> None:
    data = write_lines(tmp_path / "a.jsonl", [row, chat("Hi", "Hello")])
    refused = prepared(tmp_path / "refused", tiny_tokenizer, data)
    assert refused.counts.packed == 1 and refused.encoding is not None
    assert refused.encoding.ways_out == {reason: f"{way} trains 1 of 1 of them that were tried"}
    trained = prepared(tmp_path / "trained", tiny_tokenizer, data, **set_by(refused.encoding.ways_out[reason]))
    assert trained.counts.packed == 2 and trained.encoding is not None
    assert trained.encoding.ways_out == {}


def test_a_template_that_is_needed_too_is_named_with_it(tiny_tokenizer: Path, tmp_path: Path) -> None:
    source = (
        "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no system, please') }}{% endif %}"
        "<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )
    tokenizer = with_template(tiny_tokenizer, tmp_path / "tokenizer", source)
    row = asked(1, reasoning_content="Look.")
    row["messages"].insert(0, {"role": "system", "content": "Be brief."})
    data = write_lines(tmp_path / "a.jsonl", [row, chat("Hi", "Hello")])
    refused = prepared(tmp_path / "refused", tokenizer, data)
    assert refused.encoding is not None
    way = "tool_calls=inline reasoning=inline template=chatml trains 1 of 1 of them that were tried"
    assert refused.encoding.ways_out == {"template_error": way}
    assert prepared(tmp_path / "trained", tokenizer, data, **set_by(way)).counts.packed == 2


def test_calls_that_the_template_writes_are_not_made_text_for_others(tiny_tokenizer: Path, tmp_path: Path) -> None:
    # Takes one call a turn, and writes it; like Llama 3.1.
    source = (
        "{% for m in messages %}<|im_start|>{{ m.role }}\n{% if m.tool_calls and m.tool_calls | length > 1 %}"
        "{{ raise_exception('one call, please') }}{% endif %}{{ m.content or '' }}{% for c in m.tool_calls or [] %}"
        "{{ c.function.name }}{{ c.function.arguments | tojson }}{% endfor %}<|im_end|>\n{% endfor %}"
        "{% if tools %}{{ tools | tojson }}{% endif %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )
    tokenizer = with_template(tiny_tokenizer, tmp_path / "tokenizer", source)
    two = asked(1, tool_calls=[CALL, {**CALL, "id": "c2"}])
    two["messages"].insert(3, {"role": "tool", "tool_call_id": "c2", "content": "Bo"})
    alone = prepared(tmp_path / "alone", tokenizer, write_lines(tmp_path / "a.jsonl", [two, chat("Hi", "Hello")]))
    assert alone.encoding is not None
    assert alone.encoding.ways_out == {"template_error": "tool_calls=inline trains 1 of 1 of them that were tried"}
    rows = [two, {key: value for key, value in asked(2).items() if key != "tools"}]
    mixed = prepared(tmp_path / "mixed", tokenizer, write_lines(tmp_path / "b.jsonl", rows), lost_context="warn")
    assert mixed.encoding is not None and mixed.counts.packed == 1
    assert mixed.encoding.ways_out == {}


def test_what_is_written_as_text_is_in_the_manifest_and_the_summary(tiny_tokenizer: Path, tmp_path: Path) -> None:
    data = write_lines(tmp_path / "a.jsonl", [asked(1), asked(2), unused(3), chat("Hi", "Hello")])
    manifest = prepared(tmp_path / "out", tiny_tokenizer, data, tool_calls="inline")
    assert manifest.encoding is not None
    assert manifest.encoding.as_text == {"calls": 2, "results": 2, "tools in the system message": 3}
    lines = [line for line in summarize("out", manifest).lines if line.startswith("written as text")]
    assert lines == [
        "written as text by tool_calls: inline: 2 tool calls, 2 results, the tools of 3 rows (in the system message); "
        "give the model such messages when it is served: sftdata.tools_as_text makes them"
    ]
    assert [row["turns"] for row in ledger(tmp_path / "out")] == [[[2, 4]], [[2, 4]], [[2]], [[2]]]


def test_workers_change_no_byte(tiny_tokenizer: Path, tmp_path: Path) -> None:
    data = write_lines(tmp_path / "a.jsonl", [(asked, unused)[number % 2](number) for number in range(40)])
    for workers in (1, 2):
        prepared(tmp_path / str(workers), tiny_tokenizer, data, workers=workers, tool_calls="inline")
    assert tree(tmp_path / "1") == tree(tmp_path / "2")


def test_a_call_in_a_text_becomes_the_same_text_as_one_in_a_field(tiny_tokenizer: Path, tmp_path: Path) -> None:
    """So that the marks of both are the model's own tokens, and results the user's turns."""
    fields, texts = asked(1), asked(1)
    texts["messages"][1] = {"role": "assistant", "content": IN_TEXT}
    other = asked(1)
    other["messages"][1] = {"role": "assistant", "content": '[TOOL_CALLS][{"name": "look", "arguments": {"at": "me"}}]'}
    shown = []
    for name, row in (("fields", fields), ("texts", texts), ("other", other)):
        data = write_lines(tmp_path / f"{name}.jsonl", [row])
        prepared(tmp_path / name, tiny_tokenizer, data, tool_calls="inline")
        shown.append([int(id_) for id_ in sftdata.open(tmp_path / name).sample(0).input_ids])
    assert shown[0] == shown[1] == shown[2]


def test_one_source_of_two(tiny_tokenizer: Path, tmp_path: Path) -> None:
    data = write_lines(tmp_path / "a.jsonl", [asked(1)])
    other = write_lines(tmp_path / "b.jsonl", [asked(2)])
    sources = [{"path": str(data), "tool_calls": "inline"}, {"path": str(other)}]
    manifest = prepare(tmp_path / "out", tiny_tokenizer, sources, pack={"seq_len": 2048})
    assert [row["reason"] for row in ledger(tmp_path / "out")] == [None, "template_error"]
    assert manifest.encoding is not None and manifest.encoding.as_text["calls"] == 1


def test_a_server_gives_the_prompts_that_were_trained(tiny_tokenizer: Path, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    row = asked(1, content="Let me look.")
    prepared(tmp_path / "out", tiny_tokenizer, write_lines(tmp_path / "a.jsonl", [row]), tool_calls="inline")
    tokenizer = AutoTokenizer.from_pretrained(str(tmp_path / "out" / "tokenizer"))
    sample = sftdata.open(tmp_path / "out").sample(0)
    ids, labels = list(map(int, sample.input_ids)), list(map(int, sample.labels))
    starts = [at for at in range(1, len(ids)) if labels[at] != -100 and labels[at - 1] == -100]
    for at, start in zip((1, 3), starts, strict=True):
        given = sftdata.tools_as_text(row["messages"][:at], row["tools"])
        assert json.loads(json.dumps(given)) == given
        text = tokenizer.apply_chat_template(given, tokenize=False, add_generation_prompt=True)
        assert tokenizer(text, add_special_tokens=False)["input_ids"] == ids[:start]
