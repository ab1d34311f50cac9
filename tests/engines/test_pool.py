"""Workers and the program that starts them."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
from sftdata.engines.pool import Pool
pool = Pool(2, "sftdata.engines.task")
print(sorted(result for _, result in pool.run(divmod, [(7, 2), (9, 4)])))
pool.close(at_once=False)
"""


def test_a_program_without_a_main_guard_is_not_run_again_in_workers(tmp_path) -> None:
    script = tmp_path / "script.py"
    script.write_text(PROGRAM, encoding="utf-8")
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.returncode) == ("[(2, 1), (3, 1)]\n", 0), done.stderr


def test_a_program_from_standard_input_has_workers_too() -> None:
    done = subprocess.run([sys.executable, "-"], input=PROGRAM, capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.returncode) == ("[(2, 1), (3, 1)]\n", 0), done.stderr
