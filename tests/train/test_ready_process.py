"""The program that stands in for `python` in these tests does what `python` does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from processes import is_alive
from ready_process import IS_POSSIBLE, python_that_is_ready

pytestmark = pytest.mark.skipif(not IS_POSSIBLE, reason="elsewhere than on Linux, it is `python`")


@pytest.fixture(scope="module")
def ready() -> Iterator[list[str]]:
    with python_that_is_ready(["colorsys"], dict(os.environ)) as command:
        yield command


def run(command: list[str], *arguments: str, **more: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*command, *arguments], text=True, capture_output=True, timeout=60, **more)  # type: ignore[call-overload,no-any-return]


SHOWS = """
import os, sys
print(sys.argv, __name__, os.getcwd(), os.environ["SHOWN"], sys.stdin.read(), sys.stdout.encoding)
print("said", file=sys.stderr)
sys.exit(3)
"""


@pytest.mark.parametrize("way", ["code", "script", "module"])
def test_arguments_folder_environment_streams_and_exit_code(ready: list[str], tmp_path: Path, way: str) -> None:
    (tmp_path / "shows.py").write_text(SHOWS)
    arguments = {"code": ["-c", SHOWS], "script": ["shows.py"], "module": ["-m", "shows"]}[way]
    more = {"cwd": tmp_path, "env": {**os.environ, "SHOWN": "yes"}, "input": "given"}
    done, expected = (run(command, *arguments, "-x", "1", **more) for command in (ready, [sys.executable]))
    assert (done.returncode, done.stdout, done.stderr) == (3, expected.stdout, "said\n")
    assert "'-x', '1'] __main__" in done.stdout


def test_its_modules_are_loaded_and_what_one_process_changes_no_other_sees(ready: list[str]) -> None:
    code = "import sys; print('colorsys' in sys.modules, hasattr(sys.modules['colorsys'], 'mine'))"
    assert run(ready, "-c", f"{code}; import colorsys; colorsys.mine = 1").stdout == "True False\n"
    assert run(ready, "-c", code).stdout == "True False\n"


def test_what_is_drawn_at_random_is_drawn_anew(ready: list[str]) -> None:
    drawn = {run(ready, "-c", "import random; print(random.random())").stdout for _ in range(2)}
    assert len(drawn) == 2


def test_an_error_has_its_traceback(ready: list[str]) -> None:
    done = run(ready, "-c", "1 / 0")
    assert done.returncode == 1
    assert "Traceback (most recent call last):\n" in done.stderr
    assert done.stderr.endswith("ZeroDivisionError: division by zero\n")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGABRT])
def test_it_ends_by_the_signal_that_ends_the_process(ready: list[str], number: int) -> None:
    assert run(ready, "-c", f"import os; os.kill(os.getpid(), {number})").returncode == -number


def test_a_signal_for_it_reaches_the_process(ready: list[str]) -> None:
    code = "import time\ntry:\n print(flush=True)\n time.sleep(60)\nexcept KeyboardInterrupt:\n print('stopped')"
    with subprocess.Popen([*ready, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "\n"
        process.send_signal(signal.SIGINT)
        assert process.stdout.read() == "stopped\n"
    assert process.returncode == 0


def test_if_it_is_killed_the_process_is(ready: list[str]) -> None:
    code = "import os, time; print(os.getpid(), flush=True); time.sleep(60)"
    with subprocess.Popen([*ready, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        number = int(process.stdout.readline())
        assert is_alive(number)
        process.kill()
        assert process.stdout.read() == ""  # until the last process that holds the stream is gone
