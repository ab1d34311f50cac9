"""sftdata.view.dataset: open a dataset, find rows and samples by number."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import datasets
import pytest

from sftdata.errors import DatasetError
from sftdata.view.dataset import Dataset, open_dataset


@pytest.fixture
def ds(small_dataset: Path) -> Dataset:
    return open_dataset(small_dataset)


def test_rows_are_numbered_over_the_shards_and_equal_what_the_datasets_library_reads(ds: Dataset, small_dataset: Path):
    paths = ["train/00000-of-00002.arrow", "train/00001-of-00002.arrow", "validation/00000-of-00001.arrow"]
    expected = [row for path in paths for row in datasets.Dataset.from_file(str(small_dataset / path))]
    assert len(ds) == len(expected) == 3
    for row, want in zip(ds, expected, strict=True):
        assert [id_ for sample in row.samples for id_ in sample.input_ids] == want["input_ids"]
        assert [label for sample in row.samples for label in sample.labels] == want["labels"]
        assert [sample.num_tokens for sample in row.samples] == want["seq_lengths"]
        assert [sample.record_id for sample in row.samples] == want["record_ids"]
    assert [row.shard for row in ds] == paths
    assert [(row.number, row.row) for row in ds] == [(0, 0), (1, 0), (2, 0)]


def test_samples_are_numbered_over_the_rows(dataset_writer, tmp_path: Path):
    chats = [[("user", f"question {at} " * 8), ("assistant", f"answer {at} " * (at % 5 + 1))] for at in range(30)]
    ds = open_dataset(dataset_writer(tmp_path / "out", {"train": [chats[:20], chats[20:]]}, seq_len=200))
    assert len(ds) > 6
    in_rows = [sample for row in ds for sample in row.samples]
    assert ds.num_samples == len(in_rows) == 30
    for at, want in enumerate(in_rows):
        got = ds.sample(at)
        assert (got.record_id, got.shard, got.row, got.index) == (want.record_id, want.shard, want.row, want.index)
        assert (got.input_ids, got.labels) == (want.input_ids, want.labels)
    assert {sample.record_id for sample in in_rows} == {f"r{at}" for at in range(30)}


def test_the_trained_tokens_of_a_sample_decode_to_the_answer(ds: Dataset):
    sample = next(sample for sample in ds[0].samples if sample.record_id == "r0")
    assert sample.text == (
        "<|im_start|>user\nWhat is the capital of France?<|im_end|>\n<|im_start|>assistant\nParis.<|im_end|>\n"
    )
    trained = [id_ for id_, label in zip(sample.input_ids, sample.labels, strict=True) if label == id_]
    assert sample.decoder.decode(trained) == "Paris.<|im_end|>"
    assert sample.num_trained_tokens == len(trained)


def test_negative_numbers_count_from_the_end(ds: Dataset):
    assert ds[-1].number == 2
    assert ds.sample(-1).record_id == "r5"


def test_a_split_is_numbered_from_0(ds: Dataset):
    assert len(ds.split("train")) == 2
    assert len(ds.split("validation")) == 1
    assert ds.split("validation")[0].samples[0].record_id == "r5"
    assert ds.split("validation").sample(0).shard == "validation/00000-of-00001.arrow"


@pytest.mark.parametrize("number", [3, -4, 10**12])
def test_a_missing_row_is_a_one_line_error(ds: Dataset, number: int):
    with pytest.raises(DatasetError, match=rf"shards: has no sequence {number:,}; sequences are numbered 0 to 2$"):
        ds[number]


def test_a_missing_sample_is_a_one_line_error(ds: Dataset):
    with pytest.raises(DatasetError, match=r"has no sample 6; samples are numbered 0 to 5$"):
        ds.sample(6)


def test_a_missing_split_is_a_one_line_error(ds: Dataset):
    with pytest.raises(DatasetError, match=r"has no split 'test'; it has train, validation$"):
        ds.split("test")


def test_a_dataset_without_rows_can_be_opened(dataset_writer, tmp_path: Path):
    ds = open_dataset(dataset_writer(tmp_path / "out", {}))
    assert len(ds) == 0
    assert list(ds) == []
    with pytest.raises(DatasetError, match=r"has no sequence 0; there are no sequences$"):
        ds[0]
    assert "0 samples -> 0 sequences" in repr(ds)


def test_a_folder_that_is_not_a_dataset_is_a_one_line_error(tmp_path: Path):
    with pytest.raises(DatasetError, match=r"manifest\.json"):
        open_dataset(tmp_path)


def test_a_row_reads_only_its_shard_and_the_summary_reads_none(small_dataset: Path, tmp_path: Path):
    copy = shutil.copytree(small_dataset, tmp_path / "copy")
    (copy / "train/00000-of-00002.arrow").unlink()
    (copy / "validation/00000-of-00001.arrow").unlink()
    ds = open_dataset(copy)
    assert ds[1].samples[0].record_id == "r4"
    assert ds.sample(4).record_id == "r4"
    assert "6 conversations -> 3 sequences" in repr(ds)
    with pytest.raises(DatasetError, match=r"00000-of-00002\.arrow: does not exist; "):
        ds[0]


def test_a_shard_with_another_number_of_rows_is_rejected(small_dataset: Path, tmp_path: Path):
    copy = shutil.copytree(small_dataset, tmp_path / "copy")
    manifest = json.loads((copy / "manifest.json").read_text())
    manifest["shards"][0]["rows"] = 2
    (copy / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(DatasetError, match=r"train/00000-of-00002.arrow: has 1 row, but the manifest says 2"):
        open_dataset(copy)[0]


def test_the_summary_has_splits_tokens_trained_share_fill_and_row_counts(dataset_writer, tmp_path: Path):
    chat = [("user", "hi"), ("assistant", "yo")]
    ds = open_dataset(dataset_writer(tmp_path / "out", {"train": [[chat]], "validation": [[chat]]}, seq_len=64))
    sample = ds.sample(0)
    share, fill = sample.num_trained_tokens / sample.num_tokens, sample.num_tokens / 64
    lines = [line.split() for line in repr(ds).splitlines()]
    assert lines[0][:8] == ["out:", "2", "conversations", "->", "2", "sequences", "of", "64"]
    counts = ["1", "1", "1", str(sample.num_tokens), str(sample.num_trained_tokens), f"{share:.1%}", f"{fill:.1%}"]
    assert ["train", *counts] in lines
    assert ["validation", *counts] in lines
    funnel = [line[:3] for line in lines if line and line[0] in ("rows", "read", "dedup")]
    assert funnel == [["rows", "read", "7"], ["read", "bad_json", "-2"], ["dedup", "duplicate", "-3"]]
    assert next(line[:2] for line in lines if line and line[0] == "packed") == ["packed", "2"]


def test_the_summary_of_a_split_covers_only_the_split(ds: Dataset):
    text = repr(ds.split("validation"))
    assert text.startswith("validation of shards: 1 sample -> 1 sequence of 256 (")
    assert "\ntrain " not in text
    assert "rows read" not in text


def test_rows_and_samples_have_one_line_reprs(ds: Dataset):
    sample = ds.sample(4)
    tokens, trained = sample.num_tokens, sample.num_trained_tokens
    stats = f"{tokens} tokens, {trained} trained ({trained / tokens:.1%})"
    assert repr(ds[1]) == f"<sequence 1 (0 of train/00001-of-00002.arrow): 1 sample, {stats}>"
    assert repr(sample) == f"<sample 0 of sequence 0 in train/00001-of-00002.arrow: {stats}, record r4>"
