"""The files of a folder on a store: all of them, or an error. A folder that cannot be listed is not an empty one."""

from __future__ import annotations

import errno
import json
from pathlib import Path
from typing import Any

import pytest
from fsspec.implementations.local import LocalFileSystem

import sftdata
from sftdata.errors import OutputError, SourceError
from sftdata.read.readers.store_files import _before_wildcard
from sftdata.remote.listing import files_below, files_matching

ROWS = [{"prompt": f"What is {n}?", "completion": f"It is {n}, of course."} for n in range(12)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three files with four rows each, in folders of one another."""
    for index, name in enumerate(("a.jsonl", "in/b.jsonl", "in/deep/c.jsonl")):
        path = tmp_path / "rows" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(json.dumps(row) + "\n" for row in ROWS[4 * index : 4 * index + 4]))
    return tmp_path / "rows"


def fail_to_list(patch: pytest.MonkeyPatch, folder: Path, after: int = 0) -> None:
    """Let the store fail when a folder is listed."""
    original, calls = LocalFileSystem.ls, [0]

    def failing(self: Any, path: str, **settings: Any) -> Any:
        if path.rstrip("/") == str(folder):
            calls[0] += 1
            if calls[0] > after:
                raise OSError(errno.EIO, "Input/output error")
        return original(self, path, **settings)

    patch.setattr(LocalFileSystem, "ls", failing)


@pytest.mark.parametrize("failing", ["", "in", "in/deep"])
@pytest.mark.parametrize("place", ["", "/*/*/*.jsonl", "/**/*.jsonl"])
def test_a_folder_of_a_source_that_cannot_be_listed_is_an_error(
    folder: Path, tiny_tokenizer: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str, failing: str
) -> None:
    fail_to_list(monkeypatch, folder / failing)
    with pytest.raises(SourceError, match=r"the store failed \(Input/output error\); run the same command again"):
        sftdata.prepare(f"file://{folder}{place}", tokenizer=tiny_tokenizer, out=tmp_path / "out", progress=False)


def test_a_dataset_is_not_replaced_because_its_folder_could_not_be_listed(
    folder: Path, tiny_tokenizer: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SFTDATA_CACHE", str(tmp_path / "cache"))
    out = f"file://{tmp_path / 'store' / 'out'}"
    settings: dict[str, Any] = {"tokenizer": tiny_tokenizer, "out": out, "progress": False, "workers": 1}
    sftdata.prepare(folder, **settings)
    manifest = (tmp_path / "store" / "out" / "manifest.json").read_bytes()
    with monkeypatch.context() as patch:
        fail_to_list(patch, tmp_path / "store" / "out")
        with pytest.raises(OutputError, match=r"out: the store failed \(Input/output error\)"):
            sftdata.prepare(folder, seed=1, **settings)
    assert (tmp_path / "store" / "out" / "manifest.json").read_bytes() == manifest


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("*", ["a.jsonl", "b.txt", "part-1.jsonl"]),
        ("part-*", ["part-1.jsonl"]),
        ("*/*.jsonl", ["in/c.jsonl", "other/e.jsonl"]),
        ("in/*", ["in/c.jsonl"]),
        ("i*/d?ep/*.jsonl", ["in/deep/d.jsonl"]),
        ("**/*.jsonl", ["a.jsonl", "in/c.jsonl", "in/deep/d.jsonl", "other/e.jsonl", "part-1.jsonl"]),
        ("[ab].*", ["a.jsonl", "b.txt"]),
        ("no/*", []),
        ("a.jsonl/*", []),
    ],
)
def test_a_glob_matches_the_files_it_names(store: Any, pattern: str, names: list[str]) -> None:
    for name in ("a.jsonl", "b.txt", "part-1.jsonl", "in/c.jsonl", "in/deep/d.jsonl", "other/e.jsonl"):
        store.put(f"rows/{name}", b"x")
    root = store.system._strip_protocol(store.at("rows"))
    assert [path[len(root) + 1 :] for path in files_matching(store.system, f"{root}/{pattern}")] == names


def test_a_path_is_a_folder_or_a_file_or_nothing(store: Any) -> None:
    store.put("rows/in/a.jsonl", b"x")
    root = store.system._strip_protocol(store.at("rows"))
    assert [*files_below(store.system, root)] == [f"{root}/in/a.jsonl"]
    assert [*files_below(store.system, f"{root}/in/a.jsonl")] == [f"{root}/in/a.jsonl"]
    assert files_below(store.system, f"{root}/none") == {}


def test_two_keys_with_one_normalised_name_are_an_error(store: Any, tiny_tokenizer: Path, tmp_path: Path) -> None:
    row = json.dumps(ROWS[0]).encode() + b"\n"
    if store.address.startswith("memory"):
        pytest.skip("this store normalises names itself")
    store.put("x/a.jsonl", row)
    store.put("x//a.jsonl", json.dumps(ROWS[1]).encode() + b"\n")
    with pytest.raises(SourceError, match=r"data/x: has a file whose path is '.*/data/x//a\.jsonl', and an empty part"):
        sftdata.prepare(store.at("x"), tokenizer=tiny_tokenizer, out=tmp_path / "out", progress=False)


def test_what_a_console_puts_into_a_new_folder_is_no_file(store: Any, tiny_tokenizer: Path, tmp_path: Path) -> None:
    if store.address.startswith("memory"):
        pytest.skip("this store has folders")
    for name in ("rows/", "rows/in/", "out/"):
        store.put(name, b"")
    store.put("rows/in/a.jsonl", json.dumps(ROWS[0]).encode() + b"\n")
    settings: dict[str, Any] = {"tokenizer": tiny_tokenizer, "progress": False, "workers": 1}
    assert len(sftdata.prepare(store.at("rows"), out=store.at("out"), **settings).ledger) == 1


def test_a_link_to_a_file_is_read_as_on_the_disk(folder: Path, tiny_tokenizer: Path, tmp_path: Path) -> None:
    (tmp_path / "more.jsonl").write_text(json.dumps({"prompt": "More?", "completion": "Yes, more."}) + "\n")
    (folder / "more.jsonl").symlink_to(tmp_path / "more.jsonl")
    for number, address in enumerate((str(folder), f"file://{folder}")):
        made = sftdata.prepare(address, tokenizer=tiny_tokenizer, out=tmp_path / str(number), progress=False, workers=1)
        assert len(made.ledger) == 13


@pytest.mark.parametrize("place", ["", "/*/*.jsonl"])
@pytest.mark.parametrize(
    ("target", "message"),
    [("elsewhere", "is a link to a folder, and those are not followed"), ("nowhere", "is a link that leads nowhere")],
)
def test_a_link_to_a_folder_or_to_nothing_is_an_error(
    folder: Path, tiny_tokenizer: Path, tmp_path: Path, place: str, target: str, message: str
) -> None:
    (tmp_path / "elsewhere").mkdir()
    (folder / "link").symlink_to(tmp_path / target)
    with pytest.raises(SourceError, match=rf"rows/link {message}"):
        sftdata.prepare(f"file://{folder}{place}", tokenizer=tiny_tokenizer, out=tmp_path / "out", progress=False)


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("hdfs:///", "hdfs:///a.jsonl"),
        ("hdfs:///*.jsonl", "hdfs:///a.jsonl"),
        ("hdfs://host/", "hdfs://host/a.jsonl"),
        ("memory://", "memory://a.jsonl"),
        ("memory://*.jsonl", "memory://a.jsonl"),
        ("s3://bucket/x/", "s3://bucket/x/a.jsonl"),
    ],
)
def test_an_address_of_a_whole_store_gives_those_of_its_files(url: str, address: str) -> None:
    assert f"{_before_wildcard(url)}/a.jsonl" == address


@pytest.mark.parametrize("address", ["memory://", "hdfs:///", "file:///"])
def test_a_whole_store_is_no_output_folder(address: str, folder: Path, tiny_tokenizer: Path) -> None:
    with pytest.raises(
        OutputError, match=rf"{address}: names a whole store, not a folder on it; add the name of a fol"
    ):
        sftdata.prepare(folder, tokenizer=tiny_tokenizer, out=address, progress=False)
