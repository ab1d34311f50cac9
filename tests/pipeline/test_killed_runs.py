"""Runs that are killed at any step: the next run continues, and ends in the same bytes."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from restart_data import settings_for, write_data
from runs import tree

import sftdata

ROOT = Path(__file__).resolve().parents[2]


# Runs `prepare` in children of a process that has imported everything, and kills a child (-9) at the n-th of its steps
# that change the file system. Lists the steps of a run that is not killed.
ZYGOTE = textwrap.dedent(
    """
    import json, os, signal, sys
    import sftdata
    import sftdata.pipeline.prepare
    from sftdata.pipeline import read

    read.UNIT_BYTES = 4000
    STEPS = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "open", "shutil.rmtree"}

    def work(settings, kill_at, overwrite, steps):
        count = 0

        def hook(event, args):
            nonlocal count
            if event not in STEPS or (event == "open" and (not isinstance(args[0], str) or not args[2] & os.O_CREAT)):
                return
            if "/.work" not in str(args[0]) and settings["out"]["path"] not in str(args[0]):
                return
            count += 1
            if steps is not None:
                os.write(steps, f"{event} {args[0]} {args[1] if event == 'os.rename' else ''}\\n".encode())
            if count == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(hook)
        sftdata.pipeline.prepare.prepare(sftdata.parse_config(settings), workers=1, overwrite=overwrite)

    for line in sys.stdin:
        settings, kill_at, overwrite, steps = json.loads(line)
        child = os.fork()
        if child == 0:
            code = 1
            try:
                work(settings, kill_at, overwrite, None if steps is None else os.open(steps, os.O_WRONLY | os.O_CREAT))
                code = 0
            finally:
                os._exit(code)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
    """
)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_data(tmp_path / "data")


class Runner:
    """Has runs made by the zygote."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", ZYGOTE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )

    def run(
        self, settings: dict[str, Any], kill_at: int = 0, *, overwrite: bool = False, steps: Path | None = None
    ) -> int:
        """The exit code of a run; -9 where it was killed."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([settings, kill_at, overwrite, steps and str(steps)]) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    def run_to_the_end(self, settings: dict[str, Any], log: Path) -> tuple[dict[str, str], list[str]]:
        """The files of a run that is not killed, and its steps, which are written to the log."""
        assert self.run(settings, steps=log) == 0
        return tree(Path(settings["out"]["path"])), log.read_text().splitlines()

    def end(self) -> None:
        self._process.communicate()


@pytest.fixture
def runner() -> Iterator[Runner]:
    runner = Runner()
    yield runner
    runner.end()


def test_a_run_killed_at_any_step_is_continued_and_ends_in_the_same_bytes(
    runner: Runner, data: Path, tiny_tokenizer: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    settings = settings_for(out, tiny_tokenizer, data)
    undisturbed, steps = runner.run_to_the_end(settings, tmp_path / "steps.txt")
    sftdata.verify(out)
    last = max(at for at, step in enumerate(steps, 1) if step.startswith("os.rename") and "manifest.json" in step)
    published = [at for at, step in enumerate(steps, 1) if step.startswith("os.rename") and f"{out}/train/" in step]
    assert len(published) >= 2
    finished = next(at for at, step in enumerate(steps, 1) if step == f"os.remove {out}/.work/publishing.json ")
    # Between a shard and the manifest, before and after the manifest, while cleaning up; and anywhere.
    chosen = {published[0], published[-1] + 1, last, last + 1, finished}
    chosen |= set(random.Random(5).sample(range(1, finished), 15))
    for kill_at in sorted(chosen):
        shutil.rmtree(out)
        assert runner.run(settings, kill_at) == -9, steps[kill_at - 1]
        if kill_at <= last:
            assert not (out / "manifest.json").exists(), steps[kill_at - 1]
        assert runner.run(settings) == 0, steps[kill_at - 1]
        assert tree(out) == undisturbed, steps[kill_at - 1]
    shutil.rmtree(out)
    assert runner.run(settings, finished + 1) == -9  # when only an empty folder was left to remove
    sftdata.verify(out)


def test_a_run_killed_again_and_again_gets_to_the_end(
    runner: Runner, data: Path, tiny_tokenizer: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    settings = settings_for(out, tiny_tokenizer, data)
    undisturbed, steps = runner.run_to_the_end(settings, tmp_path / "steps.txt")
    shutil.rmtree(out)
    kills = 0
    while runner.run(settings, len(steps) * 2 // 3) == -9:
        kills += 1
        assert kills < 20
    assert kills > 0
    assert tree(out) == undisturbed


def test_an_older_dataset_is_whole_until_the_new_one_is_and_never_half_of_both(
    runner: Runner, data: Path, tiny_tokenizer: Path, tmp_path: Path
) -> None:
    out, log = tmp_path / "out", tmp_path / "steps.txt"
    old = settings_for(out, tiny_tokenizer, data, split={"validation": 0}, seed=1)
    new = settings_for(out, tiny_tokenizer, data, seed=2)
    assert runner.run(new) == 0
    expected = tree(out)
    shutil.rmtree(out)
    assert runner.run(old) == 0
    before = tree(out)
    shutil.copytree(out, tmp_path / "before")
    assert runner.run(new) == 1  # it holds a dataset
    assert tree(out) == before
    assert runner.run(new, overwrite=True, steps=log) == 0
    assert tree(out) == expected
    steps = log.read_text().splitlines()
    gone = next(at for at, step in enumerate(steps, 1) if step == f"os.remove {out}/manifest.json ")
    last = max(at for at, step in enumerate(steps, 1) if step.startswith("os.rename") and "manifest.json" in step)
    assert gone + 5 < last
    for kill_at in (gone // 2, gone - 1, gone, gone + 1, gone + 3, (gone + last) // 2, last - 1, last):
        shutil.rmtree(out)
        shutil.copytree(tmp_path / "before", out)
        assert runner.run(new, kill_at, overwrite=True) == -9
        if kill_at <= gone:
            assert {name: hash_ for name, hash_ in tree(out).items() if ".work" not in name} == before
        else:
            assert not (out / "manifest.json").exists()
        assert runner.run(new, overwrite=True) == 0, steps[kill_at - 1]
        assert tree(out) == expected, steps[kill_at - 1]


def test_files_that_no_manifest_lists_are_left_alone(
    runner: Runner, data: Path, tiny_tokenizer: Path, tmp_path: Path
) -> None:
    settings = settings_for(tmp_path / "out", tiny_tokenizer, data)
    assert runner.run(settings) == 0
    (tmp_path / "out" / "manifest.json").unlink()
    before = tree(tmp_path / "out")
    assert runner.run(settings) == 1
    assert tree(tmp_path / "out") == before
