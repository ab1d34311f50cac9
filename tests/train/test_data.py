"""Which datasets sfttrain refuses to read."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from sftdata.errors import ConfigError, DatasetError
from sfttrain.data import open_shards


@pytest.fixture
def copy(shards: Path, tmp_path: Path) -> Path:
    """The dataset, for a test to damage."""
    return Path(shutil.copytree(shards, tmp_path / "copy"))


def test_a_folder_without_a_manifest_is_refused(copy: Path):
    (copy / "manifest.json").unlink()
    with pytest.raises(DatasetError, match=r"contains no manifest\.json"):
        open_shards(copy)


def test_a_changed_byte_in_a_shard_is_found(copy: Path):
    shard = copy / "train" / "00000-of-00003.arrow"
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(content)
    with pytest.raises(DatasetError, match="does not match its checksum"):
        open_shards(copy)


def test_a_changed_tokenizer_is_found(copy: Path):
    path = copy / "tokenizer" / "tokenizer.json"
    path.write_bytes(path.read_bytes().replace(b"Paris", b"Pariz") + b" ")
    with pytest.raises(DatasetError, match=r"tokenizer\.json"):
        open_shards(copy)


def test_a_missing_shard_is_found(copy: Path):
    (copy / "validation" / "00002-of-00003.arrow").unlink()
    with pytest.raises(DatasetError, match="does not exist"):
        open_shards(copy)


def test_a_schema_version_of_the_future_is_refused(copy: Path):
    manifest = json.loads((copy / "manifest.json").read_text())
    (copy / "manifest.json").write_text(json.dumps({**manifest, "schema_version": 99}))
    with pytest.raises(DatasetError, match="schema version 99"):
        open_shards(copy)


def test_a_manifest_whose_hash_does_not_match_its_shards_is_refused(copy: Path):
    manifest = json.loads((copy / "manifest.json").read_text())
    (copy / "manifest.json").write_text(json.dumps({**manifest, "dataset_hash": "0" * 64}))
    with pytest.raises(DatasetError, match="dataset_hash"):
        open_shards(copy)


def test_a_dataset_without_trained_tokens_is_refused(tmp_path: Path, make_shards, samples_of):
    untrained = [(ids, [-100] * len(ids)) for ids, _ in samples_of(4)]
    make_shards(tmp_path / "data", [untrained])
    with pytest.raises(DatasetError, match="no token of its train split is trained"):
        open_shards(tmp_path / "data")


def test_the_rows_of_a_split_are_those_of_its_shards(shards: Path):
    opened = open_shards(shards)
    rows = opened.rows("train")
    assert rows is not None
    assert rows.column_names == ["input_ids", "labels", "seq_lengths"]
    assert sum(len(row["input_ids"]) for row in rows) == opened.manifest.splits["train"].tokens
    assert opened.rows("test") is None


def test_validation_without_a_validation_split_is_refused(tmp_path: Path, make_shards, samples_of):
    data = make_shards(tmp_path / "all", [samples_of(6)])
    with pytest.raises(ConfigError, match="no validation split"):
        open_shards(data, needs_validation=True)


def test_files_are_not_read_where_checksums_are_not_asked_for(copy: Path):
    (copy / "train" / "00000-of-00003.arrow").write_bytes(b"")
    assert open_shards(copy, checksums=False).path == copy
