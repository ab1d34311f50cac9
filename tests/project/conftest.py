"""Lets the tests in this folder import the helpers that lie beside them (importlib mode adds no folder to the path)."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

from documents import ROOT
from ready_process import PREPARING, QUIET, TRAINING, python_that_is_ready
from runner import Runner
from sessions import environment_of


@pytest.fixture(scope="module")
def runner(tmp_path_factory: pytest.TempPathFactory, tiny_tokenizer: Path) -> Iterator[Runner]:
    """Runs the pages, with the tokenizers that they name where the shared data is here.

    Where a page makes no environment of its own, programs are processes that have loaded what they import; see
    ready_process.py. That they start as commands is tested in test_wheel.py.
    """
    shared = Path(os.environ.get("SFTDATA_SHARED", ROOT.parent / "shared")) / "tokenizers"
    folder = tmp_path_factory.mktemp("pages")
    programs = folder / "programs"
    programs.mkdir()
    environment = environment_of(folder / "hf")
    with python_that_is_ready([*PREPARING, *TRAINING], {**environment, **QUIET}) as python:
        for name, module in (("sftdata", "sftdata"), ("sfttrain", "sfttrain"), ("torchrun", "torch.distributed.run")):
            program = programs / name
            program.write_text(f'#!/bin/sh\nexec {shlex.join([*python, "-m", module])} "$@"\n')
            program.chmod(0o755)
        environment["PATH"] = f"{programs}{os.pathsep}{environment['PATH']}"
        yield Runner(folder, shared if shared.is_dir() else None, tiny_tokenizer, environment)
