"""The command line: end to end in separate processes, and error messages in this process."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import call, ready_python

import sftdata

ROWS = [
    {"prompt": "What is 1?", "completion": "It is 1."},
    {"prompt": "What is 1?", "completion": "It is 1."},
    {"prompt": "What is 2?", "completion": " "},
    {"prompt": "What is 3?", "completion": "It is 3."},
]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return path


def run(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*ready_python(), "-m", "sftdata", *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=cwd,
        timeout=120,
    )


def tree(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_a_note_on_the_sources_is_read_once_wherever_the_output_goes(
    data: Path, tiny_tokenizer: Path, tmp_path: Path
) -> None:
    (tmp_path / "raw").mkdir()
    shutil.copy(data, tmp_path / "raw" / "train.jsonl")
    shutil.copy(data, tmp_path / "raw" / "test.jsonl")
    note = "raw: the split train is read (train.jsonl), not test.jsonl (test)"
    apart = run("prepare", "raw", "--tokenizer", tiny_tokenizer, "--out", "a", cwd=tmp_path)
    assert [apart.stderr.splitlines(), apart.stdout.count(note)] == [[note], 1]
    together = subprocess.run(
        [sys.executable, "-m", "sftdata", "prepare", "raw", "--tokenizer", str(tiny_tokenizer), "--out", "b"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=tmp_path,
        timeout=120,
    )
    assert (together.returncode, together.stdout.splitlines()[0], together.stdout.count(note)) == (0, note, 1)
    assert sftdata.open(tmp_path / "b").manifest.notes == (note,)


def test_a_file_and_two_options_are_enough_and_the_summary_accounts_for_every_row(
    data: Path, tiny_tokenizer: Path, tmp_path: Path
) -> None:
    done = run("prepare", "a.jsonl", "--tokenizer", tiny_tokenizer, "--out", "shards", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    lines = [line.split() for line in done.stdout.splitlines()]
    assert ["rows", "read", "4"] in [line[:3] for line in lines]
    assert ["validate", "empty_answer", "-1"] in [line[:3] for line in lines]
    assert ["dedup", "duplicate", "-1"] in [line[:3] for line in lines]
    assert next(line for line in lines if line[:2] == ["dedup", "duplicate"])[5] == "a.jsonl:2"
    assert ["packed", "2"] in [line[:2] for line in lines]
    assert [line for line in lines if "rows/s" in line]
    checked = run("verify", "shards", cwd=tmp_path)
    assert (checked.returncode, checked.stderr) == (0, "")
    assert "4 rows read = 2 packed + 2 dropped" in checked.stdout


def test_two_runs_and_one_or_two_workers_give_the_same_folder(tiny_tokenizer: Path, tmp_path: Path) -> None:
    lines = [json.dumps({"prompt": f"Question {n}", "completion": "The quick brown fox. " * 33}) for n in range(3300)]
    (tmp_path / "a.jsonl").write_text("\n".join(lines))  # 2.4 MB: two units, because UNIT_BYTES is 2 MB
    shutil.copytree(tiny_tokenizer, tmp_path / "tok")
    (tmp_path / "c.yaml").write_text("tokenizer: nowhere\nsources: [a.jsonl]\nout: nowhere\n")
    (tmp_path / "elsewhere").mkdir()
    for out, workers, cwd in (("o1", 1, "."), ("o2", 2, "elsewhere"), ("o3", 2, ".")):
        config, out, tokenizer = (os.path.relpath(tmp_path / name, tmp_path / cwd) for name in ("c.yaml", out, "tok"))
        changes = ("out.shard_tokens=200000", "pack.seq_len=1024", "--tokenizer", tokenizer)
        done = run("prepare", config, "--out", out, "--workers", workers, *changes, cwd=tmp_path / cwd)
        assert done.returncode == 0, done.stderr
    trees = [tree(tmp_path / out) for out in ("o1", "o2", "o3")]
    assert (
        len([name for name in trees[0] if name.startswith("train/")]) > 2
    )  # out.shard_tokens applies together with --out
    assert str(tmp_path) not in (tmp_path / "o1" / "manifest.json").read_text()
    assert trees[0] == trees[1] == trees[2]


def test_a_config_with_three_mistakes_reports_all_three(data: Path, tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("sources: [{path: a.jsonl, fromat: auto}]\nout: shards\npack: {seq_len: many}\n")
    done = run("prepare", "c.yaml", cwd=tmp_path)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    for part in ("3 problems", "tokenizer is required", "sources.0.fromat", "did you mean", "pack.seq_len"):
        assert part in done.stderr
    assert not (tmp_path / "shards").exists()


def prepare(tokenizer: Path, *arguments: object) -> tuple[int, str]:
    """Exit code and stderr of `prepare`. A tokenizer in the arguments overrides the first."""
    code, _, error = call("prepare", "--tokenizer", tokenizer, "--workers", 1, *arguments)
    return code, error


def test_user_errors_are_one_line_with_exit_code_1_and_leave_no_dataset(
    data: Path, tiny_tokenizer: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty.jsonl").write_text("")
    (tmp_path / "keys.jsonl").write_text('{"question": "Hi", "answer": "Hello"}\n')
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "thesis.tex").write_text("")
    shutil.copytree(tiny_tokenizer, "open")
    (tmp_path / "open" / "chat_template.jinja").write_text("{% for m in messages %}{{ m.content }}{% endfor %}")
    cases: list[tuple[list[object], str]] = [
        (["a.jsnl", "--out", "o"], "a.jsnl: no such file or folder; did you mean a.jsonl?"),
        (["empty.jsonl", "--out", "o"], "empty.jsonl: holds no rows"),
        (["keys.jsonl", "--out", "o"], "columns: {prompt: question, completion: answer}"),
        (["a.jsonl", "--out", "a.jsonl"], "a.jsonl: is a file"),
        (["a.jsonl", "--out", "a.jsonl/o"], "a part of this path is a file"),
        (["a.jsonl", "--out", "taken"], "is not empty and holds no dataset (it has thesis.tex)"),
        (["a.jsonl", "--out", "/proc/o"], "/proc/o: the folder cannot be made"),
        (
            ["a.jsonl", "--out", "s3://key:word@bucket/o"],
            "s3://bucket/o: has a password, a token or a signature in its address",
        ),
        (["a.jsonl", "--out", "o", "--tokenizer", "nowhere/at/all"], "nowhere/at/all: there is no such folder"),
        (["a.jsonl", "--out", "o", "--tokenizer", "open"], "writes no end-of-turn token"),
        (["a.jsonl", "--out", "o", "template=chatmll"], "chatmll: is neither a built-in template nor a readable file"),
        (["a.jsonl", "--out", "o", "pack.seqlen=9"], "did you mean pack.seq_len?"),
        (["a.jsonl"], "out is required"),
        (["--out", "o", "seed=1"], "no data is given"),
        (["missing.yaml"], "missing.yaml: No such file or directory"),
    ]
    before = sorted(path.name for path in tmp_path.iterdir())
    for arguments, sentence in cases:
        code, error = prepare(tiny_tokenizer, *arguments)
        assert code == 1, (arguments, error)
        assert sentence in error, arguments
        assert len(error.splitlines()) == 1, error
        if (tmp_path / "o").exists():  # a next run may reuse what was read
            assert [path.name for path in (tmp_path / "o").iterdir()] == [".work"]
            assert "keys.jsonl" in arguments
            shutil.rmtree("o")
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_an_existing_dataset_is_replaced_only_with_overwrite(data: Path, tiny_tokenizer: Path, tmp_path: Path) -> None:
    out = tmp_path / "o"
    assert prepare(tiny_tokenizer, data, "--out", out)[0] == 0
    before = tree(out)
    code, error = prepare(tiny_tokenizer, data, "--out", out, "pack.seq_len=64")
    assert (code, "--overwrite" in error) == (1, True)
    assert tree(out) == before
    assert prepare(tiny_tokenizer, data, "--out", out, "pack.seq_len=64", "--overwrite")[0] == 0
    assert tree(out) != before
    assert sftdata.verify(out).packed == 2


def test_a_run_that_packs_no_row_exits_with_1_and_prints_the_reasons(tiny_tokenizer: Path, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(json.dumps(ROWS[2]))
    arguments = ("--tokenizer", tiny_tokenizer, "--out", tmp_path / "o", "--workers", 1)
    code, output, error = call("prepare", tmp_path / "a.jsonl", *arguments)
    assert code == 1
    assert ["validate", "empty_answer", "-1"] in [line.split()[:3] for line in output.splitlines()]
    assert "no row was packed" in error


def test_verify_exits_with_1_and_reports_what_is_wrong(data: Path, tiny_tokenizer: Path, tmp_path: Path) -> None:
    out = tmp_path / "o"
    assert call("verify", tmp_path)[0] == 1
    assert prepare(tiny_tokenizer, data, "--out", out)[0] == 0
    shard = out / "train" / "00000-of-00001.arrow"
    corrupted = bytearray(shard.read_bytes())
    corrupted[len(corrupted) // 2] ^= 1
    shard.write_bytes(corrupted)
    code, _, error = call("verify", out)
    assert code == 1
    assert "does not match its checksum in the manifest" in error
    assert len(error.splitlines()) == 1


def test_inspect_shows_a_row(data: Path, tiny_tokenizer: Path, tmp_path: Path) -> None:
    assert prepare(tiny_tokenizer, data, "--out", tmp_path / "o")[0] == 0
    code, output, _ = call("inspect", tmp_path / "o")
    assert code == 0
    assert "It is 1." in output


def test_version_and_help() -> None:
    assert call("--version")[1] == f"sftdata {sftdata.__version__}\n"
    output = call("--help")[1]
    assert all(command in output for command in ("prepare", "verify", "inspect"))


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["prepare", "a.jsonl", "--workers", "x"], "sftdata: --workers: "),
        (["prepare", "a.jsonl", "--workers", "0"], "sftdata: --workers: "),
        (["prepare", "a.jsonl", "--seq-len", "many"], "sftdata: --seq-len: "),
        (["prepare", "a.jsonl", "--tokenizer"], "sftdata: --tokenizer: "),
        (["prepare", "a.jsonl", "--sequence", "4"], "sftdata: no such option: --sequence"),
        (["check"], "sftdata: missing argument"),
        (["verify"], "sftdata: missing argument 'DATASET'; see sftdata verify --help"),
        (["inspect", "shards", "--row", "first"], "sftdata: --row: "),
        (["why", "shards"], "sftdata: missing argument 'ROW'"),
        (["nothing"], "sftdata: no such command 'nothing'; see sftdata --help"),
        (["templates", "nothing"], "sftdata: no such command 'nothing'; see sftdata templates --help"),
    ],
)
def test_a_wrong_argument_is_one_sentence_and_exit_code_1(arguments: list[str], sentence: str) -> None:
    code, output, error = call(*arguments, program="sftdata")
    assert (code, output, len(error.splitlines())) == (1, "", 1)
    assert error.startswith(sentence)


@pytest.mark.parametrize("share", ["60%", "0.6", " 60 % "])
def test_a_share_is_a_number_or_a_percentage(
    share: str, data: Path, tiny_tokenizer: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert prepare(tiny_tokenizer, "a.jsonl", "--out", "o", "--max-dropped", share) == (0, "")  # 2 of 4 are dropped
    assert json.loads((tmp_path / "o" / "manifest.json").read_text())["config"]["max_dropped"] == 0.6


def test_a_share_below_that_of_the_dropped_rows_and_what_is_no_share_exit_with_1(
    data: Path, tiny_tokenizer: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    code, error = prepare(tiny_tokenizer, "a.jsonl", "--out", "o", "--max-dropped", "40%")
    assert (code, "2 of 4 rows are dropped (50.0%: " in error) == (1, True)
    for wrong in ("some", "140%", "10", "-0.1", "nan", "true"):
        code, error = prepare(tiny_tokenizer, "a.jsonl", "--out", "o", "--max-dropped", wrong)
        shown = "command line: max_dropped: must be a share from 0 to 1, such as 0.1 or 10% (got "
        assert (code, error.startswith(f"sftdata: {shown}")) == (1, True), error


def test_a_template_that_is_not_there_is_refused_with_the_names_and_what_else_there_is(
    data: Path, tiny_tokenizer: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    code, error = prepare(tiny_tokenizer, "a.jsonl", "--out", "o", "template=nope")
    assert code == 1
    assert error.startswith(
        "sftdata: nope: is neither a built-in template nor a readable file; give the path of a template file, "
        "auto or default for the tokenizer's own, or a built-in template: alpaca, apertus, chatml, "
    )
