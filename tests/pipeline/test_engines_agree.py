"""A dataset does not depend on the engine or the processes that made it.

One run has every curation stage on, and is made in this process, by pools, by an engine that keeps all in memory, and
by Ray on one node and on two, where results come in another order, and where workers and nodes are lost.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest
from curated_rows import QUESTION, everything, many_rows
from raw_rows import chat, write_lines
from runs import ledger, prepare, tree

import sftdata
from sftdata.engines.stage import GroupStage, Stage

if TYPE_CHECKING:
    from ray_cluster import RayCluster

ENGINES = ("this process", "forkserver", "spawn", "memory")


class MemoryEngine:
    """The verbs as simply as possible: a piece is a table, and the rows of a group come in random order."""

    def __init__(self, *_: Any, **__: Any) -> None:
        self._rng = np.random.default_rng(7)

    def map(self, stage: Stage, table: Sequence[pa.Table], beside: pa.Table | None = None) -> list[pa.Table]:
        results = []
        row = 0
        for piece in table:
            if beside is not None:
                piece = with_columns(piece, beside.slice(row, piece.num_rows))
            row += piece.num_rows
            results.append(pa.concat_tables(stage(piece)))
        return results

    def group(self, key: str, stage: GroupStage, table: Sequence[pa.Table], beside: pa.Table) -> list[pa.Table]:
        whole = pa.concat_tables(table)
        numbered = beside.append_column("at", pa.array(np.arange(whole.num_rows)))
        keys = beside[key].to_pylist()
        results = []
        for value in sorted({key for key in keys if key is not None and key >= 0}):
            rows = self._rng.permutation([row for row, other in enumerate(keys) if other == value])
            results.append(pa.concat_tables(stage(numbered.take(pa.array(rows)), whole)))
        return results

    def collect(self, table: Sequence[pa.Table], columns: Sequence[str]) -> pa.Table:
        return pa.concat_tables(table).select(list(columns))

    def look(self, piece: pa.Table, columns: Sequence[str]) -> pa.Table:
        return piece.select(list(columns))

    def give(self, table: pa.Table, keys: object = None, sizes: object = None) -> list[pa.Table]:
        return [table.slice(row, 1) for row in range(table.num_rows)]

    def remove_unused(self) -> None:
        pass


def with_columns(table: pa.Table, beside: pa.Table) -> pa.Table:
    for name in beside.column_names:
        table = table.append_column(name, beside[name])
    return table


def write_sources(folder: Path) -> list[dict[str, Any]]:
    """Two sources with a mixture, in which every stage has something to do."""
    turns = [turn for n in range(9) for turn in chat(f"What about {n}?", f"It has e{n}, f{n} and g{n}.")["messages"]]
    long = {"messages": turns, "user": "somebody"}
    rows = [*many_rows(), {"colour": "blue"}, {"prompt": "Hi", "completion": [3]}, long, chat("Go on", "word " * 400)]
    more = [{**chat(f"Question {n} of b?", f"Its answer is b{n}, c{n} or d{n}."), "user": n} for n in range(40)]
    return [
        {"path": str(write_lines(folder / "a.jsonl", rows)), "keep": ["user"], "weight": 0.6, "repeat": 3},
        {"path": str(write_lines(folder / "b.jsonl", more)), "weight": 0.4, "max_records": 30},
    ]


def made_by(
    engine: str, folder: Path, tokenizer: Path, ray_address: str | None = None, *, is_kept: bool = False
) -> dict[str, str]:
    """Make the dataset from sources in a folder, and remove it unless it is kept; its files."""
    out = folder / "out"
    settings = everything(write_lines(folder / "exam.jsonl", [chat(QUESTION, "72")]))
    settings |= {"pack": {"seq_len": 128}, "overlong": "split", "shard_tokens": 1000}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sftdata.pipeline.read.UNIT_BYTES", 700)
        if engine == "memory":
            patch.setattr("sftdata.pipeline.prepare.TaskEngine", MemoryEngine)
        elif engine in ("forkserver", "spawn"):
            patch.setattr(multiprocessing, "get_all_start_methods", lambda: [engine])
        elif engine == "ray":
            settings |= {"engine": "ray", "ray_address": ray_address}
        workers = 2 if engine in ("forkserver", "spawn", "ray") else 1
        prepare(out, tokenizer, write_sources(folder), workers, **settings)
    found = tree(out)
    if not is_kept:
        shutil.rmtree(out)
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the sources are. Their paths are in the manifest."""
    return tmp_path_factory.mktemp("engines")


@pytest.fixture(scope="module")
def made_here(tiny_tokenizer: Path, folder: Path) -> dict[str, str]:
    """The files of the dataset that this process made, in which every stage has left something."""
    found = made_by("this process", folder, tiny_tokenizer, is_kept=True)
    out = folder / "out"
    sftdata.verify(out)
    rows = ledger(out)
    assert {row["reason"] for row in rows} == {
        None,
        "unknown_shape",
        "over_weight",
        "repetitive",
        "wrong_type",
        "open_code_fence",
        "duplicate",
        "near_duplicate",
        "shared_prefix",
        "contaminated",
        "over_cap",
        "overlong",
        "over_max_records",
    }
    assert {row["split"] for row in rows} == {None, "train", "validation"}
    places = Counter(len(row["places"] or ()) for row in rows)
    assert max(places) > 3  # windows of an overlong conversation
    assert places[3] > 3  # a repeated source
    manifest = sftdata.Manifest.load(out)
    assert manifest.privacy == {"credit_card": 1, "email": 1}
    assert manifest.encoding.split_conversations == 1
    assert len(manifest.mixture) == 2
    assert len(manifest.shards) > 4
    shutil.rmtree(out)
    return found


@pytest.mark.parametrize("engine", ENGINES[1:])
def test_the_engine_changes_no_byte(
    made_here: dict[str, str], folder: Path, tiny_tokenizer: Path, worker_pids: set[int], engine: str
) -> None:
    if engine != "memory" and engine not in multiprocessing.get_all_start_methods():
        pytest.skip(f"this system has no {engine}")
    assert worker_pids == set()
    found = made_by(engine, folder, tiny_tokenizer)
    assert bool(worker_pids) == (engine != "memory")
    assert found == made_here


@pytest.fixture
def on_ray(
    ray_cluster: RayCluster, folder: Path, tiny_tokenizer: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str, int], dict[str, str]]:
    """Makes the dataset with a launcher of `ray_launchers` on a number of nodes; its files."""
    import ray_launchers

    monkeypatch.setattr(ray_launchers.Counted, "folder", tmp_path, raising=False)
    monkeypatch.setattr(ray_launchers.Counted, "cluster", ray_cluster, raising=False)

    def make(launcher: str, nodes: int) -> dict[str, str]:
        ray_cluster.have(nodes)
        ray_launchers.Counted.pids.clear()
        ray_launchers.Counted.nodes.clear()
        monkeypatch.setattr("sftdata.engines.ray.RayLauncher", getattr(ray_launchers, launcher))
        found = made_by("ray", folder, tiny_tokenizer, ray_cluster.address)
        assert os.getpid() not in ray_launchers.Counted.pids
        return found

    return make


@pytest.mark.parametrize(("launcher", "nodes"), [("Counted", 1), ("LastFirst", 2)])
def test_ray_on_one_node_or_two_changes_no_byte(
    made_here: dict[str, str], on_ray: Callable[[str, int], dict[str, str]], launcher: str, nodes: int
) -> None:
    from ray_launchers import Counted

    assert on_ray(launcher, nodes) == made_here
    assert len(Counted.nodes) == nodes


def test_workers_that_are_killed_change_no_byte(
    made_here: dict[str, str], on_ray: Callable[[str, int], dict[str, str]], tmp_path: Path
) -> None:
    assert on_ray("OneKilled", 1) == made_here
    assert sorted(path.name for path in tmp_path.iterdir()) == ["encode", "write"]


def test_a_node_that_is_lost_changes_no_byte(
    made_here: dict[str, str], on_ray: Callable[[str, int], dict[str, str]], tmp_path: Path
) -> None:
    assert on_ray("NodeLost", 2) == made_here
    assert (tmp_path / "elsewhere").exists()
