"""The lock of a folder, held by real processes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sftdata.errors import OutputError
from sftdata.files.lock import FolderLock

HOLDER = """
import sys
from pathlib import Path
from sftdata.files.lock import FolderLock

lock = FolderLock(Path(sys.argv[1]), Path("x"))
lock.acquire()
print("held", flush=True)
sys.stdin.readline()
lock.remove()
"""


@contextmanager
def holder(path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that holds a lock, until it is sent a line or ended."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(path)], text=True, **pipes) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process


def test_a_lock_is_refused_while_it_is_held_and_free_when_its_process_was_killed(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with holder(path) as process:
        with pytest.raises(OutputError, match="out: another run is writing into this folder; wait for it"):
            FolderLock(path, tmp_path / "out").acquire()
        process.kill()
    assert path.exists()
    lock = FolderLock(path, tmp_path / "out")
    lock.acquire()
    lock.remove()
    assert not path.exists()


def test_a_removed_lock_is_free(tmp_path: Path) -> None:
    with holder(tmp_path / "lock") as process:
        process.communicate("end\n")
    assert process.returncode == 0
    assert list(tmp_path.iterdir()) == []
    lock = FolderLock(tmp_path / "lock", tmp_path)
    lock.acquire()
    lock.release()
    assert (tmp_path / "lock").exists()


def test_a_lock_that_is_a_link_is_refused_and_what_it_leads_to_is_not_made(tmp_path: Path) -> None:
    (tmp_path / "lock").symlink_to(tmp_path / "theirs")
    with pytest.raises(OutputError, match="lock: is a link"):
        FolderLock(tmp_path / "lock", tmp_path).acquire()
    assert not (tmp_path / "theirs").exists()


def test_a_file_that_shares_its_content_with_another_keeps_it(tmp_path: Path) -> None:
    (tmp_path / "theirs").write_text("theirs")
    (tmp_path / "lock").hardlink_to(tmp_path / "theirs")
    lock = FolderLock(tmp_path / "lock", tmp_path)
    lock.acquire()
    lock.remove()
    assert (tmp_path / "theirs").read_text() == "theirs"
