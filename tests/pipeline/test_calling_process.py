"""`prepare` as a function of somebody's program: what is as it was before, and where modules come from."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from raw_rows import chat, write_lines

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = ["dedup={near: on}", "filters=default", "privacy=redact"]

# Runs `prepare` on a pool, and prints what is different after it.
PROGRAM = """
import gc, json, multiprocessing, os, signal, sys, threading
import pandas  # pyarrow imports it, and with it comes six, which adds a finder of modules
import sftdata
from counted_pool import CountedPool
from sftdata.engines import local
from sftdata.pipeline import read

def state():
    return {
        "environment": dict(os.environ),
        "gc": [gc.get_threshold(), gc.isenabled(), gc.get_freeze_count(), gc.get_debug()],
        "signal handlers": {str(number): repr(signal.getsignal(number)) for number in signal.valid_signals()},
        "path": list(sys.path),
        "folder": os.getcwd(),
        "threads": threading.active_count(),
        "children": [child.name for child in multiprocessing.active_children()],
        # The standard library settles on its default when any worker is started.
        "start method": multiprocessing.get_start_method(allow_none=True) or multiprocessing.get_all_start_methods()[0],
        "hooks": [repr(sys.meta_path), repr(sys.path_hooks), repr(sys.excepthook), repr(threading.excepthook)],
        "umask": os.umask(0o22),
        "main": [repr(__spec__), globals().get("__file__")],
    }

local.ProcessPool = CountedPool
read.SMALL_BYTES, read.UNIT_BYTES = 0, 1000
os.environ["OF_THE_PROGRAM"] = "1"
gc.set_threshold(543, 21, 9)
signal.signal(signal.SIGTERM, lambda *_: None)
before = state()
sftdata.prepare(sftdata.load_config(sys.argv[1], sys.argv[2:]), workers=2)
after = state()
print(json.dumps({
    "workers": len(CountedPool.pids),
    "changed": {name: [before[name], after[name]] for name in before if before[name] != after[name]},
    "modules": {
        name: [type(module).__name__, getattr(module, "__file__", None)]
        for name, module in sys.modules.items()
        if name.partition(".")[0] in ("numpy", "pyarrow", "pydantic", "pydantic_core", "pandas", "ssl")
    },
}))
"""


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory, tiny_tokenizer: Path) -> dict[str, Any]:
    """What such a program prints."""
    folder = tmp_path_factory.mktemp("program")
    write_lines(folder / "a.jsonl", [chat(f"Question {n}?", f"It is {n}, or {n + 1}.") for n in range(100)])
    (folder / "c.yaml").write_text(f"tokenizer: {tiny_tokenizer}\nsources: a.jsonl\nout: out\n")
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(folder / "c.yaml"), *SETTINGS],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(Path(__file__).parent)])},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    assert result["workers"] >= 1
    return result


def test_environment_signal_handlers_and_garbage_collection_are_as_they_were(found: dict[str, Any]) -> None:
    assert found["changed"] == {}


def test_every_module_of_a_library_comes_from_that_library(found: dict[str, Any]) -> None:
    """sys.modules has no imitation of a module."""
    import ssl

    import numpy
    import pandas
    import pyarrow
    import pydantic
    import pydantic_core

    homes = {m.__name__: str(Path(m.__file__).parent) for m in (numpy, pandas, pyarrow, pydantic, pydantic_core)}
    assert {"numpy", "pyarrow", "pydantic"} <= {name.partition(".")[0] for name in found["modules"]}
    wrong = {}
    for name, (kind, path) in found["modules"].items():
        expected = ssl.__file__ if name == "ssl" else homes[name.partition(".")[0]]
        if kind != "module" or path is None or not path.startswith(expected):
            wrong[name] = (kind, path)
    assert wrong == {}
