"""A dataset does not depend on the engine or the processes that made it.

One run has every curation stage on, and is made in this process, by pools, by an engine that keeps all in memory, with
units that are done in another order, and by Ray on one node and on two, where workers and nodes are lost too: with
sources and dataset in folders, and with sources, work and dataset on S3.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import fsspec
import numpy as np
import pyarrow as pa
import pytest
import s3_server as s3
from curated_rows import QUESTION, everything, many_rows
from raw_rows import chat
from runs import ledger

import sftdata
from sftdata.engines.local import ThisProcess
from sftdata.engines.stage import GroupStage, Stage
from sftdata.pipeline.prepare import prepare as make_dataset

if TYPE_CHECKING:
    from ray_cluster import RayCluster


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


class AnyOrder(ThisProcess):
    """Makes the calls in random order, as they end where several processes make them."""

    def run(self, function: Callable[..., Any], calls: Sequence[tuple[Any, ...]]) -> Iterator[tuple[int, Any]]:
        for number in np.random.default_rng(len(calls)).permutation(len(calls)).tolist():
            yield number, function(*calls[number])


class Place(NamedTuple):
    """Where sources, work and dataset are: a folder, or one on a store."""

    folder: str
    has_work: bool  # of its own; else beside the dataset

    @property
    def store(self) -> Any:
        return fsspec.url_to_fs(self.folder)[0]

    def write(self, name: str, rows: Sequence[object]) -> str:
        """A file of lines of JSON; its path or address."""
        with fsspec.open(f"{self.folder}/{name}", "wb", auto_mkdir=True) as file:
            file.write("".join(json.dumps(row) + "\n" for row in rows).encode())
        return f"{self.folder}/{name}"

    def names(self, name: str) -> list[str]:
        """The files below one of its folders, relative to that."""
        self.store.invalidate_cache()
        root = fsspec.url_to_fs(f"{self.folder}/{name}")[1]
        return sorted(path[len(root) + 1 :] for path in self.store.find(root))

    def dataset(self) -> dict[str, str]:
        """The files of the dataset, with their checksums."""
        names, out = self.names("out"), f"{self.folder}/out"
        return {name: hashlib.sha256(self.store.cat_file(f"{out}/{name}")).hexdigest() for name in names}

    def write_sources(self) -> list[dict[str, Any]]:
        """Two sources with a mixture, in which every stage has something to do, the first in several files."""
        turns = [
            turn for n in range(9) for turn in chat(f"What about {n}?", f"It has e{n}, f{n} and g{n}.")["messages"]
        ]
        long = {"messages": turns, "user": "somebody"}
        rows = [
            *many_rows(),
            {"colour": "blue"},
            {"prompt": "Hi", "completion": [3]},
            long,
            chat("Go on", "word " * 400),
        ]
        for number in range(6):
            self.write(f"a/{number}.jsonl", rows[len(rows) * number // 6 : len(rows) * (number + 1) // 6])
        more = [{**chat(f"Question {n} of b?", f"Its answer is b{n}, c{n} or d{n}."), "user": n} for n in range(40)]
        self.write("b.jsonl", more)
        return [
            {"path": f"{self.folder}/a", "keep": ["user"], "weight": 0.6, "repeat": 3},
            {"path": f"{self.folder}/b.jsonl", "weight": 0.4, "max_records": 30},
        ]


def made_by(engine: str, place: Place, tokenizer: Path, ray_address: str | None = None) -> dict[str, str]:
    """Make the dataset; its files."""
    exam = place.write("exam.jsonl", [chat(QUESTION, "72")])
    settings = everything(Path("exam")) | {"pack": {"seq_len": 128}, "overlong": "split"}
    settings["decontaminate"] = {"against": [exam]}
    out = {"path": f"{place.folder}/out", "shard_tokens": 1000}
    out |= {"work": f"{place.folder}/work"} if place.has_work else {}
    where: dict[str, Any] = {"workers": 2 if engine in ("forkserver", "spawn", "ray") else 1, "overwrite": True}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sftdata.pipeline.read.UNIT_BYTES", 700)
        if engine == "memory":
            patch.setattr("sftdata.pipeline.prepare.TaskEngine", MemoryEngine)
        elif engine == "any order":
            patch.setattr("sftdata.engines.local.ThisProcess", AnyOrder)
        elif engine in ("forkserver", "spawn"):
            patch.setattr(multiprocessing, "get_all_start_methods", lambda: [engine])
        elif engine == "ray":
            where |= {"engine": "ray", "ray_address": ray_address}
        config = {"tokenizer": str(tokenizer), "sources": place.write_sources(), "out": out, **settings}
        make_dataset(sftdata.parse_config(config), **where)
    assert place.names("work") == []
    return place.dataset()


@pytest.fixture(scope="module")
def on_disk(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return Place(str(tmp_path_factory.mktemp("engines")), has_work=False)


@pytest.fixture(scope="module")
def on_s3(s3_server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """Sources, work and dataset on S3, and a cache of this machine that is empty at first."""
    folder = tmp_path_factory.mktemp("machine")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**s3.variables(s3_server, folder), "SFTDATA_CACHE": str(folder / "cache")}.items():
            patch.setenv(name, value)
        fsspec.filesystem("s3", skip_instance_cache=True).mkdir("engines")
        yield Place("s3://engines/in", has_work=True)


@pytest.fixture(scope="module")
def made_here(tiny_tokenizer: Path, on_disk: Place) -> dict[str, str]:
    """The files of the dataset that this process made in a folder, in which every stage has left something."""
    found = made_by("this process", on_disk, tiny_tokenizer)
    out = Path(on_disk.folder, "out")
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
    return found


@pytest.fixture(scope="module")
def made_on_s3(made_here: dict[str, str], on_disk: Place, on_s3: Place, tiny_tokenizer: Path) -> dict[str, str]:
    """The files of the dataset that this process made on S3. They are those in the folder, but for the addresses."""
    found = made_by("this process", on_s3, tiny_tokenizer)
    differ = {"manifest.json"} | {name for name in found if name.startswith("ledger/")}
    assert {name: found[name] for name in found if name not in differ} == {
        name: made_here[name] for name in made_here if name not in differ
    }
    here, there = sftdata.open(f"{on_disk.folder}/out"), sftdata.open(f"{on_s3.folder}/out")
    assert there.manifest.dataset_hash == here.manifest.dataset_hash
    assert there.manifest.counts == here.manifest.counts
    rows = json.dumps(there.ledger.to_arrow().to_pylist(), default=str)
    assert json.loads(rows.replace(on_s3.folder, on_disk.folder)) == here.ledger.to_arrow().to_pylist()
    assert len(differ) < len(found)
    return found


def check_engine(made: dict[str, str], place: Place, tokenizer: Path, workers: set[int], engine: str) -> None:
    if engine in ("forkserver", "spawn") and engine not in multiprocessing.get_all_start_methods():
        pytest.skip(f"this system has no {engine}")
    assert workers == set()
    found = made_by(engine, place, tokenizer)
    assert bool(workers) == (engine in ("forkserver", "spawn"))
    assert found == made


@pytest.mark.parametrize("engine", ["forkserver", "spawn", "memory", "any order"])
def test_the_engine_changes_no_byte(
    made_here: dict[str, str], on_disk: Place, tiny_tokenizer: Path, worker_pids: set[int], engine: str
) -> None:
    check_engine(made_here, on_disk, tiny_tokenizer, worker_pids, engine)


@pytest.mark.parametrize("engine", ["forkserver", "any order"])
def test_the_engine_changes_no_byte_with_sources_work_and_dataset_on_s3(
    made_on_s3: dict[str, str], on_s3: Place, tiny_tokenizer: Path, worker_pids: set[int], engine: str
) -> None:
    check_engine(made_on_s3, on_s3, tiny_tokenizer, worker_pids, engine)


@pytest.fixture
def on_ray(
    ray_cluster: RayCluster, tiny_tokenizer: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str, int, Place], dict[str, str]]:
    """Makes the dataset with a launcher of `ray_launchers` on a number of nodes; its files."""
    import ray_launchers

    monkeypatch.setattr(ray_launchers.Counted, "folder", tmp_path, raising=False)
    monkeypatch.setattr(ray_launchers.Counted, "cluster", ray_cluster, raising=False)

    def make(launcher: str, nodes: int, place: Place) -> dict[str, str]:
        ray_cluster.have(nodes)
        ray_launchers.Counted.pids.clear()
        ray_launchers.Counted.nodes.clear()
        monkeypatch.setattr("sftdata.engines.ray.RayLauncher", getattr(ray_launchers, launcher))
        found = made_by("ray", place, tiny_tokenizer, ray_cluster.address)
        assert os.getpid() not in ray_launchers.Counted.pids
        assert len(ray_launchers.Counted.nodes) == nodes or launcher == "NodeLost"
        return found

    return make


@pytest.mark.parametrize(("launcher", "nodes"), [("Counted", 1), ("LastFirst", 2)])
def test_ray_on_one_node_or_two_changes_no_byte(
    made_here: dict[str, str],
    on_disk: Place,
    on_ray: Callable[[str, int, Place], dict[str, str]],
    launcher: str,
    nodes: int,
) -> None:
    assert on_ray(launcher, nodes, on_disk) == made_here


@pytest.mark.parametrize(("launcher", "nodes"), [("NothingHere", 1), ("LastFirst", 2)])
def test_ray_changes_no_byte_with_sources_work_and_dataset_on_s3(
    made_on_s3: dict[str, str],
    on_s3: Place,
    on_ray: Callable[[str, int, Place], dict[str, str]],
    launcher: str,
    nodes: int,
) -> None:
    assert on_ray(launcher, nodes, on_s3) == made_on_s3


def test_workers_that_are_killed_change_no_byte(
    made_here: dict[str, str], on_disk: Place, on_ray: Callable[[str, int, Place], dict[str, str]], tmp_path: Path
) -> None:
    assert on_ray("OneKilled", 1, on_disk) == made_here
    assert sorted(path.name for path in tmp_path.iterdir()) == ["encode", "write"]


def test_a_node_that_is_lost_changes_no_byte_on_s3(
    made_on_s3: dict[str, str], on_s3: Place, on_ray: Callable[[str, int, Place], dict[str, str]], tmp_path: Path
) -> None:
    assert on_ray("NodeLost", 2, on_s3) == made_on_s3
    assert (tmp_path / "elsewhere").exists()
