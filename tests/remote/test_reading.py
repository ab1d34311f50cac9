"""A dataset on a store is read as one in a folder is: each file once it is needed, compared with its checksum."""

from __future__ import annotations

import json
import pickle
import shutil
import subprocess
import sys
from concurrent.futures import wait
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import fsspec
import pyarrow as pa
import pytest

import sftdata
from sftdata.errors import ConfigError, DatasetError, OutputError
from sftdata.files.regular import regular_file
from sftdata.remote.folder import RemoteFolder
from sfttrain.config import parse_config
from sfttrain.data import open_shards
from sfttrain.fetched_rows import FetchedRows, OpenShards
from sfttrain.trainer.batches import plan_batches
from sfttrain.trainer.order import plan_fetching

ROWS = [{"prompt": f"What is {n}?", "completion": f"It is {n}, of course."} for n in range(60)]


@pytest.fixture
def dataset(store: Any, tiny_tokenizer: Path, tmp_path: Path) -> str:
    """The address of a dataset of several shards."""
    out = {"path": store.at("out"), "shard_tokens": 300}
    data = tmp_path / "rows.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    sftdata.prepare(str(data), tokenizer=tiny_tokenizer, out=out, pack={"seq_len": 64}, workers=1, progress=False)
    return str(out["path"])


@pytest.fixture
def fetched(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that are fetched."""
    names: list[str] = []
    download = RemoteFolder.download

    def noting(self: RemoteFolder, name: str, *arguments: Any) -> None:
        names.append(name)
        download(self, name, *arguments)

    monkeypatch.setattr(RemoteFolder, "download", noting)
    return names


def test_only_what_is_looked_at_is_fetched_and_once(dataset: str, fetched: list[str]) -> None:
    ds = sftdata.open(dataset)
    assert ds.name == "out"
    assert fetched == []
    first = ds[0]
    assert fetched == [ds.shards[0].path, "tokenizer/tokenizer.json"]
    assert "It is" in first.samples[0].text
    assert ds.why("rows.jsonl:7")
    assert "ledger/00000.parquet" in fetched
    before = [*fetched]
    assert sftdata.open(dataset)[0].samples[0].text == first.samples[0].text
    assert fetched == before
    assert len({*fetched}) == len(fetched)


def test_copies_take_no_more_than_the_limit_and_come_again(
    dataset: str, fetched: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shards = sftdata.open(dataset).shards
    largest = max(entry.size_bytes for entry in sftdata.open(dataset).manifest.listed_files())
    limit = largest + 2 * shards[0].size_bytes
    monkeypatch.setenv("SFTDATA_CACHE_GB", str(limit / 1e9))
    sftdata.verify(dataset)
    held = list((tmp_path / "cache" / "datasets").glob("*/train/*"))
    assert sum(path.stat().st_size for path in held) <= limit
    assert len(held) < len(shards)
    assert len({*fetched}) < len(fetched)
    monkeypatch.setenv("SFTDATA_CACHE_GB", "much")
    with pytest.raises(ConfigError, match="is not a number"):
        open_shards(dataset).rows("train")


def test_a_file_that_is_another_than_the_manifest_says_is_never_kept(store: Any, dataset: str, tmp_path: Path) -> None:
    ds = sftdata.open(dataset)
    name = ds.shards[0].path
    data = store.read(f"out/{name}")
    store.put(f"out/{name}", data[:-8] + b"\1" * 8)
    with pytest.raises(DatasetError, match=rf"out/{name}: does not match its checksum in the manifest"):
        ds[0]
    store.put(f"out/{name}", data[:-8])
    with pytest.raises(DatasetError, match=rf"ended after {len(data) - 8:,} of {len(data):,} bytes"):
        ds[0]
    assert [*(tmp_path / "cache" / "datasets").glob("*/train/*")] == []
    store.put(f"out/{name}", data)
    assert ds[0].samples


def test_verify_says_what_is_on_the_store_now(store: Any, dataset: str, tmp_path: Path) -> None:
    assert sftdata.verify(dataset).packed == 60
    shard = sftdata.open(dataset).shards[0].path
    data = store.read(f"out/{shard}")
    (copy,) = (tmp_path / "cache" / "datasets").glob(f"*/{shard}")
    copy.write_bytes(data[:-8] + b"\1" * 8)
    assert sftdata.verify(dataset).packed == 60  # what is wrong is the copy alone
    assert copy.read_bytes() == data
    for damaged in (data[:1], data[:-8] + b"\1" * 8, None):
        store.system.rm_file(store.at(f"out/{shard}"))
        if damaged is not None:
            store.put(f"out/{shard}", damaged)
        with pytest.raises(DatasetError, match=rf"out/{shard}: (ended after 1 of|does not match|does not exist)"):
            sftdata.verify(dataset)
    store.put(f"out/{shard}", data)
    store.system.rm_file(store.at("out/ledger/00000.parquet"))
    with pytest.raises(DatasetError, match=r"out/ledger/00000\.parquet: does not exist"):
        sftdata.verify(dataset)


def flip_a_token(shard: Path, ids: list[int]) -> None:
    """Change the last token of a row in a shard into its neighbor, at the same size."""
    data, held = shard.read_bytes(), b"".join(id_.to_bytes(4, "little") for id_ in ids)
    at = data.index(held) + len(held) - 4
    shard.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])


def test_training_sees_that_a_copy_was_changed(dataset: str, tmp_path: Path) -> None:
    opened = open_shards(dataset)
    rows, shards = opened.rows("train"), opened.manifest.shards
    assert rows is not None
    first = rows[0]["input_ids"][:8]
    opened.check_unchanged()
    (copy,) = (tmp_path / "cache" / "datasets").glob(f"*/{shards[0].path}")
    flip_a_token(copy, first)
    with pytest.raises(DatasetError, match=r"does not match its checksum in the manifest.*while a run trains on it"):
        opened.check_unchanged()
    again: Any = open_shards(dataset).rows("train")
    with pytest.raises(DatasetError, match="does not match its checksum in the manifest"):
        again[0]


def test_a_reader_of_a_dataset_that_is_replaced_gets_its_own_rows_or_an_error(
    store: Any, dataset: str, tiny_tokenizer: Path, tmp_path: Path
) -> None:
    old = sftdata.open(dataset)
    text = old[0].samples[0].text
    data = tmp_path / "rows.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in ROWS[:30]))
    out = {"path": dataset, "shard_tokens": 300}
    settings = {"pack": {"seq_len": 64}, "workers": 1, "progress": False, "overwrite": True}
    sftdata.prepare(str(data), tokenizer=tiny_tokenizer, out=out, **settings)
    assert old[0].samples[0].text == text  # which was fetched before
    with pytest.raises(DatasetError, match=r"does not match its checksum|ended after|does not exist"):
        list(old)
    assert len(sftdata.open(dataset).ledger) == 30


def test_training_fetches_a_shard_when_its_rows_are_read(dataset: str, fetched: list[str], tmp_path: Path) -> None:
    opened = open_shards(dataset)
    shards = opened.manifest.shards
    rows: Any = opened.rows("train")
    assert len(rows) == sum(shard.rows for shard in shards)
    assert {name.partition("/")[0] for name in fetched} == {"tokenizer"}
    assert opened.shown == dataset
    for shard in shards:
        (tmp_path / "whole" / shard.path).parent.mkdir(parents=True, exist_ok=True)
        fsspec.filesystem(dataset.partition(":")[0]).get_file(
            f"{dataset}/{shard.path}", tmp_path / "whole" / shard.path
        )
    expected = pa.concat_tables(
        pa.ipc.open_stream((tmp_path / "whole" / shard.path).read_bytes()).read_all() for shard in shards
    ).to_pydict()
    ledger = sftdata.open(dataset).ledger.to_pandas()
    lines = dict(zip(ledger["record_id"], ledger["where"], strict=True))
    rows.shards.last = 0  # nothing is fetched ahead
    assert rows[0]["labels"] == expected["labels"][0]
    first_ids = expected["record_ids"][0]
    assert opened.where("train", [0]) == list(dict.fromkeys(lines[id_] for id_ in first_ids))
    assert [name for name in fetched if name.startswith("train/")] == [shards[0].path]
    last = len(rows) - 1
    assert opened.where("train", [last]) == list(dict.fromkeys(lines[id_] for id_ in expected["record_ids"][last]))
    assert [name for name in fetched if name.startswith("train/")] == [shards[0].path, shards[-1].path]
    assert {name: expected[name] for name in rows.column_names} == rows[:]
    assert [row["seq_lengths"] for row in rows] == expected["seq_lengths"]
    assert rows.select([5, 0])[0]["labels"] == expected["labels"][5]
    assert rows.with_format("numpy")[-1]["input_ids"].tolist() == expected["input_ids"][-1]
    assert opened.lengths("train") == [len(ids) for ids in expected["input_ids"]]
    assert sum(batch.num_rows for batch in rows.data.to_batches(max_chunksize=2)) == len(rows)
    assert sorted(name for name in fetched if name.startswith("train/")) == [shard.path for shard in shards]
    opened.check_unchanged()


def test_what_follows_is_fetched_ahead_and_no_further_than_it_is_read(dataset: str, fetched: list[str]) -> None:
    opened = open_shards(dataset)
    rows: Any = opened.rows("train")
    paths = [shard.path for shard in opened.manifest.shards]
    assert len(paths) > 6
    for fit_together, last, ahead in ((True, 2, 2), (True, 6, 4), (False, 6, 1)):
        rows.shards.last, rows.shards.fit_together = last, fit_together
        shutil.rmtree(opened.path / "train", ignore_errors=True)
        fetched.clear()
        rows.shards.close()
        rows[0]
        wait(rows.shards._ahead.values())
        rows.shards._ahead.clear()
        assert sorted(fetched) == paths[: 1 + ahead]


def test_shards_that_do_not_fit_together_are_open_one_at_a_time(dataset: str, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = open_shards(dataset)
    shards, rows = opened.manifest.shards, opened.rows("train")
    assert isinstance(rows, FetchedRows)
    two = sum(sorted(shard.size_bytes for shard in shards)[-2:])
    monkeypatch.setattr("sftdata.remote.room.limit_bytes", lambda: two)
    settings = {"shards": dataset, "model": "m", "out": "o", "epochs": 1}
    config = parse_config(settings)
    batches = plan_batches(config, opened.manifest.splits["train"], opened.manifest.seq_len, 1)
    plan_fetching(config, batches, rows, None)
    read = [row["seq_lengths"] for row in rows]
    wait(rows.shards._ahead.values())
    held = [*(opened.path / "train").iterdir()]
    assert sum(path.stat().st_size for path in held) <= two
    assert [sum(lengths) for lengths in read] == opened.lengths("train")
    for more, named in (({"epochs": 2}, "epochs"), ({"sort": "length"}, "sort")):
        with pytest.raises(ConfigError, match=rf"{named}: needs all shards at once.*SFTDATA_CACHE_GB=1"):
            plan_fetching(parse_config({**settings, **more}), batches, rows, None)
    monkeypatch.setattr("sftdata.remote.room.limit_bytes", lambda: max(shard.size_bytes for shard in shards) - 1)
    with pytest.raises(
        ConfigError, match=r"SFTDATA_CACHE_GB: lets the cache hold [\d,]+ bytes, and the shards that are"
    ):
        plan_fetching(config, batches, rows, None)


def test_what_is_fetched_ahead_takes_no_room_that_a_validation_needs(
    store: Any, tiny_tokenizer: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = tmp_path / "rows.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    more = {"pack": {"seq_len": 64}, "split": {"validation": 0.3}, "workers": 1, "progress": False}
    address = store.at("both")
    sftdata.prepare(str(data), tokenizer=tiny_tokenizer, out={"path": address, "shard_tokens": 300}, **more)
    opened = open_shards(address)
    train, validation = opened.rows("train"), opened.rows("validation")
    assert isinstance(train, FetchedRows)
    assert isinstance(validation, FetchedRows)
    config = parse_config({"shards": address, "model": "m", "out": "o", "epochs": 1})
    batches = plan_batches(config, opened.manifest.splits["train"], opened.manifest.seq_len, 1)
    largest = [max(shard.size_bytes for shard in rows.shards.entries) for rows in (train, validation)]
    for room, ahead in ((sum(largest), 0), (2 * sum(largest), 1)):
        monkeypatch.setattr("sftdata.remote.room.limit_bytes", lambda room=room: room)
        plan_fetching(config, batches, train, validation)
        assert not train.shards.fit_together
        train.shards.close()
        train[0]
        assert len(train.shards._ahead) == ahead
        assert validation[0]
        wait(train.shards._ahead.values())


def test_a_worker_that_is_no_fork_reads_the_same_rows(dataset: str) -> None:
    opened = open_shards(dataset)
    rows: Any = opened.rows("train")
    code = (
        "import pickle, sys; rows = pickle.load(sys.stdin.buffer); print(rows[0], len(rows.shards._ahead)); "
        "from sftdata.errors import with_known_names; print(with_known_names(str(rows.shards.folder)))"
    )
    first = rows[0]
    found = subprocess.run(
        [sys.executable, "-c", code], input=pickle.dumps(rows), capture_output=True, check=True, timeout=120
    )
    assert found.stdout.decode().splitlines() == [f"{first} 0", dataset]


def test_how_many_bytes_are_open_at_once(tmp_path: Path) -> None:
    """Shards of 4, 1, 1 and 6 rows, with a byte for each ten rows: 40, 10, 10 and 60."""
    shards: Any = [
        SimpleNamespace(path=str(at), rows=rows, size_bytes=10 * rows) for at, rows in enumerate((4, 1, 1, 6))
    ]
    manifest: Any = None
    opened = OpenShards(tmp_path / "x", manifest, shards, {})
    #                     alone, 1 apart, 2 apart, 3 apart: from the end of the first, over both small ones, to the last
    assert [opened.bytes_at_once(rows) for rows in (0, 1, 2, 3)] == [60, 70, 80, 120]
    # And the one that follows: 40 + 10, all but the first where the last is fetched ahead, and so on.
    assert [opened.bytes_at_once(rows, 1) for rows in (0, 1, 2, 3)] == [70, 80, 120, 120]
    opened.last = 1
    assert [opened.bytes_at_once(rows) for rows in (0, 1, 9)] == [40, 50, 50]


def test_a_copy_that_made_room_before_it_was_opened_comes_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    class OfAnother:
        address = "memory://x"

        def fetch(self, name: str) -> None:
            asked.append(name)
            if len(asked) == 2:  # what came at first was removed by another process
                (tmp_path / name).write_bytes(b"12345")

    copied: Any = OfAnother()
    monkeypatch.setattr("sftdata.files.copies._copies", {tmp_path: copied})
    assert regular_file(tmp_path / "a").st_size == 5
    assert asked == ["a", "a"]


def test_a_command_with_an_address_works_when_it_is_pasted(store: Any, tiny_tokenizer: Path, tmp_path: Path) -> None:
    data = tmp_path / "rows.jsonl"
    data.write_text(json.dumps(ROWS[0]) + "\n")
    address = store.at("my data")
    sftdata.prepare(str(data), tokenizer=tiny_tokenizer, out=address, workers=1, progress=False).report()
    store.put("my data/report.html", store.read("my data/report.html") + b"more")
    with pytest.raises(DatasetError) as raised:
        sftdata.verify(address)
    assert f"`sftdata report '{address}' --overwrite`" in str(raised.value)


@pytest.mark.parametrize("address", ["sftp://me@host/data", "memory://b/run#1", "memory://b/run?"])
def test_an_address_that_would_be_shown_as_another_is_refused(
    tiny_tokenizer: Path, tmp_path: Path, address: str
) -> None:
    with pytest.raises(DatasetError, match="has a user, a # or another part in its address that is left out"):
        sftdata.open(address)
    (tmp_path / "rows.jsonl").write_text(json.dumps(ROWS[0]) + "\n")
    with pytest.raises(OutputError, match="has a user, a # or another part in its address that is left out"):
        sftdata.prepare(str(tmp_path / "rows.jsonl"), tokenizer=tiny_tokenizer, out=address, progress=False)


def test_what_is_no_dataset(store: Any) -> None:
    with pytest.raises(
        DatasetError, match=r"none: has no manifest\.json, so it is not a dataset, or one that is being wr"
    ):
        sftdata.open(store.at("none"))
    with pytest.raises(DatasetError, match="has a password, a token or a signature in its address"):
        sftdata.open("memory://u:hidden@x/out")
