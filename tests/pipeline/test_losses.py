"""Losses that are too large end a run or are pointed out; settings that find nothing are errors; splits are said."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from command_line import call
from raw_rows import chat, write_lines
from runs import RecordedProgress, ledger, prepare

import sftdata
from sftdata.audit import audit
from sftdata.config import EvaluationConfig
from sftdata.errors import ConfigError, SourceError

LONG = {"seq_len": 256}


def test_a_run_that_drops_more_than_max_dropped_writes_no_dataset_and_keeps_its_work(
    tiny_tokenizer: Path, tmp_path: Path
) -> None:
    data = write_lines(tmp_path / "a.jsonl", [chat("Hi"), chat("Hi"), chat("Ho"), {"x": 1}, chat("He"), chat("Ha")])
    out = tmp_path / "out"
    with pytest.raises(SourceError) as caught:
        prepare(out, tiny_tokenizer, [str(data)], max_dropped=0.3)
    assert str(caught.value) == (
        "sources: 2 of 6 rows are dropped (33.3%: 1 duplicate, 1 unknown_shape), more than max_dropped allows (30.0%); "
        "no dataset was written; correct the rows, or raise max_dropped and run again: the work so far is kept"
    )
    assert [path.name for path in out.iterdir()] == [".work"]
    progress = RecordedProgress()
    assert prepare(out, tiny_tokenizer, [str(data)], max_dropped=0.34, progress=progress).counts.packed == 4
    assert (progress.done["read"], progress.done["encode"]) == (0, 0)


def test_the_command_line_has_max_dropped_and_exits_with_1(tiny_tokenizer: Path, tmp_path: Path) -> None:
    data = write_lines(tmp_path / "a.jsonl", [chat("Hi"), {"x": 1}])
    command = ["prepare", str(data), "--tokenizer", str(tiny_tokenizer), "--out", str(tmp_path / "out")]
    code, _, stderr = call(*command, "--max-dropped", "0.4")
    assert (code, "1 of 2 rows is dropped (50.0%: 1 unknown_shape)" in stderr) == (1, True)
    assert call(*command, "--max-dropped", "0.5")[0] == 0


def test_above_a_fifth_dropped_rows_are_warned_of_with_the_largest_reason(tiny_tokenizer: Path, tmp_path: Path) -> None:
    rows = [chat(f"Hi {number}") for number in range(7)]
    data = write_lines(tmp_path / "a.jsonl", [*rows, rows[0], rows[1]])
    prepare(tmp_path / "more", tiny_tokenizer, [str(data)])
    warning = "2 rows (22.2% of the rows read) are dropped, most of them as duplicate (2)"
    summary = sftdata.open(tmp_path / "more").summary()
    assert [one.text for one in summary.warnings] == [warning]
    assert f"warning: {warning} (see a.jsonl:8)" in str(summary).splitlines()
    data = write_lines(tmp_path / "a.jsonl", [*rows, chat("Ho"), rows[0], rows[1]])
    prepare(tmp_path / "fifth", tiny_tokenizer, [str(data)])
    assert "warning" not in str(sftdata.open(tmp_path / "fifth").summary())


def test_the_summary_never_says_100_percent_where_a_row_is_missing(tiny_tokenizer: Path, tmp_path: Path) -> None:
    text = "".join(f"q{number},a{number}\n" for number in range(3000))
    (tmp_path / "a.csv").write_text(f'prompt,completion\n{text}x,"y\n')
    manifest = prepare(tmp_path / "out", tiny_tokenizer, [str(tmp_path / "a.csv")])
    assert (manifest.counts.rows_read, manifest.counts.packed) == (3001, 3000)
    assert str(sftdata.open(tmp_path / "out").summary()).splitlines()[-1].split()[-1] == ">99.9%"


def test_a_mapped_or_kept_column_that_no_row_has_is_an_error(tiny_tokenizer: Path, tmp_path: Path) -> None:
    data = write_lines(tmp_path / "a.jsonl", [{"q": "Hi", "a": "Ho", "note": None}])
    source = {"path": str(data), "columns": {"prompt": "q", "completion": "a"}}
    with pytest.raises(SourceError) as caught:
        prepare(tmp_path / "out", tiny_tokenizer, [{**source, "columns": {**source["columns"], "system": "sys"}}])
    assert str(caught.value) == (
        f"{data}: columns maps system to sys, which none of its rows has; its rows have the keys q, a, note; "
        "correct the name, or remove the setting"
    )
    with pytest.raises(SourceError, match="keep names the column user_id, which none of its rows has"):
        prepare(tmp_path / "out", tiny_tokenizer, [{**source, "keep": ["user_id"]}])
    with pytest.raises(ConfigError, match=r"dedup\.caps: names the column user_id, which no row has"):
        caps = {"caps": [{"column": "user_id", "max_records": 1}]}
        prepare(tmp_path / "out", tiny_tokenizer, [source], dedup=caps)
    assert prepare(tmp_path / "out", tiny_tokenizer, [{**source, "keep": ["note"]}]).counts.packed == 1


def test_keys_of_turns_that_are_mapped_are_found(tiny_tokenizer: Path, tmp_path: Path) -> None:
    turns = [{"who": "user", "said": "Hi"}, {"who": "assistant", "said": "Ho"}]
    source = {"columns": {"messages": "turns", "role": "who", "content": "said"}}
    data = write_lines(tmp_path / "a.jsonl", [{"turns": turns}, {"turns": json.dumps(turns)}])
    assert prepare(tmp_path / "out", tiny_tokenizer, [{"path": str(data), **source}]).counts.rows_read == 2


def test_the_split_that_is_read_is_said_on_the_screen_in_the_manifest_and_in_the_summary(
    tiny_tokenizer: Path, tmp_path: Path
) -> None:
    write_lines(tmp_path / "data" / "train.jsonl", [chat("Hi")])
    write_lines(tmp_path / "data" / "test.jsonl", [chat("Ho")])
    progress = RecordedProgress()
    manifest = prepare(tmp_path / "out", tiny_tokenizer, [str(tmp_path / "data")], progress=progress)
    note = f"{tmp_path / 'data'}: the split train is read (train.jsonl), not test.jsonl (test)"
    assert progress.notes[:1] == [*manifest.notes] == [note]
    assert note in sftdata.open(tmp_path / "out").summary().lines
    assert [row["where"] for row in ledger(tmp_path / "out")] == ["train.jsonl:1"]


def test_evaluation_files_are_the_test_split_unless_another_is_asked_for(tiny_tokenizer: Path, tmp_path: Path) -> None:
    question = "How many kilometres are there in a nautical mile, to three decimal places?"
    write_lines(tmp_path / "exam" / "test.jsonl", [chat(question)])
    write_lines(tmp_path / "exam" / "train.jsonl", [chat("What is the capital of the northernmost country of Europe?")])
    data = write_lines(tmp_path / "a.jsonl", [chat(question), chat("Hi")])
    prepare(tmp_path / "out", tiny_tokenizer, [str(data)], decontaminate={"against": str(tmp_path / "exam")}, pack=LONG)
    assert [row["reason"] for row in ledger(tmp_path / "out")] == ["contaminated", None]
    against = [{"path": str(tmp_path / "exam"), "split": "train"}]
    prepare(tmp_path / "other", tiny_tokenizer, [str(data)], decontaminate={"against": against}, pack=LONG)
    assert [row["reason"] for row in ledger(tmp_path / "other")] == [None, None]


def test_what_of_the_evaluation_files_is_not_read_or_can_hardly_be_found_is_said(
    tiny_tokenizer: Path, tmp_path: Path
) -> None:
    exam = tmp_path / "exam"
    questions = ["What is the capital of the northernmost country of Europe?", "Who wrote Faust?", "Why?", "...", " "]
    write_lines(exam / "test.jsonl", [chat(question) for question in questions])
    write_lines(exam / "train.jsonl", [chat("How old is the oldest tree on earth, roughly, in years?")])
    data = write_lines(tmp_path / "a.jsonl", [chat("Hi")])
    manifest = prepare(tmp_path / "out", tiny_tokenizer, [str(data)], decontaminate={"against": str(exam)}, pack=LONG)
    said = [
        f"{exam}: the split test is read (test.jsonl), not train.jsonl (train)",
        "1 evaluation item is blank and cannot be searched for",
        "3 evaluation items of fewer than 4 words match only a turn that says the same",
    ]
    assert [*manifest.notes] == said
    found = audit([str(data)], against=[str(exam)])
    assert [note.rpartition("exam: ")[2] for note in found.notes] == [said[0].rpartition("exam: ")[2], *said[1:]]


def test_of_an_evaluation_file_without_plain_answers_the_question_is_enough(tmp_path: Path) -> None:
    question = "What is the capital of the northernmost country of Europe?"
    exam = write_lines(tmp_path / "exam.jsonl", [{"question": question, "choices": ["Oslo", "Rome"], "answer": 0}] * 2)
    data = write_lines(tmp_path / "a.jsonl", [chat(question)])
    with pytest.raises(SourceError, match="is not a conversation") as caught:
        audit([str(data)], against=[str(exam)])
    line = caught.value.hint.removeprefix("read it with ")
    (settings,) = yaml.safe_load(line)["decontaminate"]["against"]
    assert settings == {"path": str(exam), "format": "text", "columns": {"text": "question"}}
    found = audit([str(data)], against=[EvaluationConfig(**settings)])
    assert [(one.kind, one.rows) for one in found.findings] == [("contaminated", 1)]
