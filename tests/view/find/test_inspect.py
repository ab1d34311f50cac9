"""`sftdata inspect` and `sftdata why` on the command line: what is found, what is refused, what can be pasted."""

from __future__ import annotations

import io
import re
import shlex
from pathlib import Path

import pytest
from command_line import call
from found_rows import LAMP, ROWS, prepare
from rich.console import Console

from sftdata.view.dataset import open_dataset
from sftdata.view.find.search import query_of
from sftdata.view.find.show import print_dropped, print_found
from sftdata.view.find.texts import InputTexts
from sftdata.view.layout import plain


def heads(output: str) -> list[str]:
    return re.findall(r"^── (.*) ──$", output, flags=re.MULTILINE)


@pytest.mark.parametrize(
    ("options", "first", "found"),
    [
        (["--where", "chats.jsonl:7"], "1 of 7 samples from chats.jsonl:7", ["chats.jsonl:7"]),
        (["--search", "HTTP"], "1 of 7 samples that have 'HTTP'", ["chats.jsonl:1"]),
        (["--search", "http", "--regex"], None, []),
        (["--regex", "--search", "(?i)http|count to 9"], "2 of 7 samples that match '(?i)http|count to 9'", None),
        (["--search", "Count", "--trained-only"], None, []),
        (["--source", "more.jsonl", "--longest"], "3 of 7 samples of more.jsonl; the longest first: 3 shown", None),
        (["--longest", "1", "--source", "more.jsonl"], None, ["more.jsonl:2"]),
        (["--least-trained", "1", "--source", "more.jsonl"], None, ["more.jsonl:1"]),
        (["--least-trained", "--limit", "1", "--source", "more.jsonl"], None, ["more.jsonl:1"]),
        (["--split", "train", "--search", "你好"], "1 of 7 samples that have '你好'", ["chats.jsonl:6"]),
        (["--dropped", "duplicate"], "1 of 3 dropped rows as duplicate", ["chats.jsonl:2"]),
        (["--dropped", "near_duplicate", "--source", "data/chats.jsonl"], None, ["chats.jsonl:4"]),
    ],
)
def test_samples_and_rows_are_found(prepared: Path, options: list[str], first: str | None, found: list[str]) -> None:
    code, output, error = call("inspect", prepared, *options)
    assert code == (0 if found != [] else 1), error
    assert first is None or output.splitlines()[0] == first
    assert found is None or heads(output) == found


def test_a_record_is_found_by_its_id_and_by_the_beginning_of_it(prepared: Path) -> None:
    (sample,) = open_dataset(prepared).samples.where("chats.jsonl:6")
    for length in (32, 10):
        assert heads(call("inspect", prepared, "--record", sample.record_id[:length])[1]) == ["chats.jsonl:6"]


def test_a_found_sample_is_shown_with_its_place_and_its_tokens(prepared: Path) -> None:
    (sample,) = open_dataset(prepared).samples.where("chats.jsonl:7")
    output = call("inspect", prepared, "--where", "data/chats.jsonl:7")[1]
    about = f"   sequence {sample.row}, sample {sample.index} of train · {sample.counts}"
    assert f"{about}\n   record {sample.record_id}\n" in output
    assert "⟪<|im_start|>⟫user↵\nSay it.⟪<|im_end|>⟫↵\n⟪<|im_start|>⟫assistant↵\n⟦Yes.⟪<|im_end|>⟫⟧↵\n" in output


def test_where_a_text_was_found_is_shown(prepared: Path) -> None:
    assert (
        "   found: <|im_start|>user What is «HTTP»?<|im_end|> <|im_start|>assistant A…"
        in (call("inspect", prepared, "--search", "HTTP")[1])
    )
    assert "«protocol»" in call("inspect", prepared, "--search", "protocol", "--trained-only")[1]


def test_a_search_without_a_hit_says_what_was_searched_and_what_would_find_it(prepared: Path) -> None:
    code, output, error = call("inspect", prepared, "--search", "no such text")
    assert (code, output) == (1, "")
    assert (
        error
        == "sftdata: out: no samples that have 'no such text'; 7 samples searched, in upper and lower case as given\n"
    )
    error = call("inspect", prepared, "--search", "what is http")[2]
    command = error.strip().rpartition("1 has it in another case: ")[2]
    program, *arguments = shlex.split(command)
    assert program == "sftdata"
    assert heads(call(*arguments)[1]) == ["chats.jsonl:1"]


def test_a_dropped_row_that_is_looked_for_is_explained(prepared: Path) -> None:
    code, output, _ = call("inspect", prepared, "--where", "chats.jsonl:5")
    assert code == 0 and "dropped by format as unknown_shape" in output and '{"nothing": "of use"}' in output


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--row", "0", "--search", "x"], "--row: shows a sequence by its number, and --search looks for samples"),
        (["--random", "1", "--longest"], "--random: and --longest choose in two ways; leave one of them out"),
        (["--regex"], "--regex: does nothing without --search"),
        (["--seed", "1"], "--seed: does nothing without --random"),
        (["--limit", "3"], "--limit: does nothing without something to look for"),
        (["--dropped", "duplicate", "--split", "train"], "--dropped: shows rows that became no samples"),
        (["--dropped", "duplicat"], "did you mean duplicate?"),
        (["--dropped", "refusal"], "no row was dropped as refusal; dropped were 1 duplicate, 1 near_duplicate"),
        (["--data", "x", "--search", "y"], "--data: is for texts of rows that were dropped"),
        (["--source", "other.jsonl"], "has no source other.jsonl; its sources are data/chats.jsonl, more.jsonl"),
        (["--where", "chats.jsonl:99"], "the last row of chats.jsonl is in line 7"),
        (["--search", "(", "--regex"], "is not a regular expression"),
        (["--longest", "0"], "--longest"),
    ],
)
def test_what_cannot_be_followed_is_one_sentence(prepared: Path, options: list[str], sentence: str) -> None:
    code, output, error = call("inspect", prepared, *options)
    assert (code, output) == (1, "")
    assert sentence in error and len(error.splitlines()) == 1


def test_why_shows_both_texts_and_marks_where_they_differ(prepared: Path) -> None:
    output = call("why", prepared, "chats.jsonl:4")[1].splitlines()
    assert output[1] == "  duplicate of chats.jsonl:3, with a similarity of 0.889"
    at = output.index("chats.jsonl:4 (dropped)")
    assert output[at : at + 12] == [
        "chats.jsonl:4 (dropped)",
        "  user:",
        "  Describe the lamp.",
        "  assistant:",
        f"  {LAMP}[- It is new.-]",
        "",
        "chats.jsonl:3 (kept)",
        "  user:",
        "  Describe the lamp.",
        "  assistant:",
        f"  {LAMP}",
        "",
    ]


def test_why_shows_the_text_of_an_exact_duplicate_once(prepared: Path) -> None:
    output = call("why", prepared, "chats.jsonl:2")[1]
    assert "chats.jsonl:2 and chats.jsonl:1 (equal)" in output
    assert output.count("What is HTTP?") == 1


def test_every_command_that_is_printed_works(tmp_path: Path, tiny_tokenizer: Path) -> None:
    folder = prepare(tmp_path / "a folder", tiny_tokenizer)
    given = [["why", folder, row] for row in ("chats.jsonl:1", "chats.jsonl:2", "chats.jsonl:4", "chats.jsonl:5")]
    given += [["inspect", folder, "--where", "more.jsonl:1"], ["inspect", folder, "--dropped", "duplicate"]]
    printed = [line for command in given for line in re.findall(r"sftdata \w+ '.*", call(*command)[1])]
    assert len(printed) == 9
    for line in printed:
        code, output, error = call(*shlex.split(line)[1:])
        assert code == 0 and output, error


@pytest.mark.parametrize("width", [60, 80, 120, 200])
@pytest.mark.parametrize("row", ["chats.jsonl:2", "chats.jsonl:4", "chats.jsonl:6", "chats.jsonl:7"])
def test_no_word_is_broken_and_no_line_is_too_wide(prepared: Path, width: int, row: str) -> None:
    (one,) = open_dataset(prepared).why(row)
    lines = plain(one.lines(width))
    words = set(re.findall(r"[a-zA-Z]+", " ".join(plain(one.lines()))))
    text = [line for line in lines if "sftdata inspect" not in line]
    assert set(re.findall(r"[a-zA-Z]+", " ".join(text))) <= words
    assert all(Console().measure(line).maximum <= width for line in text if " " in line.strip())
    is_beside = any("(dropped)" in line and "(kept)" in line for line in lines)
    assert is_beside == (row == "chats.jsonl:4" and width >= 120)


# Words that are not of the data.
REST = (
    "trained not control token sequence sample of tokens train in chats jsonl more user assistant system im start end "
    "dropped by as similarity dedup format duplicate near unknown shape keys match no its row"
)


def letters(text: str) -> set[str]:
    return set(re.findall(r"[a-zA-Z]+", text))


@pytest.mark.parametrize("width", [60, 80, 120, 200])
@pytest.mark.parametrize("is_dropped", [False, True])
def test_found_samples_and_rows_are_folded_between_words(prepared: Path, width: int, is_dropped: bool) -> None:
    ds = open_dataset(prepared)
    console = Console(file=io.StringIO(), width=width, force_terminal=True, color_system="standard", no_color=False)
    if is_dropped:
        rows = ds.dropped.to_arrow().to_pylist()
        print_dropped(rows, InputTexts(ds.path, ds.manifest).texts(rows), console)
    else:
        print_found(ds.samples, console, query_of("the wall behind"))
    lines = re.sub(r"\x1b\[[0-9;]*m", "", console.file.getvalue()).splitlines()
    shown = letters("\n".join(line for line in lines if "record" not in line and "found" not in line))
    known = letters(f"{ROWS} {REST}") | letters(" ".join(str(row.detail) for row in ds.dropped))
    assert shown - known == set()
    assert letters(LAMP) <= shown
    assert all(Console().measure(line).maximum <= width for line in lines)
