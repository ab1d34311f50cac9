"""Workers that are copies of the process. Each case runs in a program of its own, for pytest may have threads."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = """
import json, os, signal, sys, time
from pathlib import Path
from sftdata.engines.forked import AHEAD, run_forked

HERE = os.getpid()

def raise_(error):
    raise error

def square(number):
    return number * number, os.getpid()

def elsewhere(work):
    return lambda number: time.sleep(0.5) if os.getpid() == HERE else work(number)

"""

END = """
signal.alarm(20)  # which ends the program where a process does not end
try:
    while True:
        os.waitpid(-1, 0)
except ChildProcessError:
    print(json.dumps(said))
"""


def outcome(body: str, *arguments: str) -> Any:
    """What a program with this body prints last, as JSON. All processes that it made end by themselves."""
    program = PROGRAM + textwrap.dedent(body) + END
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize(("size", "calls"), [(3, 5000), (2, 1), (2, 2), (4, 4), (1, 3), (2, 0)])
def test_every_call_is_made_once_however_many_there_are(size: int, calls: int) -> None:
    said = outcome(
        """
        size, calls = map(int, sys.argv[1:])
        assert calls < AHEAD or calls > 4 * AHEAD
        results = list(run_forked(size, square, [(number,) for number in range(calls)]))
        workers = {pid for _, (_, pid) in results}
        said = [sorted((number, found) for number, (found, _) in results), len(workers - {HERE})]
        """,
        str(size),
        str(calls),
    )
    results, others = said
    assert results == [[number, number**2] for number in range(calls)]
    assert others <= max(min(size, calls) - 1, 0)


def test_of_workers_that_have_ended_nothing_is_kept_for_long() -> None:
    said = outcome(
        """
        children = Path(f"/proc/{HERE}/task/{HERE}/children")
        said = []
        for _ in range(4):
            list(run_forked(3, square, [(n,) for n in range(9)]))
            time.sleep(0.3)
            said.append(len(children.read_text().split()))
        """
    )
    assert max(said) <= 2


def test_this_process_works_beside_the_others() -> None:
    said = outcome(
        """
        def work(number):
            time.sleep(0.1)
            return os.getpid()

        said = len({pid for _, pid in run_forked(3, work, [(n,) for n in range(9)])})
        """
    )
    assert said == 3


def test_workers_go_on_by_themselves_while_this_process_does_something_else(tmp_path: Path) -> None:
    said = outcome(
        """
        folder = Path(sys.argv[1])

        def touch(number):
            (folder / str(number)).touch()

        def wait_for_all():
            said.append(os.getpid() == HERE)
            deadline = time.monotonic() + 30
            while len(list(folder.iterdir())) < 20:
                assert time.monotonic() < deadline
                time.sleep(0.01)

        said = []
        said += sorted(number for number, _ in run_forked(2, touch, [(n,) for n in range(20)], wait_for_all))
        """,
        str(tmp_path),
    )
    assert said == [True, *range(20)]


CASES = {
    "an error that is no exception": (
        "elsewhere(lambda n: raise_(type('Panic', (BaseException,), {})('oh')))",
        "None",
        ["RuntimeError", "Panic: oh", "in raise_"],
    ),
    "an error that cannot be sent": (
        "elsewhere(lambda n: raise_(type('Odd', (ValueError,), {})('oh')))",
        "None",
        ["RuntimeError", "Odd: oh", "in raise_"],
    ),
    "a call raises": ("elsewhere(lambda n: n / 0)", "None", ["ZeroDivisionError", "division by zero", "in <lambda>"]),
    "the other work raises": ("lambda n: time.sleep(30)", "lambda: {}[7]", ["KeyError", "7", ""]),
    "a worker is killed": (
        "elsewhere(lambda n: os.kill(os.getpid(), signal.SIGKILL))",
        "None",
        ["WorkerError", "was ended by the system", ""],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_an_error_ends_the_workers_and_says_where_it_comes_from(case: str) -> None:
    function, meanwhile, expected = CASES[case]
    said = outcome(
        f"""
        try:
            list(run_forked(2, {function}, [(n,) for n in range(4)], {meanwhile}))
            said = None
        except Exception as error:
            said = [type(error).__name__, str(error), str(error.__cause__)]
        """
    )
    name, message, cause = expected
    assert said[0] == name
    assert message in said[1]
    assert cause in said[2]


def test_an_error_in_this_process_ends_the_other_workers() -> None:
    body = """
        def work(number):
            return raise_(KeyError(number)) if os.getpid() == HERE else time.sleep(30)

        try:
            list(run_forked(3, work, [(n,) for n in range(9)]))
            said = None
        except KeyError as error:
            said = type(error).__name__
        """
    assert outcome(body) == "KeyError"
