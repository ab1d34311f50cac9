"""sftdata.store.manifest: save and load, derived numbers, and errors for folders that are not datasets."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from sftdata.errors import DatasetError
from sftdata.store.manifest import FileEntry, Manifest, PackingEntry, ShardEntry, SplitStats, hash_of_shards
from sftdata.store.shards import ShardStats

A, B = "a" * 64, "b" * 64


def shard(path: str, sha256: str, rows: int = 2, tokens: int = 12) -> ShardEntry:
    return ShardEntry.of(path, path.split("/")[0], ShardStats(rows, 3, tokens, 4, 100, sha256))


def test_a_manifest_round_trips_to_the_same_bytes(dataset: Any, tmp_path: Path) -> None:
    manifest = Manifest.load(dataset.write(tmp_path))
    (tmp_path / "copy").mkdir()
    sha256 = manifest.save(tmp_path / "copy")
    assert Manifest.load(tmp_path / "copy") == manifest
    data = (tmp_path / "copy" / "manifest.json").read_bytes()
    assert data == manifest.to_json()
    assert hashlib.sha256(data).hexdigest() == sha256


def test_splits_are_sums_over_their_shards(dataset: Any, tmp_path: Path) -> None:
    assert Manifest.load(dataset.write(tmp_path)).splits == {
        "train": SplitStats(shards=1, rows=2, samples=4, tokens=59, trained_tokens=14),
        "validation": SplitStats(shards=1, rows=1, samples=1, tokens=13, trained_tokens=2),
    }


def test_only_sources_of_the_text_format_are_text(dataset: Any, tmp_path: Path) -> None:
    assert Manifest.load(dataset.write(tmp_path)).text_sources == {"notes.txt"}


def test_the_dataset_hash_depends_only_on_paths_and_checksums() -> None:
    one, two = shard("train/0.arrow", A), shard("train/1.arrow", B)
    lines = f"train/0.arrow\0{A}\ntrain/1.arrow\0{B}\n"
    assert hash_of_shards([one, two]) == hash_of_shards([two, one]) == hashlib.sha256(lines.encode()).hexdigest()
    assert hash_of_shards([one]) != hash_of_shards([one, two])
    assert hash_of_shards([shard("train/0.arrow", B), shard("train/1.arrow", A)]) != hash_of_shards([one, two])


def test_fill_is_tokens_over_rows_times_seq_len() -> None:
    packing = PackingEntry.of("best_fit", 8, [shard("train/0.arrow", A), shard("train/1.arrow", A, rows=1, tokens=6)])
    assert (packing.rows, packing.fill) == (3, 0.75)
    assert PackingEntry.of("none", 8, []).fill == 0.0


def test_a_folder_that_is_not_a_dataset_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "empty").mkdir()
    for folder, sentence in {
        "absent": "does not exist",
        "file": "is not a folder",
        "empty": "contains no manifest.json, so it is not a complete dataset",
    }.items():
        with pytest.raises(DatasetError, match=sentence):
            Manifest.load(tmp_path / folder)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "is empty"),
        ("{", "is not JSON"),
        ("[]", "is not a JSON object"),
        ('{"schema_version": 2}', "has schema version 2, but this version of sftdata supports only 1"),
        ("{}", "has schema version None"),
        ('{"schema_version": 1}', r"is not a manifest \(dataset_hash: field required\)"),
    ],
)
def test_an_invalid_manifest_is_reported(tmp_path: Path, text: str, sentence: str) -> None:
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(DatasetError, match=sentence):
        Manifest.load(tmp_path)


@pytest.mark.parametrize("path", ["/etc/passwd", "../x", "train/../../x", "", "C:/x", "a\\b"])
def test_a_path_outside_the_folder_is_rejected(dataset: Any, tmp_path: Path, path: str) -> None:
    dataset.write(tmp_path)
    payload = json.loads((tmp_path / "manifest.json").read_text())
    payload["files"][0]["path"] = path
    (tmp_path / "manifest.json").write_text(json.dumps(payload))
    with pytest.raises(DatasetError, match=r"files\.0\.path: .*within the dataset folder"):
        Manifest.load(tmp_path)


def test_a_file_is_compared_with_its_entry(tmp_path: Path) -> None:
    path = tmp_path / "train" / "x"
    path.parent.mkdir()
    path.write_bytes(b"hello")
    entry = FileEntry(path="train/x", size_bytes=5, sha256=hashlib.sha256(b"hello").hexdigest())
    entry.check(tmp_path)
    for data, sentence in ((b"hallo", "does not match its checksum"), (b"hell", "has 4 bytes instead of 5")):
        path.write_bytes(data)
        with pytest.raises(DatasetError, match=sentence):
            entry.check(tmp_path)
    path.unlink()
    with pytest.raises(DatasetError, match="is listed in the manifest, but does not exist"):
        entry.check(tmp_path)
