"""sftdata.store.shards: rows from samples, with the same bytes for any order of the samples."""

from __future__ import annotations

import hashlib
import random
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from samples import SAMPLE_SCHEMA, build_shard

from sftdata.errors import DatasetError
from sftdata.store import shards
from sftdata.store.shards import SHARD_SCHEMA, ShardStats, read_shard, write_shard

Sample = tuple[str, int, list[int], list[int]]

FOUR: list[Sample] = [
    ("b", 0, [1, 2, 3], [-100, 2, 3]),
    ("a", 1, [4, 5], [-100, 5]),
    ("a", 0, [6, 7, 8, 9, 10], [-100, -100, -100, 9, 10]),
    ("c", 0, [11, 12, 13, 14, 15, 16], [-100, 12, 13, 14, 15, 16]),
]


def table_of(samples: list[Sample]) -> pa.Table:
    columns = [list(column) for column in zip(*samples, strict=True)] or [[], [], [], []]
    return pa.table([pa.array(c, f.type) for c, f in zip(columns, SAMPLE_SCHEMA, strict=True)], schema=SAMPLE_SCHEMA)


def random_samples(count: int, seed: int, longest: int = 40) -> list[Sample]:
    rng = random.Random(seed)
    samples = []
    for number in range(count):
        ids = [rng.randrange(1000) for _ in range(rng.randint(1, longest))]
        labels = [id_ if rng.random() < 0.5 else -100 for id_ in ids]
        samples.append((f"{rng.randrange(1 << 60):x}", number, ids, labels))
    return samples


def rows_by_content(table: pa.Table) -> list[dict[str, list[int]]]:
    return sorted(table.to_pylist(), key=str)


def test_samples_are_packed_whole_with_aligned_labels_lengths_and_ids() -> None:
    # Eight tokens per row: 6 + 2 and 5 + 3, in the order of the record ids if lengths are equal.
    assert rows_by_content(build_shard(table_of(FOUR), 8, "best_fit", 0).table()) == [
        {
            "input_ids": [11, 12, 13, 14, 15, 16, 4, 5],
            "labels": [-100, 12, 13, 14, 15, 16, -100, 5],
            "seq_lengths": [6, 2],
            "record_ids": ["c", "a"],
        },
        {
            "input_ids": [6, 7, 8, 9, 10, 1, 2, 3],
            "labels": [-100, -100, -100, 9, 10, -100, 2, 3],
            "seq_lengths": [5, 3],
            "record_ids": ["a", "b"],
        },
    ]


def test_places_are_in_the_order_of_the_samples() -> None:
    shard = build_shard(table_of(FOUR), 8, "best_fit", 0)
    long_row = shard.table()["record_ids"].to_pylist().index(["c", "a"])
    assert shard.packing.row.tolist() == [1 - long_row, long_row, 1 - long_row, long_row]
    assert shard.packing.index.tolist() == [1, 1, 0, 0]


def test_with_strategy_none_each_sample_has_its_own_row() -> None:
    table = build_shard(table_of(FOUR), 8, "none", 0).table()
    assert sorted(table["seq_lengths"].to_pylist()) == [[2], [3], [5], [6]]


@given(st.randoms(use_true_random=False), st.integers(0, 3))
@settings(max_examples=25, deadline=None)
def test_order_and_chunks_of_the_samples_do_not_change_the_bytes(
    tmp_path_factory: pytest.TempPathFactory, shuffler: random.Random, cuts: int
) -> None:
    folder = tmp_path_factory.mktemp("shards")
    samples = random_samples(60, seed=1)
    stats = write_shard(folder / "a", build_shard(table_of(samples), 64, "best_fit", 7))
    shuffler.shuffle(samples)
    bounds = sorted(shuffler.randrange(60) for _ in range(cuts))
    pieces = [table_of(samples[a:b]) for a, b in zip([0, *bounds], [*bounds, 60], strict=True) if a < b]
    shard = build_shard(pa.concat_tables(pieces), 64, "best_fit", 7)
    assert write_shard(folder / "b", shard) == stats
    assert (folder / "a").read_bytes() == (folder / "b").read_bytes()
    rows = shard.table()["record_ids"].to_pylist()
    places = zip(shard.packing.row, shard.packing.index, strict=True)
    assert [rows[row][index] for row, index in places] == [sample[0] for sample in samples]


def test_the_seed_changes_only_the_order_of_the_rows() -> None:
    table = table_of(random_samples(200, seed=2))
    first, second = (build_shard(table, 64, "best_fit", seed).table() for seed in (0, 1))
    assert rows_by_content(first) == rows_by_content(second)
    assert first.to_pylist() != second.to_pylist()


def test_rows_are_sorted_by_a_hash_of_seed_and_first_sample() -> None:
    table = build_shard(table_of(random_samples(50, seed=3)), 8 * 40, "none", 5).table()
    numbers = {sample[0]: sample[1] for sample in random_samples(50, seed=3)}

    def key(ids: list[str]) -> bytes:
        return hashlib.blake2b(f"5\0{ids[0]}\0{numbers[ids[0]]}".encode(), digest_size=16).digest()

    keys = [key(ids) for ids in table["record_ids"].to_pylist()]
    assert keys == sorted(keys)


def test_a_written_shard_reads_back_and_its_stats_are_correct(tmp_path: Path) -> None:
    shard = build_shard(table_of(FOUR), 8, "best_fit", 0)
    path = tmp_path / "train" / "00000-of-00001.arrow"
    stats = write_shard(path, shard)
    data = path.read_bytes()
    assert stats == ShardStats(
        rows=2,
        samples=4,
        tokens=16,
        trained_tokens=10,
        size_bytes=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
    )
    assert read_shard(path).equals(shard.table())
    assert read_shard(path).schema.equals(SHARD_SCHEMA, check_metadata=True)
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_rows_split_into_many_batches_are_the_same_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = table_of(random_samples(300, seed=4))
    whole = build_shard(table, 64, "best_fit", 0).table()
    monkeypatch.setattr(shards, "BATCH_TOKENS", 200)
    write_shard(tmp_path / "s", build_shard(table, 64, "best_fit", 0))
    cut = read_shard(tmp_path / "s")
    assert cut["input_ids"].num_chunks == -(-whole.num_rows // 3)
    assert cut.equals(whole)


def test_a_shard_without_samples_has_no_rows(tmp_path: Path) -> None:
    stats = write_shard(tmp_path / "s", build_shard(table_of([]), 8, "best_fit", 0))
    assert (stats.rows, stats.samples, stats.tokens) == (0, 0, 0)
    assert read_shard(tmp_path / "s").num_rows == 0


@pytest.mark.parametrize(
    ("sample", "words"),
    [
        (("a", 0, [1], [1]), "the same record id and number"),
        (("x", 0, [], []), "lengths must be 1 to 8"),
        (("x", 0, [1] * 9, [1] * 9), "lengths must be 1 to 8"),
    ],
)
def test_samples_that_an_earlier_stage_must_drop_are_an_error(sample: Sample, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        build_shard(table_of([*FOUR, sample]), 8, "best_fit", 0).table()


def test_the_datasets_library_opens_a_shard(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    path = tmp_path / "00000-of-00001.arrow"
    shard = build_shard(table_of(FOUR), 8, "best_fit", 0)
    write_shard(path, shard)
    assert datasets.Dataset.from_file(str(path)).to_list() == shard.table().to_pylist()


def test_an_unreadable_shard_is_reported(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"none\.arrow: does not exist"):
        read_shard(tmp_path / "none.arrow")
    path = tmp_path / "s"
    write_shard(path, build_shard(table_of(FOUR), 8, "best_fit", 0))
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(DatasetError, match="cannot be read as an Arrow stream"):
        read_shard(path)


def test_ids_are_32_bit_and_are_not_copied_on_reading(tmp_path: Path) -> None:
    path = tmp_path / "s"
    write_shard(path, build_shard(table_of(FOUR), 8, "best_fit", 0))
    before = pa.total_allocated_bytes()
    ids = read_shard(path)["input_ids"].chunk(0).flatten().to_numpy(zero_copy_only=True)
    assert ids.dtype == np.int32
    assert pa.total_allocated_bytes() == before
