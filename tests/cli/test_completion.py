"""What the Tab key completes, in the shells' own words."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import ready_python

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with some data files."""
    for name in ("chats.jsonl", "check.csv", ".hidden.jsonl"):
        (tmp_path / name).touch()
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "a.jsonl").touch()
    return tmp_path


def complete(folder: Path, variables: dict[str, str]) -> list[str]:
    """What the program prints for a shell."""
    done = subprocess.run(
        [*ready_python(), "-c", "from sftdata.cli.app import main; main()"],
        cwd=folder,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stderr == ""
    return done.stdout.splitlines()


def in_bash(folder: Path, line: str) -> list[str]:
    """The words that bash gets for a line, which it cuts at = too."""
    words = line.replace("=", " = ").split() + ([""] if line.endswith(" ") else [])
    variables = {
        "_SFTDATA_COMPLETE": "complete_bash",
        "COMP_WORDS": "\n".join(words),
        "COMP_CWORD": str(len(words) - 1),
    }
    return complete(folder, variables)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("sftdata ver", ["verify"]),
        ("sftdata prepare chats.jsonl pack.", ["pack.seq_len=", "pack.strategy="]),
        ("sftdata prepare chats.jsonl overl", ["overlong=", "overlong=drop", "overlong=split", "overlong=truncate"]),
        ("sftdata prepare chats.jsonl overlong=", ["drop", "split", "truncate"]),
        ("sftdata prepare chats.jsonl overlong=tr", ["truncate"]),
        ("sftdata prepare chats.jsonl pack.seq_len=", ["2048"]),
        ("sftdata prepare chats.jsonl template=qwen", ["qwen2.5", "qwen3", "qwen3.5"]),
        ("sftdata prepare chats.jsonl sources.0.format=s", ["sharegpt"]),
        ("sftdata check filters=", ["off", "default", "strict"]),
        ("sftdata prepare chats", ["chats.jsonl"]),
        ("sftdata prepare raw/", ["raw/a.jsonl"]),
        ("sftdata init c", ["chats.jsonl", "check.csv"]),
        ("sftdata prepare chats.jsonl --format ren", ["rendered"]),
        ("sftdata prepare chats.jsonl --encoder ", ["auto", "fast", "hf"]),
        ("sftdata prepare chats.jsonl --sys", ["--system"]),
        ("sftdata reasons over", ["overlong", "over_cap", "over_max_records", "over_weight"]),
        ("sftdata templates show chat", ["chatml"]),
        ("sftdata templates check smol", ["smollm3"]),
        ("sftdata formats al", ["alpaca"]),
        ("sftdata settings dedup.ne", ["dedup.near"]),
        ("sftdata settings cutoff", ["cutoff_len"]),
    ],
)
def test_bash_completes_settings_values_files_and_names(line: str, words: list[str], folder: Path) -> None:
    found = in_bash(folder, line)
    assert set(words) <= set(found)
    if line != "sftdata settings dedup.ne":
        assert sorted(found) == sorted(words)


def test_a_prefix_of_files_and_settings_gives_both(folder: Path) -> None:
    assert in_bash(folder, "sftdata prepare ch") == [
        "chats.jsonl",
        "check.csv",
        "check_tool_calls=",
        "chat_template_kwargs=",
    ]


def test_bash_itself_completes_with_the_script_that_is_shown(folder: Path) -> None:
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("no bash")
    (folder / "bin").mkdir()
    program = folder / "bin" / "sftdata"
    program.write_text(f"#!{sys.executable}\nfrom sftdata.cli.app import main\nmain()\n")
    program.chmod(0o755)
    script = """
        source <(_SFTDATA_COMPLETE=source_bash sftdata)
        COMP_WORDS=(sftdata prepare chats.jsonl overlong = sp); COMP_CWORD=5
        _sftdata_completion sftdata
        echo "${COMPREPLY[@]}"
    """
    environment = {**os.environ, "PATH": f"{program.parent}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    done = subprocess.run([bash, "-c", script], cwd=folder, env=environment, capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("split\n", "")


def test_install_completion_writes_the_script_for_the_shell_that_runs_it(folder: Path) -> None:
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("no bash")
    command = f"{sys.executable} -c 'from sftdata.cli.app import main; main()' --install-completion; true"
    environment = {**os.environ, "HOME": str(folder), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [bash, "-c", command], cwd=folder, env=environment, capture_output=True, text=True, timeout=60
    )
    assert done.stderr == ""
    assert "completion installed in" in done.stdout
    assert "_SFTDATA_COMPLETE=complete_bash" in (folder / ".bash_completions" / "sftdata.sh").read_text()
    assert f"source '{folder}/.bash_completions/sftdata.sh'" in (folder / ".bashrc").read_text()
