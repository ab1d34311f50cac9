"""Workers, sizes of pieces and the order of results change no byte of a dataset."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
from counted_pool import CountedPool, LastFirst
from raw_rows import chat, write_lines
from runs import prepare, tree

from sftdata.engines import engine, local
from sftdata.engines.engine import MAX_PIECE_ROWS
from sftdata.pipeline import read
from sftdata.pipeline.read import UNIT_BYTES

ROOT = Path(__file__).resolve().parents[2]


class Circumstances(NamedTuple):
    workers: int
    unit_bytes: int = UNIT_BYTES
    piece_rows: int = MAX_PIECE_ROWS
    pool: type[CountedPool] = CountedPool


CIRCUMSTANCES = [
    Circumstances(1),
    Circumstances(2),
    Circumstances(1, unit_bytes=100, piece_rows=1),
    Circumstances(2, unit_bytes=777, piece_rows=5),
    Circumstances(8, unit_bytes=1000, piece_rows=7, pool=LastFirst),
]


def test_workers_sizes_of_pieces_and_the_order_of_results_change_no_byte(
    tiny_tokenizer: Path, tmp_path: Path, worker_pids: set[int]
) -> None:
    rows = [chat(f"Question {n % 70}", "Because. " * (n % 7)) for n in range(150)]
    write_lines(tmp_path / "data" / "a.jsonl", rows[:100])
    (tmp_path / "data" / "b.json").write_text(json.dumps([{**row, "user": n} for n, row in enumerate(rows[100:])]))
    source = {"path": str(tmp_path / "data"), "keep": ["user"]}
    out = tmp_path / "out"
    trees = []
    for case in CIRCUMSTANCES:
        worker_pids.clear()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(read, "UNIT_BYTES", case.unit_bytes)
            patch.setattr(engine, "MAX_PIECE_ROWS", case.piece_rows)
            patch.setattr(local, "ProcessPool", case.pool)
            settings = {"shard_tokens": 500, "split": {"validation": 0.2}, "dedup": {"near": {}}}
            prepare(out, tiny_tokenizer, [source], workers=case.workers, **settings)
        assert len(worker_pids) in ({0} if case.workers == 1 else range(1, case.workers + 1))
        trees.append(tree(out))
        shutil.rmtree(out)
    assert len([name for name in trees[0] if name.startswith(("train/", "validation/"))]) > 3
    assert all(other == trees[0] for other in trees)


# Has no `if __name__ == "__main__"`. It uses a pool for any data, and counts the workers that have done something.
PROGRAM = """
import sys
import sftdata
from counted_pool import CountedPool
from sftdata.engines import local
from sftdata.pipeline import read

local.ProcessPool = CountedPool
read.SMALL_BYTES, read.UNIT_BYTES = 0, 1000
config = sftdata.load_config(sys.argv[1], [f"out={sys.argv[2]}"])
sftdata.prepare(config, workers=int(sys.argv[3]))
print(len(CountedPool.pids))
"""


def test_one_two_and_eight_workers_of_a_program_of_its_own_change_no_byte(tiny_tokenizer: Path, tmp_path: Path) -> None:
    write_lines(tmp_path / "a.jsonl", [chat(f"Question {n % 300}", "Because. " * (n % 7)) for n in range(600)])
    (tmp_path / "c.yaml").write_text(
        f"tokenizer: {tiny_tokenizer}\nsources: a.jsonl\nout: out\npack: {{seq_len: 64}}\ndedup: {{near: on}}\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(Path(__file__).parent)])}
    trees = []
    for workers in (1, 2, 8):
        out = f"out{workers}"
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, str(tmp_path / "c.yaml"), out, str(workers)],
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr
        assert int(done.stdout) in ({0} if workers == 1 else range(1, workers + 1))
        trees.append(tree(tmp_path / out))
    assert len(trees[0]) > 4
    assert trees[0] == trees[1] == trees[2]
