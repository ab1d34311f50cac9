"""Rows that the chat template refuses or writes only in part: counted, said, and with a way out that was tried."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from raw_rows import chat, write_lines
from runs import RecordedProgress, ledger, prepare, prepare_rows, warnings_on

import sftdata
from sftdata.errors import TemplateError
from sftdata.view.summary import summarize
from sftdata.view.why import explain

TOOL = {"type": "function", "function": {"name": "lookup", "description": "Look it up.", "parameters": {}}}
# Writes no system message, and no tools.
NO_SYSTEM = (
    "{% for m in messages if m.role != 'system' %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
ALTERNATES = "{% if messages[0].role == 'system' %}{{ raise_exception('no system, please') }}{% endif %}" + NO_SYSTEM


def with_template(tokenizer: Path, folder: Path, source: str) -> Path:
    """A copy of a tokenizer with another template."""
    shutil.copytree(tokenizer, folder)
    (folder / "chat_template.jinja").write_text(source, encoding="utf-8")
    return folder


def with_system(number: int) -> dict[str, Any]:
    """A conversation with a system message."""
    row = chat(f"Question {number}?", f"Answer {number}.")
    return {"messages": [{"role": "system", "content": "Be brief."}, *row["messages"]]}


def test_a_bundled_template_that_trains_the_refused_rows_is_named_once(tiny_tokenizer: Path, tmp_path: Path) -> None:
    tokenizer = with_template(tiny_tokenizer, tmp_path / "tokenizer", ALTERNATES)
    data = write_lines(tmp_path / "a.jsonl", [*map(with_system, range(3)), chat("Hi", "Hello")])
    progress = RecordedProgress()
    manifest = prepare(tmp_path / "out", tokenizer, [str(data)], progress=progress)
    way = "template=chatml trains 3 of 3 of them that were tried"
    assert progress.notes == [f"rows dropped as template_error: {way}"]
    assert progress.notes[0] in summarize("out", manifest).lines
    assert explain(tmp_path / "out", "a.jsonl:1").splitlines()[1:3] == [
        "  turn 3: the chat template takes no system message: no system, please",
        f"  of the rows dropped as template_error, {way}",
    ]
    again = prepare(tmp_path / "again", tokenizer, [str(data)], template="chatml")
    assert (again.counts.packed, again.encoding.ways_out) == (4, {})


def test_a_way_out_that_would_lose_rows_that_are_trained_now_is_not_named(tiny_tokenizer: Path, tmp_path: Path) -> None:
    # chatml writes no reasoning, this template does.
    source = ALTERNATES.replace("{{ m.content }}", "{{ '<t>' + m.thinking + '</t>' if m.thinking }}{{ m.content }}")
    tokenizer = with_template(tiny_tokenizer, tmp_path / "tokenizer", source)
    thinks = chat("Hi", "Hello")
    thinks["messages"][1]["reasoning_content"] = "They greet me."
    data = write_lines(tmp_path / "a.jsonl", [with_system(1), thinks])
    manifest = prepare(tmp_path / "out", tokenizer, [str(data)])
    assert (manifest.counts.packed, manifest.encoding.ways_out) == (1, {})


def test_rows_with_lost_context_are_dropped_or_trained_with_a_warning(tiny_tokenizer: Path, tmp_path: Path) -> None:
    tokenizer = with_template(tiny_tokenizer, tmp_path / "tokenizer", NO_SYSTEM)
    rows = [{**chat("Hi", "Hello"), "tools": [TOOL]}, chat("And?", "So."), {**chat("Go", "Gone"), "tools": [TOOL]}]
    data = write_lines(tmp_path / "a.jsonl", rows)
    dropped = prepare(tmp_path / "dropped", tokenizer, [str(data)])
    assert [(row["reason"], row["detail"]) for row in ledger(tmp_path / "dropped")] == [
        ("lost_field", "tools"),
        (None, None),
        ("lost_field", "tools"),
    ]
    assert dropped.encoding.ways_out == {"lost_field": "tool_calls=inline trains 2 of 2 of them that were tried"}
    warned = prepare(tmp_path / "warned", tokenizer, [str(data)], lost_context="warn")
    assert (warned.counts.packed, warned.encoding.lost_context) == (3, {"tools": 2})
    assert "2 rows are trained behind prompts without their tools" in warnings_on(warned)
    sftdata.verify(tmp_path / "warned")


def test_reasoning_under_a_template_that_writes_none_has_a_way_out(tiny_tokenizer: Path, tmp_path: Path) -> None:
    tokenizer = with_template(tiny_tokenizer, tmp_path / "tokenizer", NO_SYSTEM)
    rows = [{"prompt": "Hi", "completion": "Hello", "reasoning": "They greet me."}, chat("And?", "So.")]
    data = write_lines(tmp_path / "a.jsonl", rows)
    dropped = prepare(tmp_path / "dropped", tokenizer, [str(data)])
    way = "reasoning=inline trains 1 of 1 of them that were tried"
    assert (dropped.counts.packed, dropped.encoding.ways_out) == (1, {"lost_field": way})
    for how, what in (("inline", "written in front of it in <think> marks"), ("drop", "left out")):
        again = prepare(tmp_path / how, tokenizer, [str(data)], reasoning=how)
        assert (again.counts.packed, again.encoding.reasoning) == (2, {how: 1})
        assert f"the reasoning of 1 answer is {what}, by reasoning: {how}" in summarize(how, again).lines
        sftdata.verify(tmp_path / how)


def test_the_switch_that_lifts_a_refusal_is_named(tiny_tokenizer: Path, tmp_path: Path) -> None:
    source = NO_SYSTEM.replace(
        "{{ m.content }}",
        "{{ '<t>' + m.thinking + '</t>' if m.thinking and enable_thinking is not false }}{{ m.content }}",
    )
    tokenizer = with_template(tiny_tokenizer, tmp_path / "tokenizer", source)
    rows = [{"prompt": "Hi", "completion": "Hello", "reasoning": "They greet me."}, chat("And?", "So.")]
    refused = prepare(tmp_path / "off", tokenizer, [{"rows": rows}], thinking="off")
    assert refused.encoding.ways_out == {"lost_field": "thinking=auto trains 1 of 1 of them that were tried"}
    assert [row["detail"] for row in ledger(tmp_path / "off")] == [
        "turn 2: it has reasoning, and enable_thinking=false: reasoning_content",
        None,
    ]
    mixed = prepare(tmp_path / "auto", tokenizer, [{"rows": rows}])
    assert (mixed.counts.packed, mixed.encoding.thinking) == (2, {"off: enable_thinking=false": 1})
    line = "1 row has answers without reasoning, which are trained with thinking off (enable_thinking=false)"
    assert line in summarize("auto", mixed).lines
    sftdata.verify(tmp_path / "auto")


def test_each_source_has_its_arguments_and_its_way_with_reasoning(tiny_tokenizer: Path, tmp_path: Path) -> None:
    source = "{{ mood }}" + NO_SYSTEM
    tokenizer = with_template(tiny_tokenizer, tmp_path / "tokenizer", source)
    row = {"prompt": "Hi", "completion": "Hello", "reasoning": "They greet me."}
    sources = [
        {"rows": [chat("One", "1")]},
        {"rows": [chat("Two", "2")], "chat_template_kwargs": {"mood": "b"}},
        {"rows": [row], "reasoning": "drop"},
        {"rows": [{**row, "prompt": "Ho"}], "reasoning": "inline"},
        {"rows": [{**row, "prompt": "Hu"}]},
    ]
    from tokenizers import Tokenizer

    manifests = [
        prepare(tmp_path / name, tokenizer, sources, chat_template_kwargs={"mood": "a"}, workers=workers)
        for name, workers in (("one", 1), ("two", 2))
    ]
    assert [row["reason"] for row in ledger(tmp_path / "one")] == [None, None, None, None, "lost_field"]
    data = sftdata.open(tmp_path / "one")
    vocabulary = Tokenizer.from_file(str(tokenizer / "tokenizer.json"))
    texts = [vocabulary.decode(list(data.sample(number).input_ids), skip_special_tokens=False) for number in range(4)]
    assert sum("a<|im_start|>user" in text for text in texts) == 3
    assert sum("b<|im_start|>user" in text for text in texts) == 1
    assert manifests[0].dataset_hash == manifests[1].dataset_hash
    assert manifests[0].config["chat_template_kwargs"] == {"mood": "a"}
    assert manifests[0].config["sources"][1]["chat_template_kwargs"] == {"mood": "b"}


def test_what_is_not_written_is_in_the_summary(tiny_tokenizer: Path, tmp_path: Path) -> None:
    row = chat("Hi", "Hello")
    row["messages"] = [
        {"role": "developer", "content": "Be brief."},
        *row["messages"],
        {"role": "user", "content": "x"},
    ]
    row["messages"][1]["name"] = "Bob"
    data = write_lines(tmp_path / "a.jsonl", [row])
    lines = summarize("out", prepare(tmp_path / "out", tiny_tokenizer, [str(data)])).lines
    assert lines[-3:] == (
        "1 developer message is written as system messages: the template has no developer role",
        "1 message has a name that the template does not write",
        "1 message comes after the last trained turn of a row, and so in no sample",
    )


@pytest.mark.parametrize("workers", [1, 2])
def test_the_way_out_does_not_depend_on_how_rows_are_divided(
    tiny_tokenizer: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    tokenizer = with_template(tiny_tokenizer, tmp_path / "tokenizer", ALTERNATES)
    data = write_lines(tmp_path / "a.jsonl", [with_system(n) if n % 3 else chat(f"Hi {n}", "x") for n in range(150)])
    whole = prepare(tmp_path / "whole", tokenizer, [str(data)])
    monkeypatch.setattr("sftdata.pipeline.read.UNIT_BYTES", 500)
    divided = prepare(tmp_path / "divided", tokenizer, [str(data)], workers)
    assert whole.encoding.ways_out == {"template_error": "template=chatml trains 50 of 50 of them that were tried"}
    assert divided.to_json() == whole.to_json()


def test_a_template_that_ends_no_turn_is_refused_with_templates_that_fit(tiny_tokenizer: Path, tmp_path: Path) -> None:
    endless = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
    tokenizer = with_template(tiny_tokenizer, tmp_path / "tokenizer", endless)
    data = write_lines(tmp_path / "a.jsonl", [chat("Hi", "Hello")])
    with pytest.raises(TemplateError, match="template=chatml") as error:
        prepare(tmp_path / "out", tokenizer, [str(data)])
    assert "phi3" not in str(error.value)


def test_a_long_text_is_split_without_losing_a_token_and_verified(tiny_tokenizer: Path, tmp_path: Path) -> None:
    words = " ".join(f"word {number}" for number in range(400))
    rows = prepare_rows(
        tmp_path / "out",
        tiny_tokenizer,
        [{"text": words}, {"text": "short"}],
        source={"format": "text"},
        overlong="split",
        pack={"seq_len": 64},
    )
    assert [row["fate"] for row in rows] == ["packed", "packed"]
    assert rows[0]["turns"] == [[piece] for piece in range(1, len(rows[0]["places"]) + 1)]
    from tokenizers import Tokenizer

    size = len(Tokenizer.from_file(str(tiny_tokenizer / "tokenizer.json")).encode(words).ids)
    assert rows[0]["num_trained_tokens"] == size  # all but the first, and EOS
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["encoding"]["split_texts"] == 1


def test_messages_that_are_rendered_chats_themselves_are_counted(tiny_tokenizer: Path, tmp_path: Path) -> None:
    rows = [
        chat("[INST] Hi [/INST]", "Hello"),
        chat("### Instruction:\nHi\n\n### Response:\n", "Hello there"),
        {**chat("<s>[INST] Go [/INST]", "Gone"), "system": "Be kind.", "tools": []},
        chat("What does [INST] mean, and Human: too?", "It opens a turn."),
    ]
    rows[2]["messages"][1]["name"] = "bot"  # so that the record is not a plain one
    data = write_lines(tmp_path / "a.jsonl", rows)
    manifest = prepare(tmp_path / "out", tiny_tokenizer, [str(data)])
    assert (manifest.counts.packed, manifest.encoding.rendered) == (4, {"Alpaca": 1, "Llama 2": 2})
    assert (
        "3 messages are themselves chats in the marks of a template (Alpaca 1, Llama 2 2), trained as text: "
        "write the turns as messages, without marks"
    ) in warnings_on(manifest)


def test_texts_whose_owner_may_mean_something_else_are_counted(tiny_tokenizer: Path, tmp_path: Path) -> None:
    tokenizer = with_template(tiny_tokenizer, tmp_path / "tokenizer", NO_SYSTEM)
    twice = chat("What is it?", "An animal.")
    twice["messages"].insert(0, {"role": "system", "content": '<tools>[{"name": "lookup"}]</tools>'})
    rows = [
        chat("<image>\nWhat is this?", "A cat."),
        chat("What is this?\n<image>", "<image>\nA dog."),
        chat("How does <image> work in HTML?", "It does not."),
        chat("Why?", "<think>They ask why.</think>So."),
        chat("Why not?", "[THINK]They ask why not.[/THINK]So."),
        chat("Who?", "They ask who.\n</think>\n\nI."),
        {**twice, "tools": [TOOL]},
        {**chat("And this?", "A bird."), "tools": [TOOL]},
    ]
    data = write_lines(tmp_path / "a.jsonl", rows)
    manifest = prepare(tmp_path / "out", tokenizer, [str(data)], lost_context="warn")
    encoding = manifest.encoding
    assert (manifest.counts.packed, encoding.media_marks, encoding.tools_twice) == (8, 2, 1)
    assert encoding.reasoning == {"unwritten: </think>": 1, "unwritten: <think>": 1, "unwritten: [THINK]": 1}
    lines = summarize("out", manifest).lines
    warnings = warnings_on(manifest)
    assert "2 messages have the mark of a picture or a sound (such as <image>), which is only text" in warnings
    assert (
        "3 answers have reasoning in their texts (</think> 1, <think> 1, [THINK] 1), trained as text: the template "
        "writes no reasoning; reasoning: drop would leave it out"
    ) in lines
    assert (
        "1 row lists its tools in the system message too, and a template that writes tools writes them twice: "
        "take the list out of the system message"
    ) in warnings


def test_a_conversation_of_more_than_max_turns_is_dropped_by_name_or_cut_into_windows(
    tiny_tokenizer: Path, tmp_path: Path
) -> None:
    turns = [{"role": ("user", "assistant")[n % 2], "content": f"turn {n}"} for n in range(12)]
    data = write_lines(tmp_path / "a.jsonl", [chat("Hi", "Hello"), {"messages": turns}])
    prepare(tmp_path / "out", tiny_tokenizer, [str(data)], max_turns=10)
    assert [(row["reason"], row["detail"]) for row in ledger(tmp_path / "out")] == [
        (None, None),
        ("too_many_turns", "12 messages; max_turns is 10"),
    ]
    whole = prepare(tmp_path / "whole", tiny_tokenizer, [str(data)], max_turns=12, pack={"seq_len": 256})
    assert whole.counts.packed == 2
    split = prepare(tmp_path / "split", tiny_tokenizer, [str(data)], max_turns=10, overlong="split")
    assert split.counts.packed == 2
    # Each of the six answers is trained once, in windows of up to ten messages.
    assert sorted(turn for sample in ledger(tmp_path / "split")[1]["turns"] for turn in sample) == [2, 4, 6, 8, 10, 12]
    sftdata.verify(tmp_path / "split")
