"""`init` and `check --write` write settings files that run; how data files are read can be said beside them."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from command_line import call

import sftdata
from sftdata.config import load_config

MODEL = "HuggingFaceTB/SmolLM2-135M-Instruct"  # a folder of this name holds a tiny tokenizer
CHATS = [
    {"messages": [{"role": "user", "content": "What is 1?"}, {"role": "assistant", "content": "One."}]},
    {"messages": [{"role": "user", "content": "What is 2?"}, {"role": "assistant", "content": "Two."}]},
    {"messages": [{"role": "user", "content": "What is 1?"}, {"role": "assistant", "content": "One."}]},
    {"messages": [{"role": "user", "content": "What is 3?"}]},
]


def lines(rows: list[object]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


@pytest.fixture
def here(tmp_path: Path, tiny_tokenizer: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with data of several shapes."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    shutil.copytree(tiny_tokenizer, tmp_path / MODEL)
    (tmp_path / "chats.jsonl").write_text(lines(CHATS))
    (tmp_path / "exam.jsonl").write_text(lines([{"prompt": "What is 2?", "completion": "Two."}]))
    (tmp_path / "questions.csv").write_text(
        "question,answer,user_id\nWhat is 4?,It is four.,7\nWhat is 5?,It is five.,8\n"
    )
    (tmp_path / "notes.jsonl").write_text(
        lines([{"text": "A note that is long enough."}, {"text": "Another one here."}])
    )
    (tmp_path / "mixed.jsonl").write_text(lines([*CHATS[:1], {"prompt": "What is 6?", "completion": "Six."}]))
    (tmp_path / "odd.jsonl").write_text(lines([{"foo": 1, "bar": 2}]))
    (tmp_path / "sub").mkdir()
    return tmp_path


def run(*arguments: object) -> str:
    """Run a command that has to work."""
    code, output, error = call(*arguments, program="sftdata")
    assert code == 0, error
    return output


def next_commands(output: str) -> list[list[str]]:
    """The commands that are printed to go on with."""
    found = re.findall(r"^(?:next:| {5}) +(sftdata .*)$", output, flags=re.MULTILINE)
    return [shlex.split(command) for command in found]


def fate(folder: str) -> tuple[int, int]:
    """Rows read and packed."""
    manifest = sftdata.open(folder).manifest
    return manifest.counts.rows_read, manifest.counts.packed


def test_init_writes_the_formats_and_columns_that_it_finds_and_what_it_prints_works(here: Path) -> None:
    output = run("init", "chats.jsonl", "questions.csv", "notes.jsonl", "mixed.jsonl", "--tokenizer", MODEL)
    assert Path("prepare.yaml").read_text().splitlines()[:21] == [
        "# Written by `sftdata init chats.jsonl questions.csv notes.jsonl mixed.jsonl`.",
        "# `sftdata settings` lists all settings.",
        f"tokenizer: {MODEL}",
        "sources:",
        "  # 4 rows: messages",
        "  # would be dropped: no_answer 1",
        "  - path: chats.jsonl",
        "    format: messages",
        "  # 2 rows: prompt_completion",
        "  # not used: user_id; keep: [user_id] copies them into the ledger",
        "  - path: questions.csv",
        "    format: prompt_completion",
        "    columns: {prompt: question, completion: answer}",
        "  # 2 rows: text",
        "  - path: notes.jsonl",
        "    format: text",
        "  # 2 rows: messages 1, prompt_completion 1",
        "  - path: mixed.jsonl",
        "out: shards",
        "",
        "# More, each off unless it is turned on. `sftdata check` says what of it these",
    ]
    commands = next_commands(output)
    assert [command[1] for command in commands] == ["check", "prepare"]
    for command in commands:
        run(*command[1:])
    assert fate("shards") == (10, 7)  # a row without an answer, and two that repeat the first


def test_the_settings_that_init_shows_as_comments_work_without_the_mark(here: Path) -> None:
    run("init", "chats.jsonl", "--tokenizer", MODEL)
    text = Path("prepare.yaml").read_text()
    shown = re.findall(r"^# (\w+: .*?)  +# ", text, flags=re.MULTILINE)
    assert [line.partition(":")[0] for line in shown] == ["filters", "privacy", "dedup", "decontaminate", "split"]
    Path("prepare.yaml").write_text(text + "".join(f"{line}\n" for line in shown))
    config = load_config("prepare.yaml")
    assert (config.filters.preset, config.privacy.mode, config.split.validation) == ("default", "redact", 0.01)
    assert config.dedup.near is not None


def test_without_a_tokenizer_the_next_command_says_that_it_is_needed(here: Path) -> None:
    commands = next_commands(run("init", "chats.jsonl"))
    assert commands[1] == ["sftdata", "prepare", "prepare.yaml", "--tokenizer", "FOLDER_OR_HUB_ID"]
    run(*commands[1][1:-1], MODEL)
    assert "# tokenizer: HuggingFaceTB/" in Path("prepare.yaml").read_text()


def test_paths_are_relative_to_the_file_that_is_written(here: Path) -> None:
    run(
        "init",
        "chats.jsonl",
        "*.csv",
        here / "notes.jsonl",
        "--tokenizer",
        MODEL,
        "--out",
        "made",
        "--write",
        "sub/a.yaml",
    )
    written = yaml.safe_load(Path("sub/a.yaml").read_text())
    assert [source["path"] for source in written["sources"]] == [
        "../chats.jsonl",
        "../*.csv",
        str(here / "notes.jsonl"),
    ]
    assert (written["tokenizer"], written["out"]) == (f"../{MODEL}", "../made")
    run("prepare", "sub/a.yaml")
    assert fate("made") == (8, 6)


def test_a_source_that_is_not_data_is_an_error_and_nothing_is_written(here: Path) -> None:
    for arguments, said in (
        (["odd.jsonl"], "odd.jsonl: none of its rows is a conversation; its rows have the keys foo, bar"),
        (["nothing.jsonl"], "nothing.jsonl: no such file or folder"),
        (["chats.jsonl", "--write", "data.jsonl"], "data.jsonl: is not the name of a settings file"),
        (["chats.jsonl", "--write", "none/a.yaml"], "none/a.yaml: cannot be written (No such file or directory)"),
        (["prepare.yaml"], "prepare.yaml: is a settings file; give data files"),
    ):
        code, _, error = call("init", *arguments, program="sftdata")
        assert (code, error.startswith(f"sftdata: {said}")) == (1, True), error
    assert list(here.glob("**/*.yaml")) == []
    assert [path.name for path in here.iterdir() if path.name.startswith(".")] == []


def test_a_settings_file_is_replaced_only_with_overwrite(here: Path) -> None:
    Path("prepare.yaml").write_text("mine\n")
    for command in (["init", "chats.jsonl"], ["check", "chats.jsonl", "--write", "prepare.yaml"]):
        code, _, error = call(*command, program="sftdata")
        assert (code, error) == (
            1,
            "sftdata: prepare.yaml: exists; add --overwrite to replace it, or name another file\n",
        )
        assert Path("prepare.yaml").read_text() == "mine\n"
    run("init", "chats.jsonl", "--overwrite")
    assert "chats.jsonl" in Path("prepare.yaml").read_text()


def test_check_writes_what_it_recommends_and_that_runs(here: Path) -> None:
    odd = {
        "messages": [{"role": "user", "content": "Mail?"}, {"role": "assistant", "content": "a@b-c.de <|endoftext|>"}]
    }
    Path("chats.jsonl").write_text(lines([*CHATS, odd]))
    columns = "sources.1.columns={prompt: question, completion: answer}"
    output = run("check", "chats.jsonl", "questions.csv", columns, "--against", "exam.jsonl", "--write", "sub/b.yaml")
    written = yaml.safe_load(Path("sub/b.yaml").read_text())
    assert written["sources"] == [
        {"path": "../chats.jsonl"},
        {"path": "../questions.csv", "columns": {"prompt": "question", "completion": "answer"}},
    ]
    assert written["decontaminate"] == {"against": [{"path": "../exam.jsonl"}]}
    assert {"clean", "privacy", "dedup"} <= written.keys()
    assert "# rows: duplicate 1" in Path("sub/b.yaml").read_text()
    check, prepare = next_commands(output)
    run(*check[1:])
    run(*prepare[1:-1], MODEL)
    assert fate("sub/shards") == (7, 4)  # no answer, a duplicate, a row of the exam


def test_check_writes_tokenizer_and_output_folder_and_its_own_settings_if_nothing_is_found(here: Path) -> None:
    output = run(
        "check",
        "questions.csv",
        "--columns",
        "prompt=question,completion=answer",
        "pack.seq_len=64",
        "--tokenizer",
        MODEL,
        "--out",
        "made",
        "--write",
        "c.yaml",
    )
    assert yaml.safe_load(Path("c.yaml").read_text()) == {
        "tokenizer": MODEL,
        "sources": [{"path": "questions.csv", "columns": {"prompt": "question", "completion": "answer"}}],
        "pack": {"seq_len": 64},
        "out": "made",
    }
    run(*next_commands(output)[1][1:])
    assert fate("made") == (2, 2)


def test_what_check_prints_is_what_it_writes(here: Path) -> None:
    shown = yaml.safe_load(run("check", "chats.jsonl").partition("\n\n# The settings")[2].partition("\n")[2])
    run("check", "chats.jsonl", "--write", "d.yaml")
    written = yaml.safe_load(Path("d.yaml").read_text())
    assert written == shown == {"sources": [{"path": "chats.jsonl"}], "dedup": {"exact": True}, "out": "shards"}


READ = ["--tokenizer", MODEL, "--workers", "1"]


def test_columns_format_and_system_are_those_of_data_files(here: Path) -> None:
    Path("b.csv").write_text(Path("questions.csv").read_text().replace("four", "4").replace("five", "5"))
    options = [
        "--columns",
        "prompt=question, completion=answer",
        "--format",
        "prompt_completion",
        "--system",
        "Be brief.",
    ]
    run("prepare", "questions.csv", "b.csv", *options, *READ, "--out", "a")
    sources = sftdata.open("a").manifest.config["sources"]
    assert [(one["columns"], one["format"], one["system"]) for one in sources] == [
        ({"prompt": "question", "completion": "answer"}, "prompt_completion", "Be brief.")
    ] * 2
    assert fate("a") == (4, 4)
    run("prepare", "questions.csv", "--columns", "{prompt: question, completion: answer}", *READ, "--out", "b")
    assert fate("b") == (2, 2)
    run("check", "questions.csv", "--columns", "prompt=question,completion=answer")


def test_split_is_the_one_to_read(here: Path) -> None:
    Path("raw").mkdir()
    for name, row in (("train", CHATS[0]), ("test", CHATS[1])):
        Path("raw", f"{name}.jsonl").write_text(lines([row]))
    run("prepare", "raw", "--split", "test", *READ, "--out", "a")
    assert [row.where for row in sftdata.open("a").samples] == ["test.jsonl:1"]


def test_of_a_settings_file_they_are_those_of_its_only_source(here: Path) -> None:
    for text in (
        "sources: questions.csv",
        "sources: [questions.csv]",
        "sources: [{path: questions.csv, keep: [user_id]}]",
    ):
        Path("c.yaml").write_text(f"{text}\nout: o\n")
        run("prepare", "c.yaml", "--columns", "prompt=question,completion=answer", *READ, "--overwrite")
        assert fate("o") == (2, 2)


def test_with_several_sources_it_is_said_that_they_are_ambiguous_and_how_to_write_it(here: Path) -> None:
    Path("c.yaml").write_text("sources: [questions.csv, {path: chats.jsonl}]\nout: o\n")
    code, _, error = call(
        "prepare", "c.yaml", "--columns", "prompt=question,completion=answer", *READ, program="sftdata"
    )
    assert code == 1
    assert error.startswith(
        "sftdata: c.yaml: has 2 sources, and --columns does not say which of them it is for; write `"
    )
    first = re.search(r"`(.*?)` for questions\.csv", error)
    assert first is not None
    run("prepare", "c.yaml", *shlex.split(first[1]), *READ)
    assert fate("o") == (6, 4)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--columns", "prompt"], "--columns: 'prompt' is not a list of FIELD=COLUMN; write FIELD=COLUMN,FIELD=COLUMN"),
        (["--columns", "prompt=,completion=a"], "is not a list of FIELD=COLUMN"),
        (["--columns", "prompt=a,prompt=b"], "--columns: prompt is given twice"),
        (["--columns", "{prompt: [a]}"], "is not a mapping of names"),
        (["--columns", "question=prompt,answer=completion"], "write it as field: column"),
        (["--format", "alpacca"], "did you mean alpaca?"),
        (["--split", "0.1"], "to hold out rows for validation, write split.validation=0.1"),
        (["--split", "test"], "split: test does nothing for this source, which has no splits; remove split"),
    ],
)
def test_what_is_wrong_with_them_is_one_sentence(options: list[str], said: str, here: Path) -> None:
    code, _, error = call("prepare", "questions.csv", *options, *READ, "--out", "o", program="sftdata")
    assert (code, len(error.splitlines())) == (1, 1)
    assert said in error


def test_a_hub_id_that_is_not_in_the_cache_says_that_the_network_is_switched_off(here: Path) -> None:
    named = "HF_HUB_OFFLINE is set; unset HF_HUB_OFFLINE to download it, or check the name"
    for arguments, said in (
        (
            ["prepare", "chats.jsonl", "--tokenizer", "some-org/no-model", "--out", "o"],
            "some-org/no-model: is not a local",
        ),
        (
            ["check", "some-org/no-data"],
            "some-org/no-data: is neither a local file or folder nor in the cache of the hub",
        ),
        (["check", "hf://datasets/some-org/no-data"], "hf://datasets/some-org/no-data: is not in the cache of the hub"),
    ):
        code, _, error = call(*arguments, program="sftdata")
        assert code == 1
        assert error.startswith(f"sftdata: {said}")
        assert error.endswith(f"{named}\n")


@pytest.mark.parametrize(
    ("address", "module", "package"),
    [("https://example.com/a.jsonl", "aiohttp", "aiohttp"), ("s3://bucket/a.jsonl", "s3fs", "s3fs")],
)
def test_an_address_without_the_package_that_reads_it_names_the_package(
    address: str, module: str, package: str, here: Path
) -> None:
    Path("path").mkdir()
    Path("path", f"{module}.py").write_text("raise ImportError('not here')\n")
    done = subprocess.run(
        [sys.executable, "-m", "sftdata", "check", address],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": f"path{os.pathsep}{Path(sftdata.__file__).parents[1]}"},
        timeout=120,
    )
    what = f"needs a package that is not installed ({package}); pip install {package}\n"
    assert (done.returncode, done.stderr) == (1, f"sftdata: {address}: {what}")


def examples(*command: str) -> list[str]:
    """The examples in the help of a command, as commands of one line."""
    page = run(*command, "--help").partition("\nExamples:\n")[2].replace("\\\n", " ")
    return [" ".join(line.split()) for line in page.splitlines() if line.strip()]


def test_every_example_of_the_help_works(here: Path) -> None:
    answer = "HTTP 404 says that there is no such page, which is what a server answers. " * 4
    rows = [
        {"messages": [{"role": "user", "content": f"Question {n}"}, {"role": "assistant", "content": f"{n}: {answer}"}]}
        for n in range(200)
    ]
    Path("chats.jsonl").write_text(lines([*rows[:2], rows[0], *rows[2:]]))
    run("prepare", "chats.jsonl", *READ, "--out", "later-shards")
    commands = [
        "init",
        "check",
        "prepare",
        "verify",
        "inspect",
        "why",
        "diff",
        "formats",
        "settings",
        "reasons",
        "schema",
    ]
    found = [line for command in commands for line in examples(command)]
    found += [line for command in ("", "list", "show", "check") for line in examples("templates", *command.split())]
    assert len(found) > 25
    for line in found:
        words = shlex.split(line.partition(" > ")[0])
        assert words[0] == "sftdata"
        code, _, error = call(*words[1:], program="sftdata")
        assert code == 0, (line, error)


def test_no_password_of_an_address_is_written(here: Path) -> None:
    import fsspec

    address = "memory://me:hunter2@store/chats.jsonl"
    with fsspec.open(address, "w") as file:
        file.write(Path("chats.jsonl").read_text())
    for command in (["init", address, "--write", "a.yaml"], ["check", address, "--write", "b.yaml"]):
        run(*command)
        written = Path(command[-1]).read_text()
        assert "hunter2" not in written
        assert "memory://store/chats.jsonl" in written
    assert "Addresses are written without passwords and tokens" in " ".join(
        Path("b.yaml").read_text().replace("#", "").split()
    )
    assert "Addresses are written without passwords and tokens" in " ".join(
        Path("a.yaml").read_text().replace("#", "").split()
    )
