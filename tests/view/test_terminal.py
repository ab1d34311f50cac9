"""sftdata.view.terminal: masked samples on a terminal and in a pipe."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
from rich.console import Console

from sftdata.errors import DatasetError
from sftdata.view.dataset import Dataset, open_dataset
from sftdata.view.terminal import print_row, print_sample, print_summary

SGR = re.compile(r"\x1b\[[0-9;]*m")


@pytest.fixture
def ds(small_dataset: Path) -> Dataset:
    return open_dataset(small_dataset)


def console(styled: bool, width: int = 80) -> Console:
    options = {"force_terminal": True, "color_system": "standard", "no_color": False} if styled else {}
    return Console(file=io.StringIO(), width=width, **options)


def printed(out: Console) -> str:
    return out.file.getvalue()


def sample_lines(ds: Dataset, record_id: str, styled: bool = False) -> list[str]:
    out = console(styled)
    print_sample(next(sample for row in ds for sample in row.samples if sample.record_id == record_id), out)
    return printed(out).splitlines()


def test_without_styles_brackets_mark_trained_runs_and_control_tokens(ds: Dataset):
    assert sample_lines(ds, "r0")[3:] == [
        "⟪<|im_start|>⟫user↵",
        "What is the capital of France?⟪<|im_end|>⟫↵",
        "⟪<|im_start|>⟫assistant↵",
        "⟦Paris.⟪<|im_end|>⟫⟧↵",
        "",
    ]


def test_with_styles_trained_text_is_underlined_and_no_brackets_are_needed(ds: Dataset):
    lines = sample_lines(ds, "r0", styled=True)
    assert "\x1b[4;32mParis.\x1b[0m\x1b[1;4;7;32m<|im_end|>\x1b[0m" in lines[6]
    assert "⟦" not in "".join(lines)
    assert "\x1b" not in lines[4].split("?")[0]


def test_without_colour_there_is_only_underline(ds: Dataset):
    out = Console(file=io.StringIO(), force_terminal=True, color_system="standard", no_color=True)
    print_sample(ds.sample(4), out)
    assert "\x1b[4m4 5 6" in printed(out)
    assert "\x1b[32m" not in printed(out)


@pytest.mark.parametrize("styled", [True, False])
def test_control_characters_of_the_data_never_reach_the_terminal(ds: Dataset, styled: bool):
    text = "\n".join(sample_lines(ds, "r2", styled))
    plain = SGR.sub("", text) if styled else text
    assert "␛[31mred␇ <U+202E>evil<U+200B> [bold]x[/bold]" in plain
    assert not set(plain) & {"\x1b", "\x07", "\u202e", "\u200b", "\t", "\r"}


def test_easily_missed_white_space_is_marked(ds: Dataset):
    assert sample_lines(ds, "r2")[4:7] == ["tab⇥   here, two··spaces·↵", "↵", "new⟪<|im_end|>⟫↵"]


def test_emoji_keep_their_joiners(ds: Dataset):
    assert "你好 👩‍👩‍👧⟪<|im_end|>⟫↵" in sample_lines(ds, "r3")


def test_a_row_is_printed_sample_by_sample(ds: Dataset):
    out = console(styled=False)
    print_row(ds, 0, out)
    heads = [line for line in printed(out).splitlines() if line.startswith("──")]
    assert [re.findall(r"sample (\d+) .* record (r\d)", head)[0] for head in heads] == [
        (str(sample.index), sample.record_id) for sample in ds[0].samples
    ]
    again = console(styled=False)
    print_row(ds, ds[0], again)
    assert printed(again) == printed(out)


def test_a_limit_stops_within_a_sample_and_says_what_is_left_out(ds: Dataset):
    out = console(styled=False)
    first, second, *rest = ds[0].samples
    print_row(ds, 0, out, max_tokens=first.num_tokens + 1)
    lines = printed(out).splitlines()
    tokens = sum(sample.num_tokens for sample in rest)
    assert lines[-3:] == [
        "⟪<|im_start|>⟫",
        f"... not shown: {second.num_tokens - 1} more tokens of this sample",
        f"... not shown: {len(rest)} more samples with {tokens} tokens",
    ]


def test_a_long_line_is_not_wrapped(dataset_writer, tmp_path: Path):
    words = "word " * 60 + "end"
    ds = open_dataset(
        dataset_writer(tmp_path / "out", {"train": [[[("user", words), ("assistant", "yo")]]]}, seq_len=512)
    )
    out = console(styled=False, width=20)
    print_row(ds, 0, out)
    assert f"{words}⟪<|im_end|>⟫↵" in printed(out).splitlines()


def test_an_ascii_terminal_gets_escapes_instead_of_an_error(ds: Dataset):
    file = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    print_row(ds, 0, Console(file=file))
    file.flush()
    assert rb"\u4f60\u597d" in file.buffer.getvalue()


def test_a_missing_row_is_a_one_line_error(ds: Dataset):
    with pytest.raises(DatasetError, match=r"has no sequence 7; sequences are numbered 0 to 2$"):
        print_row(ds, 7, console(styled=False))


def test_the_printed_summary_is_the_repr(ds: Dataset):
    out = console(styled=False, width=100)
    print_summary(ds, out)
    assert printed(out).rstrip("\n") == repr(ds)


def test_names_from_the_files_do_not_reach_the_terminal_raw(ds: Dataset):
    tokenizer = ds.manifest.tokenizer.model_copy(update={"source": "\x1b]0;evil\x07[red]"})
    out = console(styled=False)
    print_summary(Dataset(ds.path, ds.manifest.model_copy(update={"tokenizer": tokenizer})), out)
    assert "tokenizer ␛]0;evil␇[red]" in printed(out)
