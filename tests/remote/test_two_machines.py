"""Two machines that run the same command at the same time, with one output and one place of work on a store."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import s3_server as s3
from commands import Commands, bucket_with, messages, objects

pytestmark = pytest.mark.skipif(
    sys.version_info < (3, 11), reason="before, the current folder is always on the path of Python"
)
ROWS = [{"prompt": f"What is {n}?", "completion": f"It is {n}, of course."} for n in range(240)]


def test_one_writes_the_dataset_of_a_run_alone_and_the_other_ends_with_a_sentence(
    s3_server: str, s3_door: s3.Door, tmp_path: Path, tiny_tokenizer: Path
) -> None:
    store = bucket_with(s3_server, "pair", ROWS)

    def machine(name: str) -> Commands:
        """A machine has a folder and a cache of its own."""
        (tmp_path / name).mkdir()
        return Commands(s3_door, tmp_path / name, tiny_tokenizer, "pair", "--workers", "1")

    running = [machine(name).start() for name in ("first", "second")]
    said = [messages(process.communicate(timeout=240)[1]) for process in running]
    codes = [process.returncode for process in running]
    assert sorted(codes) == [0, 1], said
    assert said[codes.index(0)] == []
    (sentence,) = said[codes.index(1)]
    assert sentence.startswith("sftdata: s3://pair/")
    assert machine("alone").run("alone").returncode == 0
    assert objects(store, "pair/out") == objects(store, "pair/alone")
