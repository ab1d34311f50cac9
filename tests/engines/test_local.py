"""Launchers: calls made in this process or in a pool, their results, their exceptions, and what is left after them."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pool_calls
import pytest
from pool_calls import EXCEPTIONS, LoadedOnce, visits
from processes import is_alive

from sftdata.engines import local
from sftdata.engines.engine import Launcher
from sftdata.engines.local import ProcessPool, ThisProcess, open_launcher
from sftdata.errors import SourceError, WorkerError

ROOT = Path(__file__).resolve().parents[2]
START_METHODS = ("forkserver", "spawn")  # Windows has only spawn


@pytest.fixture(params=START_METHODS)
def start_method(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """How the system starts workers."""
    method: str = request.param
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"this system has no {method}")
    monkeypatch.setattr(multiprocessing, "get_all_start_methods", lambda: [method])
    return method


@pytest.fixture
def pool(start_method: str, tmp_path: Path) -> Iterator[ProcessPool]:
    """A pool of two workers."""
    with ProcessPool(2, tmp_path) as pool:
        yield pool


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder for what calls leave."""
    folder = tmp_path / "calls"
    folder.mkdir()
    return folder


def all_gone(pids: set[int]) -> bool:
    """Whether these processes end within some seconds."""
    deadline = time.monotonic() + 20
    while any(map(is_alive, pids)) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not any(map(is_alive, pids))


@pytest.mark.parametrize(("size", "calls"), [(3, 5000), (2, 2), (4, 4), (1, 3), (2, 1), (2, 0)])
def test_each_call_is_made_once_and_its_result_has_its_number(tmp_path: Path, size: int, calls: int) -> None:
    numbers = range(calls)
    with ProcessPool(size, tmp_path) as pool:
        results = list(pool.run(divmod, [(number, 7) for number in numbers]))
    assert sorted(results) == [(number, divmod(number, 7)) for number in numbers]


@pytest.mark.parametrize("calls", [2, 200])
def test_calls_are_made_in_worker_processes(pool: ProcessPool, folder: Path, calls: int) -> None:
    results = list(pool.run(pool_calls.visit, [(folder, number) for number in range(calls)]))
    assert sorted(results) == [(number, number * number) for number in range(calls)]
    made = visits(folder)
    assert [number for number, _ in made] == list(range(calls))
    workers = {pid for _, pid in made}
    assert 1 <= len(workers) <= 2
    assert os.getpid() not in workers


def test_workers_work_side_by_side_and_live_from_run_to_run(pool: ProcessPool, folder: Path) -> None:
    for _ in range(2):
        list(pool.run(LoadedOnce(folder), [(number,) for number in range(40)]))
    assert len({pid for _, pid in visits(folder)}) == 2


def test_a_single_call_is_made_in_this_process(pool: ProcessPool) -> None:
    assert list(pool.run(pool_calls.pid, [(0,)])) == [(0, os.getpid())]


def test_this_process_makes_all_calls_itself_in_order(folder: Path) -> None:
    with ThisProcess() as launcher:
        results = launcher.run(pool_calls.visit, [(folder, number) for number in range(3)])
        assert next(results) == (0, 0)
        assert visits(folder) == [(0, os.getpid())]
        assert list(results) == [(1, 1), (2, 4)]


def test_the_function_is_loaded_once_by_each_worker(pool: ProcessPool, folder: Path) -> None:
    results = list(pool.run(LoadedOnce(folder), [(number,) for number in range(50)]))
    loads = visits(folder)
    assert {number for number, _ in loads} == {0}  # each is the first of its worker
    assert {pid for _, pid in loads} == {pid for _, pid in results}
    assert [path for path in folder.parent.iterdir() if path != folder] == []  # nothing stays of the function


@pytest.mark.parametrize("case", EXCEPTIONS)
def test_the_exception_of_a_call_is_raised_with_its_traceback(pool: ProcessPool, case: str) -> None:
    function, kind, message, place = EXCEPTIONS[case]
    with pytest.raises(kind) as caught:
        list(pool.run(function, [(number,) for number in range(4)]))
    assert message in str(caught.value)
    assert place in f"{caught.value} {caught.value.__cause__}"


def test_a_users_mistake_keeps_its_parts(pool: ProcessPool) -> None:
    with pytest.raises(SourceError) as caught:
        list(pool.run(pool_calls.users_mistake, [(number,) for number in range(2)]))
    assert (caught.value.where, caught.value.what, caught.value.hint) == ("a.jsonl", "is bad", "fix it")


@pytest.mark.parametrize("launcher", [ThisProcess, ProcessPool])
def test_after_an_exception_no_later_call_is_made(
    launcher: type[ThisProcess] | type[ProcessPool], tmp_path: Path, folder: Path
) -> None:
    calls = [(folder, number) for number in range(200)]
    opened = ThisProcess() if launcher is ThisProcess else ProcessPool(2, tmp_path)
    with pytest.raises(KeyError, match="the first"), opened as running:
        list(running.run(pool_calls.fail_first, calls))
    time.sleep(0.3)
    made = [number for number, _ in visits(folder)]
    assert made == [0] if launcher is ThisProcess else 0 in made and len(made) < 20


def test_a_killed_worker_is_one_sentence(start_method: str, tmp_path: Path) -> None:
    sentence = (
        "a worker process: was killed by the operating system, most often because memory ran out; "
        "use fewer --workers or a machine with more memory, and run the same command again"
    )
    with pytest.raises(WorkerError) as caught, ProcessPool(2, tmp_path) as pool:
        list(pool.run(pool_calls.kill_this_worker, [(number,) for number in range(4)]))
    assert str(caught.value) == sentence


def test_a_worker_killed_between_two_runs_is_the_same_sentence(start_method: str, tmp_path: Path, folder: Path) -> None:
    with pytest.raises(WorkerError, match="was killed by the operating system"), ProcessPool(2, tmp_path) as pool:
        (_, worker), *_ = pool.run(pool_calls.pid, [(number,) for number in range(4)])
        os.kill(worker, signal.SIGKILL)
        assert all_gone({worker})
        # Calls that do not end: the worker that is left cannot make them all before the death is noticed.
        list(pool.run(pool_calls.hang, [(folder, number) for number in range(4)]))


def succeed(pool: ProcessPool, folder: Path) -> None:
    list(pool.run(pool_calls.visit, [(folder, number) for number in range(9)]))


def fail(pool: ProcessPool, folder: Path) -> None:
    list(pool.run(pool_calls.fail_first, [(folder, number) for number in range(9)]))


def interrupt(pool: ProcessPool, folder: Path) -> None:
    """As Ctrl-C while results are waited for."""
    next(pool.run(pool_calls.visit, [(folder, number) for number in range(9)]))
    raise KeyboardInterrupt


def interrupt_long_calls(pool: ProcessPool, folder: Path) -> None:
    """As Ctrl-C while workers are in the middle of something."""
    main, handler = threading.get_ident(), signal.signal(signal.SIGUSR1, raise_interrupt)
    watch = threading.Thread(target=signal_after_visits, args=(folder, main))
    watch.start()
    try:
        list(pool.run(pool_calls.hang, [(folder, number) for number in range(9)]))
    finally:
        watch.join()
        signal.signal(signal.SIGUSR1, handler)


def raise_interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def signal_after_visits(folder: Path, thread: int) -> None:
    while len(visits(folder)) < 2:
        time.sleep(0.01)
    signal.pthread_kill(thread, signal.SIGUSR1)


@pytest.mark.parametrize(
    ("body", "error"),
    [(succeed, None), (fail, KeyError), (interrupt, KeyboardInterrupt), (interrupt_long_calls, KeyboardInterrupt)],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_no_worker_and_no_thread_is_left(
    start_method: str,
    tmp_path: Path,
    folder: Path,
    body: Callable[[ProcessPool, Path], None],
    error: type[BaseException] | None,
) -> None:
    threads = threading.active_count()
    began = time.monotonic()
    if error is None:
        with ProcessPool(2, tmp_path) as pool:
            body(pool, folder)
    else:
        with pytest.raises(error), ProcessPool(2, tmp_path) as pool:
            body(pool, folder)
    assert time.monotonic() - began < 30  # the calls that hang take a minute
    workers = {pid for _, pid in visits(folder)}
    assert workers
    assert all_gone(workers)
    assert threading.active_count() == threads


def test_workers_ignore_ctrl_c_and_use_one_thread_each(pool: ProcessPool) -> None:
    found = [settings for _, settings in pool.run(pool_calls.settings_of_worker, [(0,), (1,)])]
    expected = {
        "ignores SIGINT": True,
        "SIGTERM ends it": True,
        "TOKENIZERS_PARALLELISM": "false",
        "RAYON_NUM_THREADS": "1",
    }
    assert found == [expected, expected]
    assert sorted(pool.run(pool_calls.interrupt_this_worker, [(0,), (1,)])) == [(0, 0), (1, 1)]


PROGRAM = """
import multiprocessing, sys
from pathlib import Path
import pool_calls
from sftdata.engines.local import ProcessPool

folder, method = Path(sys.argv[1]), sys.argv[2]
multiprocessing.get_all_start_methods = lambda: [method]
pool = ProcessPool(2, folder)
"""
DIVIDES = """
with pool:
    print(sorted(result for _, result in pool.run(divmod, [(7, 2), (9, 4)])))
"""
HANGS = """
with pool:
    list(pool.run(pool_calls.hang, [(folder, number) for number in range(4)]))
"""


def environment() -> dict[str, str]:
    """Of programs that find the package and the helpers of these tests."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(Path(__file__).parent)])}


def run_program(command: list[str], source: str | None = None) -> str:
    """What a program prints."""
    done = subprocess.run(
        [sys.executable, *command], input=source, capture_output=True, text=True, timeout=60, env=environment()
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_program_without_a_main_guard_is_not_run_again_in_workers(start_method: str, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(PROGRAM + DIVIDES, encoding="utf-8")
    assert run_program([str(script), str(tmp_path), start_method]) == "[(2, 1), (3, 1)]\n"


def test_a_program_from_standard_input_has_workers_too(start_method: str, tmp_path: Path) -> None:
    assert run_program(["-", str(tmp_path), start_method], PROGRAM + DIVIDES) == "[(2, 1), (3, 1)]\n"


def test_the_program_is_as_it_was_after_workers_have_started(start_method: str, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    compare = "before = dict(vars())\n" + DIVIDES + "\nprint(__file__ == before['__file__'], __spec__ is None)\n"
    script.write_text(PROGRAM + compare, encoding="utf-8")
    assert run_program([str(script), str(tmp_path), start_method]).splitlines()[-1] == "True True"


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="this system does not list processes")
def test_workers_end_when_the_main_process_is_killed(start_method: str, tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM + HANGS, str(tmp_path), start_method],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    deadline = time.monotonic() + 60
    while len(made := [path for path in tmp_path.iterdir() if " " in path.name]) < 2:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    workers = {int(path.name.split()[1]) for path in made}
    assert process.pid not in workers
    process.kill()
    process.communicate()  # which ends only once no process holds the ends of its pipes
    assert all_gone(workers)


def test_a_program_that_ignores_the_end_of_its_children_may_use_a_pool(start_method: str, tmp_path: Path) -> None:
    """A child inherits it, where the program that started it does so."""
    ignoring = "import signal\nsignal.signal(signal.SIGCHLD, signal.SIG_IGN)\n"
    printed = run_program(["-c", ignoring + PROGRAM + DIVIDES, str(tmp_path), start_method])
    assert printed == "[(2, 1), (3, 1)]\n"


@pytest.mark.parametrize(
    ("workers", "is_small", "kind"),
    [(1, False, ThisProcess), (2, True, ThisProcess), (2, False, ProcessPool), (None, False, ProcessPool)],
)
def test_one_process_is_used_where_that_is_enough(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    workers: int | None,
    is_small: bool,
    kind: type[Launcher],
) -> None:
    monkeypatch.setattr(local, "count_cores", lambda: 3)
    with open_launcher(workers, tmp_path, is_small=is_small, preload=()) as launcher:
        assert type(launcher) is kind


def test_only_cores_that_this_process_may_use_are_counted() -> None:
    if not hasattr(os, "sched_setaffinity"):
        pytest.skip("this system does not bind processes to cores")
    code = textwrap.dedent(
        """
        import json, os
        from sftdata.engines.local import count_cores
        allowed = sorted(os.sched_getaffinity(0))
        every = count_cores()
        os.sched_setaffinity(0, allowed[:1])
        print(json.dumps([len(allowed), every, count_cores()]))
        """
    )
    allowed, every, one = json.loads(run_program(["-c", code]))
    assert (every, one) == (allowed, 1)


@pytest.mark.skipif(not local.SAFE_PATH, reason="before Python 3.11 the current folder is always on that path")
@pytest.mark.parametrize("method", ["forkserver", "spawn"])
def test_files_in_the_current_folder_named_like_libraries_are_not_run_in_workers(tmp_path: Path, method: str) -> None:
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"this system has no {method}")
    for name in ("pandas", "numpy", "orjson", "pickle", "signal", "sftdata/__init__"):
        path = tmp_path / f"{name}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"import pathlib\npathlib.Path({str(tmp_path / 'run')!r}).touch()\n", encoding="utf-8")
    program = tmp_path / "elsewhere" / "program.py"
    program.parent.mkdir()
    program.write_text(
        "import multiprocessing, sys\nfrom pathlib import Path\n"
        f"multiprocessing.get_all_start_methods = lambda: [{method!r}]\n"
        "from sftdata.engines.local import ProcessPool\n"
        "with ProcessPool(2, Path(sys.argv[1]), ('pandas', 'orjson')) as pool:\n"
        "    print(sorted(result for _, result in pool.run(divmod, [(7, 2), (9, 4)])))\n",
        encoding="utf-8",
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, program, tmp_path], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60
    )
    assert (done.stdout, done.returncode) == ("[(2, 1), (3, 1)]\n", 0), done.stderr
    assert not (tmp_path / "run").exists()


def test_workers_have_the_environment_of_now_not_of_the_first_pool(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Credentials that a notebook sets after a first run count in the next one."""
    monkeypatch.setenv("A_SECRET_KEY", "old")
    monkeypatch.setenv("NO_MORE", "there")
    with ProcessPool(1, tmp_path) as pool:
        assert [*pool.run(os.getenv, [("A_SECRET_KEY",)])] == [(0, "old")]
    monkeypatch.setenv("A_SECRET_KEY", "new")
    monkeypatch.delenv("NO_MORE")
    with ProcessPool(1, tmp_path) as pool:
        assert sorted(pool.run(os.getenv, [("A_SECRET_KEY",), ("NO_MORE",)])) == [(0, "new"), (1, None)]
