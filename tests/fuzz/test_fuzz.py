"""The fuzzer works: a short run of each target finds nothing, and a failure is printed with what runs it again."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from fuzz import TARGETS

PROGRAM = Path(__file__).resolve().parent / "fuzz.py"
PLANTED = """
import ctypes, os, signal
from hypothesis import strategies as st
from hangs import no_hang
EXAMPLES = st.lists(st.integers(0, 1000), max_size=3)

def check(example):
    if sum(example) > 500:
        {}
"""


def fuzz(*arguments: str, path: Path | None = None) -> tuple[int, str]:
    """The exit code of the program, and what it prints."""
    env = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, [str(path or ""), os.environ.get("PYTHONPATH", "")])),
    }
    run = subprocess.run([sys.executable, str(PROGRAM), *arguments], capture_output=True, text=True, env=env)
    return run.returncode, run.stdout + run.stderr


def planted(folder: Path, fault: str) -> tuple[int, str]:
    """What is found by a target with a fault in it."""
    (folder / "planted_target.py").write_text(PLANTED.format(fault))
    return fuzz("planted_target", "--rounds", "1", "--seed", "7", path=folder)


@pytest.mark.parametrize("name", TARGETS)
def test_a_short_run_finds_nothing(name: str) -> None:
    code, said = fuzz(name, "--rounds", "1", "--seed", "0", "--examples", "25")
    assert code == 0, said
    assert f"{name}: 25 examples, 1 rounds" in said


def test_what_fails_is_printed_as_small_as_can_be_with_what_runs_it_again(tmp_path: Path) -> None:
    code, said = planted(tmp_path, "raise ValueError('too much')")
    assert code == 1
    assert "ValueError: too much" in said and "the example: [501]" in said
    assert "tests/fuzz/fuzz.py planted_target --rounds 1 --seed 7 --examples 200" in said


def test_what_hangs_is_found(tmp_path: Path) -> None:
    fault = "\n            ".join(["with no_hang(0.02):", "    while True:", "        pass"])
    code, said = planted(tmp_path, fault.replace("\n            ", "\n        "))
    assert code == 1
    assert "takes more than 0.02 seconds of processor time" in said and "the example: " in said


def test_what_ends_the_process_is_found(tmp_path: Path) -> None:
    code, said = planted(tmp_path, "ctypes.string_at(0)")
    assert code == 1
    assert "planted_target: FOUND SOMETHING (ended with -11)" in said and "--rounds 1 --seed 7" in said
    assert "planted_target.py" in said  # where it was, from faulthandler
