"""`--engine ray` without an address: Ray on this machine alone, which the command starts and ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from processes import processes_below, wait_until_gone
from raw_rows import chat, write_lines

pytest.importorskip("ray", reason="the extra `ray` is not installed")
pytestmark = [
    pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="this system does not list processes"),
    pytest.mark.skipif(sys.version_info < (3, 11), reason="before, the current folder is always on the path of Python"),
]
ROOT = Path(__file__).resolve().parents[2]
SMALL_UNITS = "from sftdata.cli.app import main; from sftdata.pipeline import read; read.UNIT_BYTES = 2000; main()"


@pytest.fixture
def user(tmp_path: Path, tiny_tokenizer: Path) -> Path:
    """A folder of a user with data, and with files named like libraries that workers import."""
    write_lines(tmp_path / "chats.jsonl", [chat(f"What is {n}?", f"It is {n}. " * 5) for n in range(200)])
    (tmp_path / "home").mkdir()
    for name in ("pandas", "orjson", "secrets", "pickle", "jinja2"):
        (tmp_path / f"{name}.py").write_text("import pathlib\npathlib.Path('run').touch()\n", encoding="utf-8")
    return tmp_path


def command(user: Path, tokenizer: Path, out: str, *more: str) -> subprocess.Popen[str]:
    """The command line, in the folder of the user."""
    arguments = ["prepare", "chats.jsonl", "--tokenizer", str(tokenizer), "--out", out, "pack.seq_len=64", *more]
    hidden = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    return subprocess.Popen(
        [sys.executable, "-P", "-c", SMALL_UNITS, *arguments],
        cwd=user,
        env={**hidden, "PYTHONPATH": str(ROOT), "HOME": str(user / "home")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_command_that_is_killed_leaves_no_process_and_is_continued_to_the_same_bytes(
    user: Path, tiny_tokenizer: Path
) -> None:
    plain = command(user, tiny_tokenizer, "plain", "--workers", "1")
    assert (plain.wait(), plain.communicate()[1].count("Ray")) == (0, 0)

    killed = command(user, tiny_tokenizer, "out", "--workers", "1", "--engine", "ray")
    deadline = time.monotonic() + 120
    while not list(user.glob("out/.work/pieces/read/*.arrow")):
        assert killed.poll() is None, killed.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    # Ray's two agents of a node look for their parent only now and then.
    started = {pid for pid, line in processes_below(killed.pid).items() if "Agent" not in line}
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    assert len(started) > 2
    wait_until_gone(started, 60)
    assert not (user / "out" / "manifest.json").exists()

    again = command(user, tiny_tokenizer, "out", "--workers", "2", "--engine", "ray")
    _, said = again.communicate()
    assert again.returncode == 0, said
    assert "Ray: 1 node with 2 processors\n" in said
    assert "done by an earlier run" in said
    assert files(user / "out") == files(user / "plain")
    assert list((user / "home").iterdir()) == []  # no token, no settings
    assert not (user / "run").exists()  # nothing of the user's folder was imported
