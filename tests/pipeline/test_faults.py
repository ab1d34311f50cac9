"""Full disks, killed workers, Ctrl-C on a run with a pool: one sentence, and nothing that looks like a dataset."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from processes import is_alive
from runs import tree

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}
REUSED = r"done by an earlier run"
# The command line, which uses a pool for any data, and writes the pid of every worker that it starts to a file.
PROGRAM = """
import sys
from multiprocessing.process import BaseProcess
from sftdata.cli.app import main
from sftdata.pipeline import read

read.SMALL_BYTES = 0
start, pids = BaseProcess.start, sys.argv.pop(1)

def start_and_note(process):
    start(process)
    with open(pids, "a") as file:
        print(process.pid, file=file)

BaseProcess.start = start_and_note
main()
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """About 18 MB in 9 units, so that two workers have something to do for a while."""
    path = tmp_path_factory.mktemp("data") / "a.jsonl"
    rows = [{"prompt": f"Question {n}", "completion": "The quick brown fox. " * 40} for n in range(19500)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


class Run:
    """A run of `prepare` with two workers into OUT; its own process, and a file with the pids of its workers."""

    def __init__(self, data: Path, tokenizer: Path, out: Path) -> None:
        self.out = out
        self._pids = out.parent / "pids.txt"
        settings = [str(data), "--tokenizer", str(tokenizer), "--out", str(out), "--workers", "2"]
        settings += ["pack.seq_len=1024", "out.shard_tokens=800_000"]
        self.command = [sys.executable, "-c", PROGRAM, str(self._pids), "prepare", *settings]

    @property
    def workers(self) -> list[int]:
        """The workers started so far."""
        return [int(line) for line in self._pids.read_text().splitlines()] if self._pids.exists() else []

    def to_the_end(self, *wrapper: str) -> subprocess.CompletedProcess[str]:
        """The finished run. `wrapper` comes before the command."""
        self._pids.unlink(missing_ok=True)
        return run([*wrapper, *self.command])

    def start(self) -> subprocess.Popen[str]:
        """Start in a process group of its own, as a terminal does: with Ctrl-C heard, which a shell takes from what it
        starts in the background, as it may have started these tests.
        """
        self._pids.unlink(missing_ok=True)
        return subprocess.Popen(
            self.command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=ENVIRONMENT,
            start_new_session=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )

    def wait_for_work(self, process: subprocess.Popen[str]) -> None:
        """Until both workers have started and a piece is finished."""
        deadline = time.monotonic() + 120
        while len(self.workers) < 2 or not any(
            path.name[0] != "." for path in (self.out / ".work").glob("pieces/read/*.arrow")
        ):
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.005)


@pytest.fixture
def attempt(data: Path, tiny_tokenizer: Path, tmp_path: Path) -> Run:
    return Run(data, tiny_tokenizer, tmp_path / "out")


@pytest.fixture
def process(attempt: Run) -> subprocess.Popen[str]:
    """The process of the attempt, while both of its workers are at work."""
    process = attempt.start()
    attempt.wait_for_work(process)
    assert all(map(is_alive, attempt.workers))
    return process


def run(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT, timeout=300)


def messages(stderr: str) -> list[str]:
    """What is on stderr, without the progress lines that slow runs print."""
    return [line for line in stderr.splitlines() if not re.match(r"\w+: \d+/\d+ tasks", line)]


def check_one_sentence(done: subprocess.CompletedProcess[str], sentence: str) -> None:
    assert done.returncode == 1, done.stderr
    (line,) = messages(done.stderr)
    assert line.startswith("sftdata: ")
    assert sentence in line


def mounted(options: str, out: Path) -> tuple[str, ...]:
    """What to put before a command so that `out` is a file system of its own in it, and a listing of it at the end."""
    out.mkdir()
    script = f'mount -t tmpfs -o {options} none "$0" && "$@"; code=$?; echo "left: $(ls -A "$0")"; exit $code'
    wrapper = ("unshare", "-rm", "sh", "-c", script, str(out))
    try:
        works = subprocess.run([*wrapper, "true"], capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        works = False
    if not works:
        pytest.skip("this machine does not let a test mount a file system")
    return wrapper


# Sizes at which the disk is full while rows are read, encoded, and written to shards. A shard and the note that it is
# written are two files: while one worker writes a shard, the other may be the one who finds no room for its note.
@pytest.mark.parametrize(
    ("size", "folder"),
    [("100k", "pieces/read"), ("8m", "pieces/read"), ("28m", "pieces/encode"), ("50m", "shards|pieces/write")],
)
def test_a_full_disk_is_one_sentence_and_no_dataset(attempt: Run, size: str, folder: str) -> None:
    done = attempt.to_the_end(*mounted(f"size={size}", attempt.out))
    check_one_sentence(done, "the disk is full; free some space")
    assert re.search(f"/.work/({folder})/", done.stderr)
    left = done.stdout.rpartition("left: ")[2].split()
    assert set(left) <= {".work"}
    assert len(attempt.workers) == 2


def test_a_read_only_disk_is_one_sentence(data: Path, tiny_tokenizer: Path, tmp_path: Path) -> None:
    attempt = Run(data, tiny_tokenizer, tmp_path / "out" / "shards")
    check_one_sentence(attempt.to_the_end(*mounted("size=1m,ro", tmp_path / "out")), "the file system is read-only")


def test_a_limit_on_file_sizes_is_one_sentence(attempt: Run) -> None:
    limit = (
        "import os, resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (10**6, 10**6)); "
        "os.execv(sys.argv[1], sys.argv[1:])"
    )
    check_one_sentence(attempt.to_the_end(sys.executable, "-c", limit), "the file would exceed the file size limit")
    assert not (attempt.out / "manifest.json").exists()
    assert len(attempt.workers) == 2


@pytest.fixture(scope="module")
def undisturbed(data: Path, tiny_tokenizer: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The dataset of a run that nothing happens to, verified."""
    attempt = Run(data, tiny_tokenizer, tmp_path_factory.mktemp("undisturbed") / "out")
    done = attempt.to_the_end()
    assert (done.returncode, messages(done.stderr)) == (0, [])
    assert len(attempt.workers) == 2
    assert len(list((attempt.out / "train").iterdir())) > 2  # which are written by workers too
    checked = run([sys.executable, "-m", "sftdata", "verify", str(attempt.out)])
    assert checked.returncode == 0, checked.stderr
    return tree(attempt.out)


def check_continues(attempt: Run, undisturbed: dict[str, str]) -> None:
    """The same command again uses the work that was done, and ends in the same bytes."""
    done = attempt.to_the_end()
    assert done.returncode == 0, done.stderr
    assert re.search(REUSED, done.stderr)
    assert tree(attempt.out) == undisturbed


def group_is_alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def within_seconds(is_true: Callable[[], bool]) -> bool:
    """Whether something becomes true within some seconds: processes take a moment to end."""
    deadline = time.monotonic() + 20
    while not is_true() and time.monotonic() < deadline:
        time.sleep(0.05)
    return is_true()


def test_a_killed_worker_is_one_sentence_and_the_run_can_be_continued(
    attempt: Run, process: subprocess.Popen[str], undisturbed: dict[str, str]
) -> None:
    worker = attempt.workers[0]
    assert worker != process.pid
    os.kill(worker, signal.SIGKILL)
    output, complaint = process.communicate(timeout=120)
    done = subprocess.CompletedProcess(process.args, process.returncode, output, complaint)
    check_one_sentence(done, "a worker process: was killed by the operating system, most often because memory ran out")
    assert not (attempt.out / "manifest.json").exists()
    assert within_seconds(lambda: not group_is_alive(process.pid))
    check_continues(attempt, undisturbed)


def test_ctrl_c_is_one_sentence_and_no_process_is_left(
    attempt: Run, process: subprocess.Popen[str], undisturbed: dict[str, str]
) -> None:
    os.killpg(process.pid, signal.SIGINT)
    output, complaint = process.communicate(timeout=120)
    stopped = "sftdata: stopped; no dataset was written, run the same command again to continue"
    assert (process.returncode, output, messages(complaint)) == (130, "", [stopped])
    assert within_seconds(lambda: not group_is_alive(process.pid))
    check_continues(attempt, undisturbed)


def test_workers_end_when_the_main_process_is_killed_and_the_run_can_be_continued(
    attempt: Run, process: subprocess.Popen[str], undisturbed: dict[str, str]
) -> None:
    process.kill()
    process.communicate()
    assert within_seconds(lambda: not any(map(is_alive, attempt.workers)))
    assert within_seconds(lambda: not group_is_alive(process.pid))
    check_continues(attempt, undisturbed)


def test_a_folder_that_may_not_be_written_is_one_sentence(data: Path, tiny_tokenizer: Path, tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere; the test of the read-only disk is close to this one")
    (tmp_path / "locked").mkdir(mode=0o500)
    done = Run(data, tiny_tokenizer, tmp_path / "locked" / "out").to_the_end()
    check_one_sentence(done, "permission denied")
