"""How conversations are given to the chat template: in the manifest and the summary, whatever the number of workers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from raw_rows import write_lines
from runs import prepare

from sftdata.view.summary import summarize
from sftdata.view.why import explain

# As Mistral's: ids of nine characters, written; arguments as JSON.
CHAT = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content or '' }}{% for c in m.tool_calls or [] %}"
    "{% if c.id is not defined or c.id | length != 9 %}{{ raise_exception('ids have nine characters') }}{% endif %}"
    "{% set a = c.function.arguments %}{{ c.function.name }}{{ a if a is string else a | tojson }}"
    "{{ c.id }}{% endfor %}{{ m.tool_call_id }}<|im_end|>\n{% endfor %}{% if tools %}{% endif %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def called(arguments: Any, call_id: str) -> dict[str, Any]:
    call = {"id": call_id, "type": "function", "function": {"name": "look", "arguments": arguments}}
    parts = [{"type": "text", "text": "Look."}, {"type": "text", "text": f"At {call_id}."}]
    return {
        "messages": [
            {"role": "user", "content": parts},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": call_id, "content": "14"},
            {"role": "assistant", "content": "It is 14.", "tool_calls": []},
        ]
    }


def tokenizer_of(tiny_tokenizer: Path, folder: Path) -> Path:
    folder.mkdir()
    for file in tiny_tokenizer.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    (folder / "chat_template.jinja").write_text(CHAT, encoding="utf-8")
    return folder


def test_forms_of_arguments_and_joined_texts_are_counted(tiny_tokenizer: Path, tmp_path: Path) -> None:
    rows = [called('{"b":1}', "callaaaa1"), called({"b": 1}, "callaaaa2"), called('{"b": 2}', "callaaaa3")]
    data = write_lines(tmp_path / "a.jsonl", rows)
    manifest = prepare(
        tmp_path / "out", tokenizer_of(tiny_tokenizer, tmp_path / "tokenizer"), [str(data)], pack={"seq_len": 4096}
    )
    assert manifest.counts.packed == 3
    assert manifest.encoding is not None
    assert manifest.encoding.arguments == {"object": 1, "object from text": 2}
    assert manifest.encoding.joined_texts == 3
    assert manifest.encoding.made_call_ids == 0
    lines = summarize("out", manifest).lines
    assert "the arguments of 2 tool calls are JSON texts, given to the template as objects, as servers do" in lines
    assert "3 rows have contents that are lists of texts, joined with line breaks" in lines


@pytest.mark.parametrize("workers", [1, 2])
def test_ids_are_made_on_demand_and_named_where_rows_are_refused(
    tiny_tokenizer: Path, tmp_path: Path, workers: int
) -> None:
    data = write_lines(tmp_path / "a.jsonl", [called({"b": 1}, "call_1"), called({"b": 2}, "callaaaa2")])
    tokenizer = tokenizer_of(tiny_tokenizer, tmp_path / "tokenizer")
    kept = prepare(tmp_path / "kept", tokenizer, [str(data)], workers=workers, pack={"seq_len": 4096})
    assert kept.counts.packed == 1
    assert kept.encoding is not None
    way = "tool_call_ids=make trains 1 of 1 of them that were tried"
    assert kept.encoding.ways_out == {"template_error": way}
    said = explain(tmp_path / "kept", "a.jsonl:1")
    assert "the template writes ids of nine letters and digits, the call of 'look' has 'call_1'" in said
    made = prepare(
        tmp_path / "made", tokenizer, [str(data)], workers=workers, pack={"seq_len": 4096}, tool_call_ids="make"
    )
    assert made.counts.packed == 2
    assert made.encoding is not None
    assert made.encoding.made_call_ids == 1
    assert made.config["tool_call_ids"] == "make"
    assert "made ids for 1 tool call, in the form that the template demands" in summarize("made", made).lines
    assert json.loads((tmp_path / "made" / "manifest.json").read_text())["encoding"]["made_call_ids"] == 1
