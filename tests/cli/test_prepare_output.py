"""What `prepare` and `verify` print: on terminals of several widths, in a pipe, as JSON, and where the reader stops."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import shlex
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest
from command_line import call, ready_python
from processes import read_terminal

from sftdata.view.layout import width_of

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="pseudo-terminals are of POSIX")

ROWS = [
    *({"prompt": f"What is {n}?", "completion": f"It is {n}.<|endoftext|>", "kind": "sum"} for n in range(20)),
    {"prompt": "What is 1?", "completion": "It is 1.<|endoftext|>", "kind": "sum"},
    {"prompt": "What is it?", "completion": " ", "kind": "none"},
    {"prompt": "Say much.", "completion": "word " * 900, "kind": "long"},
]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for name, rows in (("a.jsonl", ROWS), ("问答-数据.jsonl", [{"prompt": "Ja?", "completion": "Nein, nicht doch."}])):
        (tmp_path / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


def arguments(tokenizer: Path, *more: object) -> list[str]:
    sources = ("a.jsonl", "问答-数据.jsonl", "sources.0.keep=[kind]")
    return ["prepare", *sources, "--tokenizer", str(tokenizer), "--out", "out", "--overwrite", *map(str, more)]


def piped(folder: Path, command: list[str], **environment: str) -> subprocess.CompletedProcess[str]:
    python = [sys.executable] if "PYTHONIOENCODING" in environment else ready_python()
    return subprocess.run(
        [*python, "-m", "sftdata", *command],
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, **environment},
        timeout=120,
        check=False,
    )


def on_terminal(folder: Path, command: list[str], width: int, **environment: str) -> str:
    """What a command prints on a terminal of this width, as it was sent."""
    above, below = pty.openpty()
    fcntl.ioctl(below, termios.TIOCSWINSZ, struct.pack("HHHH", 50, width, 0, 0))
    kept = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES", "NO_COLOR")}
    run = subprocess.Popen(
        [*ready_python(), "-m", "sftdata", *command],
        stdin=below,
        stdout=below,
        stderr=below,
        cwd=folder,
        env={**kept, "TERM": "xterm-256color", **environment},
    )
    said = read_terminal(above, below)
    assert run.wait(timeout=120) == 0, said
    return said.decode().replace("\r\n", "\n")


def summary_of(text: str) -> list[str]:
    """The lines from the headline on, without styles and without what moves the cursor."""
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)
    return plain[plain.index("out: ") :].splitlines()


def test_in_a_pipe_the_summary_is_plain_text_of_one_width(data: Path, tiny_tokenizer: Path) -> None:
    runs = [piped(data, arguments(tiny_tokenizer), COLUMNS=width, TERM="xterm") for width in ("40", "200")]
    assert [run.returncode for run in runs] == [0, 0]
    assert [run.stderr for run in runs] == ["", ""]
    texts = [re.sub(r"\n[0-9.]+ s, .* rows/s\n", "\n", run.stdout) for run in runs]
    assert texts[0] == texts[1]
    lines = texts[0].splitlines()
    assert "\x1b" not in texts[0]
    assert all(width_of(line) <= 100 for line in lines)
    assert lines[0].startswith("out: 21 conversations -> 1 sequence of 2,048 (")
    found = [line.split()[:4] for line in lines]
    for expected in (
        ["rows", "read", "24"],
        ["validate", "empty_answer", "-1"],
        ["dedup", "duplicate", "-1"],
        ["pack", "overlong", "-1"],
        ["packed", "21"],
        ["a.jsonl", "23", "13.0%"],
        ["问答-数据.jsonl", "1", "0.0%"],
    ):
        assert expected in [words[: len(expected)] for words in found]


@pytest.mark.parametrize("width", [60, 80, 120, 160, 200])
def test_on_a_terminal_no_word_is_broken_and_no_line_is_too_long(data: Path, tiny_tokenizer: Path, width: int) -> None:
    plain = " ".join(piped(data, arguments(tiny_tokenizer)).stdout.split()).split()
    shown = on_terminal(data, arguments(tiny_tokenizer), width)
    lines = summary_of(shown)
    assert all(width_of(line) <= width for line in lines if " " in line.strip() and "set:" not in line), lines
    words = {word.strip("();:,") for line in lines for word in line.split()}
    of_text = {word.strip("();:,") for word in plain if re.fullmatch(r"[\w.<|>:/-]+[;:,]?", word)}
    numbers_of_time = {word for word in of_text if re.fullmatch(r"[\d.,]+", word)}
    names_of_optional_columns = {"of", "all", "shards"}
    assert of_text - words - numbers_of_time - names_of_optional_columns == set()


def test_a_terminal_gets_a_line_for_each_stage_colours_and_the_warnings_last(data: Path, tiny_tokenizer: Path) -> None:
    text = on_terminal(data, arguments(tiny_tokenizer), 100)
    parts = re.split(r"[\r\n]", re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text))
    found = (re.fullmatch(r"  (\w+) +(.*?) +\d+\.\d s *", part) for part in parts)
    stages = [match.groups() for match in found if match is not None]
    assert stages == [
        ("read", "24 rows, -1"),
        ("dedup", "-1"),
        ("encode", "22 samples"),
        ("pack", "1 sequence, -1"),
        ("write", "1 shard"),
    ]
    assert "\x1b[1;33mwarning: " in text  # yellow
    assert "\x1b[1;34m" not in text  # bold blue, which dark terminals do not show
    lines = summary_of(text)
    first = next(at for at, line in enumerate(lines) if line.startswith("warning: "))
    assert lines[-2].startswith(("next: ", "      "))
    assert all(line.startswith(("warning: ", "         ", "next: ", "      ")) or not line for line in lines[first:])


def test_no_color_and_a_dumb_terminal_are_heeded(data: Path, tiny_tokenizer: Path) -> None:
    grey = on_terminal(data, arguments(tiny_tokenizer), 100, NO_COLOR="1")
    codes = {code for found in re.findall(r"\x1b\[([0-9;]*)m", grey) for code in found.split(";")}
    assert codes <= {"", "0", "1", "2"}  # bold and dim
    dumb = on_terminal(data, arguments(tiny_tokenizer), 80, TERM="dumb")
    assert "\x1b" not in dumb and "\r" not in dumb
    assert re.search(r"^  read +24 rows, -1 +\d+\.\d s$", dumb, re.MULTILINE)
    assert "warning: 21 rows (91.3%) have an answer that ends in <|endoftext|>" in dumb


def test_json_is_one_object_with_the_numbers_counted_by_hand(data: Path, tiny_tokenizer: Path) -> None:
    done = piped(data, arguments(tiny_tokenizer, "--json"))
    assert (done.returncode, done.stderr) == (0, "")
    said = json.loads(done.stdout)
    assert said["schema_version"] == 1
    assert (said["dataset"], said["rows_read"], said["packed"], said["dropped"]) == ("out", 24, 21, 3)
    assert [(one["reason"], one["stage"], one["rows"], one["first"]) for one in said["reasons"]] == [
        ("empty_answer", "validate", 1, "a.jsonl:22"),
        ("duplicate", "dedup", 1, "a.jsonl:21"),
        ("overlong", "pack", 1, "a.jsonl:23"),
    ]
    assert said["reasons"][0]["share"] == pytest.approx(1 / 24)
    groups = {one["name"]: (one["rows"], one["packed"]) for one in said["groups"]}
    assert (said["by"], groups) == (None, {"a.jsonl": (23, 20), "问答-数据.jsonl": (1, 1)})
    assert sum(one["tokens"] for one in said["groups"]) == said["tokens"]
    assert sum(one["trained_tokens"] for one in said["groups"]) == said["trained_tokens"]
    (warning,) = (one for one in said["warnings"] if one["name"] == "foreign_ends")
    assert (warning["share"], warning["example"]) == (pytest.approx(21 / 23), "a.jsonl:1")
    assert warning["setting"] == "clean.strip_trailing_control=true"
    assert [one["stage"] for one in said["stages"]] == ["read", "dedup", "encode", "pack", "write"]
    assert [one["dropped"] for one in said["stages"]] == [1, 1, 0, 1, 0]
    assert said["seconds"] > 0
    by_kind = json.loads(piped(data, arguments(tiny_tokenizer, "--json", "--by", "kind")).stdout)
    groups = {one["name"]: (one["rows"], one["packed"]) for one in by_kind["groups"]}
    assert groups == {"sum": (21, 20), None: (1, 1), "none": (1, 0), "long": (1, 0)}


def test_quiet_prints_warnings_alone_to_stderr(data: Path, tiny_tokenizer: Path) -> None:
    done = piped(data, arguments(tiny_tokenizer, "--quiet"))
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.startswith("warning: 21 rows (91.3%) have an answer that ends in <|endoftext|>")
    assert all(line.startswith(("warning: ", "         ")) for line in done.stderr.splitlines())
    wrong = piped(data, arguments(tiny_tokenizer, "--quiet", "pack.seq_len=9"))
    assert wrong.returncode == 1
    assert "no row was packed, so the dataset that is there is kept" in wrong.stderr


def test_a_column_that_no_source_keeps_is_refused_before_anything_is_done(data: Path, tiny_tokenizer: Path) -> None:
    done = piped(data, arguments(tiny_tokenizer, "--by", "colour"))
    assert (done.returncode, (data / "out").exists()) == (1, False)
    assert done.stderr == ("sftdata: --by: no source keeps the column colour; add 'sources.0.keep=[kind, colour]'\n")
    assert piped(data, [*arguments(tiny_tokenizer, "--by", "colour"), "sources.0.keep=[kind, colour]"]).returncode == 1
    assert piped(data, [*arguments(tiny_tokenizer, "--by", "kind")]).returncode == 0


def test_a_reader_that_has_seen_enough_is_no_matter(data: Path, tiny_tokenizer: Path) -> None:
    command = shlex.join([sys.executable, "-m", "sftdata", *arguments(tiny_tokenizer)])
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command} | head -1"],
        capture_output=True,
        text=True,
        cwd=data,
        timeout=120,
        check=False,
    )
    assert (done.returncode in (0, 141), done.stderr, len(done.stdout.splitlines())) == (True, "", 1)


def test_the_settings_and_commands_that_are_printed_work(data: Path, tiny_tokenizer: Path) -> None:
    said = json.loads(piped(data, arguments(tiny_tokenizer, "--json")).stdout)
    for warning in said["warnings"]:
        if warning["setting"] is not None:
            again = piped(data, arguments(tiny_tokenizer, "--json", *shlex.split(warning["setting"])))
            assert again.returncode == 0, (warning, again.stderr)
    assert said["next"][0] == "sftdata inspect out"
    for command in said["next"]:
        program, *rest = shlex.split(command)
        assert program in ("sftdata", "sfttrain")
        if program == "sftdata":
            assert piped(data, rest).returncode == 0, command


def test_verify_lists_what_was_checked(data: Path, tiny_tokenizer: Path) -> None:
    assert piped(data, arguments(tiny_tokenizer)).returncode == 0
    lines = piped(data, ["verify", "out"]).stdout.splitlines()
    assert lines[:2] == ["out: all checks passed", ""]
    assert [line.split()[:3] for line in lines[2:5]] == [
        ["✓", "manifest", "1"],
        ["✓", "files", "6"],
        ["✓", "ledger", "24"],
    ]
    assert "24 rows read = 21 packed + 3 dropped" in lines[4]
    assert piped(data, ["verify", "out"], PYTHONIOENCODING="ascii").stdout.splitlines()[2].startswith("ok  manifest")
    said = json.loads(piped(data, ["verify", "out", "--json"]).stdout)
    assert (said["is_valid"], said["rows_read"], said["packed"], said["dropped"]) == (True, 24, 21, 3)
    (data / "out" / "more.txt").write_text("x")
    code, output, error = call("verify", data / "out", "--json")
    assert (code, json.loads(output)["is_valid"]) == (1, False)
    assert json.loads(output)["fault"]["what"] == "is not in the manifest"
    assert "is not in the manifest" in error
