"""The summary: control strings in texts, and conversations that do not fit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import sftdata
from sftdata.store.manifest import ControlString, EncodingEntry, Manifest
from sftdata.view.summary import summarize

STRIP = "clean.strip_trailing_control=true"
ENDS = "left over from another model: yours would learn to write it"


def chat(user: str, *answers: str) -> dict[str, Any]:
    turns = [{"role": "user", "content": user}]
    for answer in answers:
        turns += [{"role": "assistant", "content": answer}, {"role": "user", "content": "Go on."}]
    return {"messages": turns[:-1]}


def prepare(folder: Path, tokenizer: Path, rows: list[Any], workers: int = 1, **settings: Any) -> Manifest:
    folder.mkdir(exist_ok=True)
    (folder / "chats.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    config = {"tokenizer": str(tokenizer), "sources": [str(folder / "chats.jsonl")], "out": str(folder / "out")}
    return sftdata.prepare(sftdata.parse_config({**config, **settings}), workers=workers).manifest


def added_lines(manifest: Manifest, encoding: EncodingEntry, split: str | None = None) -> list[str]:
    """The notes of the summary."""
    return list(summarize("x", manifest.model_copy(update={"encoding": encoding}), split).lines)


def warnings(manifest: Manifest, name: str, **encoding: Any) -> list[tuple[str, str | None]]:
    """The texts and settings of the warnings of one kind."""
    entry = EncodingEntry(encoder="tokenizers", **encoding)
    found = summarize("x", manifest.model_copy(update={"encoding": entry})).warnings
    return [(one.text, one.setting) for one in found if one.name == name]


@pytest.fixture
def manifest(small_dataset: Path) -> Manifest:
    """A dataset of six packed rows."""
    return Manifest.load(small_dataset)


@pytest.mark.parametrize("workers", [1, 2])
def test_the_manifest_counts_control_strings_by_string_and_role_and_answers_that_end_in_one(
    tiny_tokenizer: Path, tmp_path: Path, workers: int
) -> None:
    rows = [
        chat("What is <|im_end|>?", "An end.<|endoftext|>"),
        chat("And <|im_end|> and <|im_start|>?", "Two.<|endoftext|> \n", "Not at the end: <|endoftext|>."),
        chat("Both?", "Yes.<|im_end|><|endoftext|>"),
        chat("Nothing else?", "<|endoftext|>"),
        chat("None?", "None."),
    ]
    encoding = prepare(tmp_path, tiny_tokenizer, rows, workers).encoding
    assert encoding is not None
    assert [(hit.string, hit.role, hit.count) for hit in encoding.control_strings] == [
        ("<|endoftext|>", "assistant", 5),
        ("<|im_end|>", "user", 2),
        ("<|im_end|>", "assistant", 1),
        ("<|im_start|>", "user", 1),
    ]
    assert (encoding.trailing_control, encoding.only_control) == ({"<|endoftext|>": 3}, 1)
    assert encoding.encoder in ("fastokens", "tokenizers")
    assert (encoding.stripped_answers, encoding.cut_answers, encoding.split_conversations) == (0, 0, 0)
    assert Manifest.load(tmp_path / "out").encoding == encoding


def test_after_stripping_it_is_counted_and_no_longer_suggested(tiny_tokenizer: Path, tmp_path: Path) -> None:
    rows = [chat(f"Question {n}?", f"Answer {n}.<|endoftext|>", "Yes.") for n in range(3)]
    loose = prepare(tmp_path / "loose", tiny_tokenizer, rows)
    clean = prepare(tmp_path / "clean", tiny_tokenizer, rows, clean={"strip_trailing_control": True})
    assert clean.encoding is not None
    assert (clean.encoding.stripped_answers, clean.encoding.trailing_control) == (3, {"<|endoftext|>": 3})
    (warning,) = summarize("x", loose).warnings
    assert warning.text == f"3 rows (100.0%) have an answer that ends in <|endoftext|>, {ENDS}"
    assert (warning.share, warning.example, warning.setting) == (1.0, "chats.jsonl:1", STRIP)
    assert summarize("x", loose).lines == ()  # its number is said once
    assert summarize("x", clean).lines == ("stripped control strings from the end of 3 answers",)
    assert summarize("x", clean).warnings == ()


@pytest.mark.parametrize(
    ("overlong", "line"),
    [
        ("split", "split 2 conversations longer than a sequence; 1 turn too long for a window"),
        ("truncate", "cut 2 answers"),
    ],
)
def test_the_summary_says_what_was_done_to_overlong_conversations(
    tiny_tokenizer: Path, tmp_path: Path, overlong: str, line: str
) -> None:
    answer = "one two three four " * 3
    rows = [chat("Hi.", *[answer] * 4), chat("Hello.", answer, "five " * 200, answer), chat("Short?", "Yes.")]
    manifest = prepare(tmp_path, tiny_tokenizer, rows, overlong=overlong, pack={"seq_len": 128})
    assert manifest.counts.packed == 3
    assert summarize("x", manifest).lines == (line,)
    sftdata.verify(tmp_path / "out")


def test_a_plain_dataset_has_no_extra_lines(tiny_tokenizer: Path, tmp_path: Path) -> None:
    summary = summarize("x", prepare(tmp_path, tiny_tokenizer, [chat("Hi?", "Hi.")]))
    assert (summary.lines, summary.warnings) == ((), ())
    assert summary.facts[0].endswith((", encoder fastokens", ", encoder tokenizers"))


def test_the_five_most_frequent_strings_are_listed_and_the_others_counted(manifest: Manifest) -> None:
    hits = [ControlString(string=f"<|{n}|>", role="user", count=12_653 - n) for n in range(8)]
    assert added_lines(manifest, EncodingEntry(encoder="tokenizers", control_strings=tuple(hits))) == [
        "control strings in text, kept as text: <|0|> 12,653 x user, <|1|> 12,652 x user, <|2|> 12,651 x user, "
        "<|3|> 12,650 x user, <|4|> 12,649 x user and 3 more"
    ]


@pytest.mark.parametrize(
    ("packed", "endings", "said"), [(99, 1, True), (101, 1, False), (950, 9, False), (10_000, 10, True), (0, 0, False)]
)
def test_stripping_is_suggested_from_ten_answers_or_one_percent_of_the_packed_rows(
    manifest: Manifest, packed: int, endings: int, said: bool
) -> None:
    manifest = manifest.model_copy(update={"counts": manifest.counts.model_copy(update={"packed": packed})})
    text = f"{endings} {'answer ends' if endings == 1 else 'answers end'} in </s>, {ENDS}"
    found = warnings(manifest, "foreign_ends", trailing_control={"</s>": endings} if endings else {})
    assert found == ([(text, STRIP)] if said else [])


def test_what_stripping_leaves_empty_is_said_beside_the_suggestion(manifest: Manifest) -> None:
    said = (
        f"20 answers end in </s>, {ENDS}; 2 answers with nothing else would be dropped as empty_answer with the setting"
    )
    assert warnings(manifest, "foreign_ends", trailing_control={"</s>": 20}, only_control=2) == [(said, STRIP)]


def test_a_control_string_cannot_control_the_terminal_or_break_the_line(manifest: Manifest) -> None:
    hit = ControlString(string="\x1b[2J\n<end>", role="user", count=1)
    encoding = EncodingEntry(encoder="tokenizers", control_strings=(hit,), trailing_control={"\x07\n": 10})
    assert added_lines(manifest, encoding) == ["control strings in text, kept as text: ␛[2J␊<end> 1 x user"]
    text = str(summarize("x", manifest.model_copy(update={"encoding": encoding})))
    assert "warning: 10 answers end in ␇␊, left over" in text


def test_the_summary_of_a_split_has_no_lines_about_the_whole_dataset(manifest: Manifest) -> None:
    assert added_lines(manifest, EncodingEntry(encoder="tokenizers", cut_answers=3), "train") == []
