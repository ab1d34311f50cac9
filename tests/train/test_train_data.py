"""What sfttrain refuses to read, and how many rows make a step."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from sftdata.errors import DatasetError
from sftdata.store.manifest import SplitStats
from sfttrain.data import batch_shape, open_shards


@pytest.fixture
def copy(shards: Path, tmp_path: Path) -> Path:
    """The dataset, for a test to damage."""
    return Path(shutil.copytree(shards, tmp_path / "copy"))


def facts(rows: int, tokens: int) -> SplitStats:
    return SplitStats(shards=1, rows=rows, samples=rows, tokens=tokens, trained_tokens=tokens)


def test_a_folder_without_a_manifest_is_no_dataset(copy: Path):
    (copy / "manifest.json").unlink()
    with pytest.raises(DatasetError, match=r"holds no manifest\.json"):
        open_shards(copy)


def test_a_changed_byte_in_a_shard_is_found(copy: Path):
    shard = copy / "train" / "00000-of-00003.arrow"
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(content)
    with pytest.raises(DatasetError, match="another checksum"):
        open_shards(copy)


def test_a_changed_tokenizer_is_found(copy: Path):
    path = copy / "tokenizer" / "tokenizer.json"
    path.write_bytes(path.read_bytes().replace(b"Paris", b"Pariz") + b" ")
    with pytest.raises(DatasetError, match=r"tokenizer\.json"):
        open_shards(copy)


def test_a_missing_shard_is_found(copy: Path):
    (copy / "validation" / "00002-of-00003.arrow").unlink()
    with pytest.raises(DatasetError, match="not there"):
        open_shards(copy)


def test_a_schema_version_of_the_future_is_refused(copy: Path):
    manifest = json.loads((copy / "manifest.json").read_text())
    (copy / "manifest.json").write_text(json.dumps({**manifest, "schema_version": 99}))
    with pytest.raises(DatasetError, match="schema version 99"):
        open_shards(copy)


def test_a_manifest_whose_hash_is_not_that_of_its_shards_is_refused(copy: Path):
    manifest = json.loads((copy / "manifest.json").read_text())
    (copy / "manifest.json").write_text(json.dumps({**manifest, "dataset_hash": "0" * 64}))
    with pytest.raises(DatasetError, match="dataset_hash"):
        open_shards(copy)


def test_a_dataset_in_which_nothing_is_trained_is_refused(tmp_path: Path, make_shards, samples_of):
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


def test_a_step_takes_the_rows_that_hold_batch_tokens():
    shape = batch_shape(facts(rows=100, tokens=100 * 2000), 2048, 32_000, 1)
    assert (shape.rows_per_device, shape.accumulation, shape.rows) == (1, 16, 16)
    assert shape.steps_per_epoch == 7


def test_the_rows_of_a_step_are_spread_over_the_processes():
    shape = batch_shape(facts(rows=100, tokens=100 * 2000), 2048, 32_000, 4)
    assert (shape.rows_per_device, shape.accumulation, shape.rows) == (1, 4, 16)


def test_short_unpacked_rows_are_taken_together_up_to_a_full_row():
    shape = batch_shape(facts(rows=1000, tokens=1000 * 100), 2048, 4000, 1)
    assert (shape.rows_per_device, shape.accumulation) == (20, 2)


def test_a_step_never_takes_more_rows_than_there_are():
    shape = batch_shape(facts(rows=5, tokens=5 * 60), 64, 1_000_000, 1)
    assert shape.rows == 5
    assert shape.steps_per_epoch == 1


def test_a_step_takes_at_least_one_row_a_process():
    assert batch_shape(facts(rows=50, tokens=50 * 2000), 2048, 10, 2).rows == 2


def test_rows_per_device_can_be_chosen_and_the_rest_is_accumulated():
    shape = batch_shape(facts(rows=100, tokens=100 * 2000), 2048, 32_000, 1, rows_per_device=8)
    assert (shape.rows_per_device, shape.accumulation) == (8, 2)
