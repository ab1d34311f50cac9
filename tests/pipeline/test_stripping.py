"""`clean.strip_trailing_control` works before filters and deduplication, and everything else sees its result."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from runs import ledger, prepare, prepare_rows

STRIP = {"clean": {"strip_trailing_control": True}}


def pair(prompt: str, completion: str) -> dict[str, str]:
    return {"prompt": prompt, "completion": completion}


def fates(rows: list[dict[str, Any]]) -> list[str]:
    return [row["reason"] or row["fate"] for row in rows]


def test_strict_filters_keep_what_stripping_fixes_and_empty_answers_are_named(
    tiny_tokenizer: Path, tmp_path: Path
) -> None:
    rows = [
        pair("What is the capital of France?", "Paris.</s>"),
        pair("What is the capital of Peru?", "<|eot_id|>\n<|im_end|>"),
        pair("What is the capital of Chile?", "It <|im_end|> is Santiago.<|im_end|>"),
    ]
    loose = prepare_rows(tmp_path / "loose", tiny_tokenizer, rows, filters="strict")
    clean = prepare_rows(tmp_path / "clean", tiny_tokenizer, rows, filters="strict", **STRIP)
    assert fates(loose) == ["template_residue", "answer_too_short", "template_residue"]
    assert fates(clean) == ["packed", "empty_answer", "template_residue"]
    assert clean[1]["detail"] == "turn 2: the assistant's turn is empty"


def test_rows_that_differ_in_such_an_end_only_are_duplicates(tiny_tokenizer: Path, tmp_path: Path) -> None:
    rows = [pair("Where?", "Here.<|endoftext|>"), pair("Where?", "Here."), pair("Where?", "Here.\n<eos>")]
    assert fates(prepare_rows(tmp_path / "loose", tiny_tokenizer, rows)) == ["packed"] * 3
    clean = prepare_rows(tmp_path / "clean", tiny_tokenizer, rows, **STRIP)
    assert fates(clean) == ["packed", "duplicate", "duplicate"]
    assert [row["duplicate_of"] for row in clean] == [None, "data.jsonl:1", "data.jsonl:1"]


@pytest.mark.parametrize("workers", [1, 2])
def test_ends_of_other_models_are_counted_with_and_without_stripping(
    tiny_tokenizer: Path, tmp_path: Path, workers: int
) -> None:
    rows = [
        pair("One?", "One.<|eot_id|>"),
        pair("Two?", "Two.<|im_end|>"),
        pair("Three?", "Three."),
        {"messages": [{"role": "user", "content": "Four?"}, {"role": "assistant", "content": "4.</s>", "weight": 1}]},
        pair("Five?", "<think>\nHm.\n</think>"),
    ]
    data = tmp_path / "data.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    loose = prepare(tmp_path / "loose", tiny_tokenizer, [str(data)], workers)
    clean = prepare(tmp_path / "clean", tiny_tokenizer, [str(data)], workers, **STRIP)
    assert loose.encoding is not None and clean.encoding is not None
    ends = {"</s>": 1, "<|eot_id|>": 1, "<|im_end|>": 1}
    assert (loose.encoding.trailing_control, loose.encoding.stripped_answers) == (ends, 0)
    assert (clean.encoding.trailing_control, clean.encoding.stripped_answers) == (ends, 3)
    assert [(hit.string, hit.count) for hit in clean.encoding.control_strings] == [("<|im_end|>", 1)]
    assert loose.encoding.control_strings == clean.encoding.control_strings


def test_the_dataset_is_that_of_rows_without_such_ends(tiny_tokenizer: Path, tmp_path: Path) -> None:
    for name, end in (("with", "<|eot_id|></s>"), ("without", "")):
        (tmp_path / f"{name}.jsonl").write_text(json.dumps(pair("Where?", f"Here.{end}")) + "\n")
    stripped = prepare(tmp_path / "a", tiny_tokenizer, [str(tmp_path / "with.jsonl")], **STRIP)
    assert (
        stripped.dataset_hash == prepare(tmp_path / "b", tiny_tokenizer, [str(tmp_path / "without.jsonl")]).dataset_hash
    )
    assert [row["num_trained_tokens"] for row in ledger(tmp_path / "a")] == [
        row["num_trained_tokens"] for row in ledger(tmp_path / "b")
    ]


@pytest.mark.parametrize("name", ["llama3", "deepseek_v3", "qwen3", "smollm2"])
def test_the_ends_of_other_families_go_under_every_shared_tokenizer(shared: Path, tmp_path: Path, name: str) -> None:
    ends = ["<|endoftext|>", "</s>", "<|im_end|>", "<|eot_id|>", "<｜end▁of▁sentence｜>", "<end_of_turn>", "<|end|>"]
    rows = [pair(f"Question {number}?", f"Answer {number}.{end}") for number, end in enumerate(ends)]
    data = tmp_path / "data.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    manifest = prepare(
        tmp_path / "out", shared / "tokenizers" / name, [str(data)], filters="strict", pack={"seq_len": 256}, **STRIP
    )
    assert manifest.encoding is not None
    assert (manifest.counts.packed, manifest.encoding.stripped_answers) == (7, 7)


def test_stripping_on_a_second_run_reads_again(tiny_tokenizer: Path, tmp_path: Path) -> None:
    rows = [pair("Where?", "Here.</s>"), pair("Where?", "Here.")]
    out = tmp_path / "out"
    assert fates(prepare_rows(out, tiny_tokenizer, rows, keep_work=True)) == ["packed", "packed"]
    again = prepare_rows(out, tiny_tokenizer, rows, keep_work=True, overwrite=True, **STRIP)
    assert fates(again) == ["packed", "duplicate"]
