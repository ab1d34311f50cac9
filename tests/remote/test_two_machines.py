"""Two machines that run the same command at the same time, with one output and one place of work on a store."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import s3_server as s3
from commands import Commands, messages, objects

pytestmark = pytest.mark.skipif(
    sys.version_info < (3, 11), reason="before, the current folder is always on the path of Python"
)
ROWS = [{"prompt": f"What is {n}?", "completion": f"It is {n}, of course."} for n in range(240)]


def test_one_writes_the_dataset_of_a_run_alone_and_the_other_ends_with_a_sentence(
    s3_server: str, s3_door: s3.Door, tmp_path: Path, tiny_tokenizer: Path
) -> None:
    import s3fs

    store = s3fs.S3FileSystem(key=s3.ACCESS_KEY, secret=s3.SECRET, endpoint_url=s3_server, skip_instance_cache=True)
    store.mkdir("pair")
    for number in range(4):
        lines = "".join(json.dumps(row) + "\n" for row in ROWS[number * 60 : number * 60 + 60])
        store.pipe_file(f"pair/raw/{number}.jsonl", lines.encode())
    first, second, alone = (
        Commands(s3_door, folder, tiny_tokenizer, "pair", "--workers", "1")  # each with a cache of its own
        for folder in (tmp_path / name for name in ("first", "second", "alone"))
        if folder.mkdir() is None
    )
    running = [machine.start() for machine in (first, second)]
    said = [messages(process.communicate(timeout=240)[1]) for process in running]
    codes = [process.returncode for process in running]
    assert sorted(codes) == [0, 1], said
    assert said[codes.index(0)] == []
    (sentence,) = said[codes.index(1)]
    assert sentence.startswith("sftdata: s3://pair/")
    assert alone.run("alone").returncode == 0
    assert objects(store, "pair/out") == objects(store, "pair/alone")
