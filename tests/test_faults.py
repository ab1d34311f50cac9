"""Full disks, killed workers, Ctrl-C: one sentence, exit code 1, and nothing that looks like a dataset."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Some 18 MB in 9 units, so that two workers have something to do for a while."""
    path = tmp_path_factory.mktemp("data") / "a.jsonl"
    rows = [{"prompt": f"Question {n}", "completion": "The quick brown fox. " * 40} for n in range(19500)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def command(data: Path, tokenizer: Path, out: Path, *more: str) -> list[str]:
    base = [sys.executable, "-m", "sftdata", "prepare", str(data), "--tokenizer", str(tokenizer), "--out", str(out)]
    return [*base, "--workers", "2", "pack.seq_len=1024", *more]


def check_complaint(done: subprocess.CompletedProcess[str], sentence: str) -> None:
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert sentence in done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith("sftdata: ")


def run(arguments: list[str], *wrapper: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*wrapper, *arguments], capture_output=True, text=True, env=ENVIRONMENT, timeout=120)


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


# Sizes at which the disk is full while reading, while encoding, and while packing.
@pytest.mark.parametrize("size", ["100k", "8m", "17m"])
def test_a_full_disk_is_one_sentence_and_no_dataset(
    data: Path, tiny_tokenizer: Path, tmp_path: Path, size: str
) -> None:
    out = tmp_path / "out"
    done = run(command(data, tiny_tokenizer, out), *mounted(f"size={size}", out))
    check_complaint(done, "the disk is full; free some space")
    left = done.stdout.rpartition("left: ")[2].split()
    assert set(left) <= {".work"}


def test_a_read_only_disk_is_one_sentence(data: Path, tiny_tokenizer: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = run(command(data, tiny_tokenizer, out / "shards"), *mounted("size=1m,ro", out))
    check_complaint(done, "the file system is read-only")


def test_a_limit_on_file_sizes_is_one_sentence(data: Path, tiny_tokenizer: Path, tmp_path: Path) -> None:
    limit = (
        "import os, resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (10**6, 10**6)); "
        "os.execv(sys.argv[1], sys.argv[1:])"
    )
    out = tmp_path / "out"
    arguments = command(data, tiny_tokenizer, out)
    check_complaint(run(arguments, sys.executable, "-c", limit), "the file would be larger than is allowed here")
    assert not (out / "manifest.json").exists()


@pytest.fixture(scope="module")
def undisturbed(data: Path, tiny_tokenizer: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The dataset of a run that nothing happens to, verified."""
    out = tmp_path_factory.mktemp("undisturbed") / "out"
    done = run(command(data, tiny_tokenizer, out))
    assert (done.returncode, done.stderr) == (0, "")
    checked = run([sys.executable, "-m", "sftdata", "verify", str(out)])
    assert checked.returncode == 0, checked.stderr
    return tree(out)


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def check_goes_on(arguments: list[str], out: Path, undisturbed: dict[str, bytes]) -> None:
    """The same command again takes work over and ends in the same bytes."""
    done = run(arguments)
    assert done.returncode == 0, done.stderr
    assert "pieces are there from an earlier run" in done.stderr
    assert tree(out) == undisturbed


def started(arguments: list[str]) -> subprocess.Popen[str]:
    """The command in a process group of its own, as a terminal would start it: with Ctrl-C heard, which the shell takes
    from what it starts in the background, as it may have started these tests.
    """
    return subprocess.Popen(
        arguments,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def wait_for_work(process: subprocess.Popen[str], out: Path) -> None:
    """Until workers have finished a piece."""
    deadline = time.monotonic() + 60
    while not any(path.name[0] != "." for path in (out / ".work").glob("pieces/read/*.arrow")):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.005)


def workers_of(process: subprocess.Popen[str]) -> list[int]:
    """The processes that the command has forked; between two stages there are none, so this waits for some."""
    while not (found := children(process.pid)):
        assert process.poll() is None, process.communicate()
    return found


def children(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except FileNotFoundError:
        return []


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def group_is_alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def gone(is_gone: Callable[[], bool]) -> bool:
    """Whether something is gone, within some seconds: processes end one after the other."""
    deadline = time.monotonic() + 20
    while not is_gone() and time.monotonic() < deadline:
        time.sleep(0.05)
    return is_gone()


needs_proc = pytest.mark.skipif(
    not Path(f"/proc/self/task/{os.getpid()}/children").exists(), reason="this system does not list child processes"
)


@needs_proc
def test_a_killed_worker_is_one_sentence_and_the_run_can_go_on(
    data: Path, tiny_tokenizer: Path, tmp_path: Path, undisturbed: dict[str, bytes]
) -> None:
    arguments = command(data, tiny_tokenizer, tmp_path / "out")
    process = started(arguments)
    wait_for_work(process, tmp_path / "out")
    os.kill(workers_of(process)[0], signal.SIGKILL)
    output, complaint = process.communicate(timeout=60)
    done = subprocess.CompletedProcess(process.args, process.returncode, output, complaint)
    check_complaint(done, "a worker process: was ended by the system, most often because memory ran out")
    assert not (tmp_path / "out" / "manifest.json").exists()
    check_goes_on(arguments, tmp_path / "out", undisturbed)


def test_ctrl_c_is_one_sentence_and_no_process_is_left(
    data: Path, tiny_tokenizer: Path, tmp_path: Path, undisturbed: dict[str, bytes]
) -> None:
    arguments = command(data, tiny_tokenizer, tmp_path / "out")
    process = started(arguments)
    wait_for_work(process, tmp_path / "out")
    os.killpg(process.pid, signal.SIGINT)
    output, complaint = process.communicate(timeout=60)
    stopped = "sftdata: stopped; no dataset was written, and the same command goes on from here\n"
    assert (process.returncode, output, complaint) == (130, "", stopped)
    assert gone(lambda: not group_is_alive(process.pid))
    check_goes_on(arguments, tmp_path / "out", undisturbed)


@needs_proc
def test_workers_go_when_the_main_process_is_killed_and_the_run_can_go_on(
    data: Path, tiny_tokenizer: Path, tmp_path: Path, undisturbed: dict[str, bytes]
) -> None:
    arguments = command(data, tiny_tokenizer, tmp_path / "out")
    process = started(arguments)
    wait_for_work(process, tmp_path / "out")
    family = [process.pid, *workers_of(process)]
    assert len(family) >= 2
    process.kill()
    process.communicate()
    assert gone(lambda: not any(map(is_alive, family)))
    check_goes_on(arguments, tmp_path / "out", undisturbed)


def test_a_folder_that_may_not_be_written_is_one_sentence(data: Path, tiny_tokenizer: Path, tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere; the read-only disk stands for it")
    (tmp_path / "locked").mkdir(mode=0o500)
    check_complaint(run(command(data, tiny_tokenizer, tmp_path / "locked" / "out")), "you may not write here")
