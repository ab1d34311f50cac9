"""Sources on a store: the rows of local files, read once, and never fewer of them because a store failed."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from faulty_store import Faults, FaultyStore

import sftdata
from sftdata.errors import SourceError
from sftdata.read.readers import store_files

ROWS = [{"prompt": f"What is {n}?", "completion": f"It is {n}, of course."} for n in range(40)]


def lines(rows: list[dict[str, str]]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


@pytest.fixture
def files(tmp_path: Path) -> dict[str, bytes]:
    """Files of every kind with ten rows each, by name."""
    pq.write_table(pa.Table.from_pylist(ROWS[30:]), tmp_path / "d.parquet", row_group_size=4)
    return {
        "a.jsonl": lines(ROWS[:10]),
        "b.jsonl.gz": gzip.compress(lines(ROWS[10:20]), mtime=0),
        "in/c.jsonl.zst": zstandard.compress(lines(ROWS[20:30])),
        "in/d.parquet": (tmp_path / "d.parquet").read_bytes(),
    }


@pytest.fixture
def here(files: dict[str, bytes], tmp_path: Path) -> Path:
    """The files in a folder."""
    for name, data in files.items():
        path = tmp_path / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return tmp_path / "data"


def made_of(source: object, tokenizer: Path, out: Path, **settings: Any) -> sftdata.Dataset:
    given = {"pack": {"seq_len": 64}, "progress": False, "workers": 1, **settings}
    return sftdata.prepare(str(source), tokenizer=tokenizer, out=out, **given)


@pytest.mark.parametrize("place", ["a.jsonl", "in", "*.gz", "in/*", "in/d.parquet", ""])
def test_a_store_gives_the_rows_of_the_disk(
    store: Any, files: dict[str, bytes], here: Path, tiny_tokenizer: Path, tmp_path: Path, place: str
) -> None:
    for name, data in files.items():
        store.put(f"rows/{name}", data)
    local = made_of(here / place, tiny_tokenizer, tmp_path / "local")
    remote = made_of(store.at(f"rows/{place}".rstrip("/")), tiny_tokenizer, tmp_path / "remote")
    assert remote.manifest.dataset_hash == local.manifest.dataset_hash
    columns = ["where", "record_id", "fate", "places", "digests"]
    assert remote.ledger.to_arrow().select(columns) == local.ledger.to_arrow().select(columns)


def test_what_was_read_is_read_again_only_where_its_etag_is_another(
    store: Any, files: dict[str, bytes], tiny_tokenizer: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if store.address.startswith("memory"):
        pytest.skip("this store has no ETags")
    for name in ("a.jsonl", "b.jsonl.gz"):
        store.put(f"rows/{name}", files[name])
    opened: list[str] = []
    open_file = type(store.system).open

    def noting(self: Any, path: str, *arguments: Any, **settings: Any) -> Any:
        opened.append(path.rpartition("/")[2])
        return open_file(self, path, *arguments, **settings)

    monkeypatch.setattr(type(store.system), "open", noting)
    made_of(store.at("rows"), tiny_tokenizer, tmp_path / "out", keep_work=True)
    assert sorted(opened) == ["a.jsonl", "b.jsonl.gz"]
    made_of(store.at("rows"), tiny_tokenizer, tmp_path / "out", keep_work=True, overwrite=True)
    assert sorted(opened) == ["a.jsonl", "b.jsonl.gz"]
    store.put("rows/a.jsonl", files["a.jsonl"].replace(b"What", b"WHAT"))
    made_of(store.at("rows"), tiny_tokenizer, tmp_path / "out", overwrite=True)
    assert sorted(opened) == ["a.jsonl", "a.jsonl", "b.jsonl.gz"]


def test_a_file_that_changes_while_it_is_read_is_an_error(
    store: Any, files: dict[str, bytes], tiny_tokenizer: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = store.put("a.jsonl", files["a.jsonl"])
    found = store_files.find_stored

    def late(url: str) -> Any:
        seen = found(url)
        store.put("a.jsonl", files["a.jsonl"] + lines(ROWS[:1]))
        return seen

    monkeypatch.setattr("sftdata.read.sources.find_stored", late)
    with pytest.raises(SourceError, match=r"a\.jsonl: changed while it was being read"):
        made_of(address, tiny_tokenizer, tmp_path / "out")


@pytest.mark.parametrize("later", [lines(ROWS).replace(b"What", b"WHAT"), lines(ROWS[:39]), lines(ROWS)])
def test_a_file_on_the_web_that_changes_while_it_is_read_is_an_error(
    tiny_tokenizer: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, later: bytes
) -> None:
    pytest.importorskip("aiohttp", reason="the extra `s3` is not installed")
    found, path = store_files.stored_now, "/data/a.jsonl"
    with FaultyStore() as server:
        server.files[path] = lines(ROWS)

        def late(url: str) -> Any:
            seen = found(url)
            server.files[path] = later
            return seen

        monkeypatch.setattr("sftdata.read.sources.stored_now", late)
        address = f"{server.address}{path}?token=hidden-from-all"
        if later == lines(ROWS):
            assert len(made_of(address, tiny_tokenizer, tmp_path / "out").ledger) == 40
            return
        with pytest.raises(SourceError, match=r"a\.jsonl: changed while it was being read"):
            made_of(address, tiny_tokenizer, tmp_path / "out")


@pytest.fixture
def faulty(s3_environment: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyStore]:
    """An S3 store that fails as it is told, and a client that gives up soon."""
    import s3fs

    quick = {"connect_timeout": 0.5, "read_timeout": 0.5, "retries": {"max_attempts": 1}}
    monkeypatch.setattr(s3fs.S3FileSystem, "retries", 1)
    with FaultyStore() as server:
        monkeypatch.setitem(fsspec.config.conf, "s3", {"endpoint_url": server.address, "config_kwargs": quick})
        yield server
    s3fs.S3FileSystem.clear_instance_cache()


@pytest.mark.parametrize(
    ("faults", "message"),
    [
        (Faults(status=500), r"data/a\.jsonl: the store failed .*; run the same command again"),
        (Faults(status=403), r"data/a\.jsonl: access is denied .*credentials: AWS_ACCESS_KEY_ID"),
        (Faults(hangs=True), r"data/a\.jsonl: the store did not answer in time .*; run the same command again"),
        (Faults(cut=True), r"a\.jsonl: .*; run the same command again"),
        (Faults(short=True), r"data/a\.jsonl: ended after 100 of 2,540 bytes: the store cut the download short"),
    ],
)
def test_a_store_that_fails_is_an_error_and_the_next_run_goes_on(
    faulty: FaultyStore, tiny_tokenizer: Path, tmp_path: Path, faults: Faults, message: str
) -> None:
    faulty.files = {"/bucket/data/a.jsonl": lines(ROWS), "/bucket/data/b.jsonl": lines(ROWS[:5])}
    faulty.faults = {"/bucket/data/a.jsonl": faults}
    with pytest.raises(SourceError, match=message) as raised:
        made_of("s3://bucket/data/*.jsonl", tiny_tokenizer, tmp_path / "out")
    assert "dummy-secret" not in str(raised.value)
    assert not (tmp_path / "out" / "manifest.json").exists()
    faulty.faults.clear()
    assert len(made_of("s3://bucket/data/*.jsonl", tiny_tokenizer, tmp_path / "out").ledger) == 45


def test_a_bucket_that_is_not_there_and_a_package_that_is_not_there(
    s3_environment: None, tiny_tokenizer: Path, tmp_path: Path
) -> None:
    with pytest.raises(SourceError, match=r"s3://no-such-bucket/a\.jsonl: (does not exist|matches no file)"):
        made_of("s3://no-such-bucket/a.jsonl", tiny_tokenizer, tmp_path / "out")
    with pytest.raises(SourceError, match=r"\(gcsfs\); pip install gcsfs"):
        made_of("gs://bucket/a.jsonl", tiny_tokenizer, tmp_path / "out")
