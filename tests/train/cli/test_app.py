"""How `sfttrain` ends its process."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

PROGRAM = """
import atexit, sys
from torch import distributed
from sfttrain.cli import app

class Kept:
    def __del__(self):
        print("Python ended by itself")

def trained(prog_name):
    distributed.init_process_group("gloo", rank=0, world_size=1, store=distributed.HashStore())
    print("trained")
    sys.exit(int(sys.argv[1]))

kept = Kept()
atexit.register(print, "called at the end")
app.app = trained if sys.argv[2] == "group" else lambda prog_name: sys.exit(int(sys.argv[1]))
app.main()
"""


@pytest.mark.parametrize("code", [0, 1, 130])
@pytest.mark.parametrize("kind", ["group", "alone"])
def test_a_process_of_a_group_ends_past_python_and_says_all_it_had_to_say(code: int, kind: str):
    command = [sys.executable, "-c", PROGRAM, str(code), kind]
    done = subprocess.run(command, capture_output=True, text=True, env=dict(os.environ), timeout=120)
    expected = {"group": ["trained", "called at the end"], "alone": ["called at the end", "Python ended by itself"]}
    assert (done.returncode, done.stdout.splitlines()) == (code, expected[kind]), done.stderr
