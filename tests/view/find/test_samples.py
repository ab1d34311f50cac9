"""ds.samples: which samples are chosen, in which order, and what each says of itself."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sftdata.errors import DatasetError
from sftdata.view.dataset import Dataset, open_dataset

IN_ORDER = [f"chats.jsonl:{line}" for line in (1, 3, 6, 7)] + [f"more.jsonl:{line}" for line in (1, 2, 3)]
TOKENS = {"more.jsonl:1": 3, "more.jsonl:2": 9, "more.jsonl:3": 6}  # numbers that are counted to
numbers = st.none() | st.integers(-12, 12)


def wheres(samples: object) -> list[str | None]:
    return [sample.where for sample in samples]  # type: ignore[attr-defined]


def test_every_packed_row_is_found_and_says_where_it_comes_from(ds: Dataset) -> None:
    assert wheres(ds.samples.sort("where")) == IN_ORDER
    assert len(ds.samples) == ds.num_samples == 7


def test_a_sample_says_its_source_split_and_record(ds: Dataset) -> None:
    (sample,) = ds.samples.where("chats.jsonl:7")
    assert (sample.source, sample.split, sample.where) == ("data/chats.jsonl", "train", "chats.jsonl:7")
    assert wheres(ds.samples.where(record_id=sample.record_id)) == ["chats.jsonl:7"]
    assert wheres(ds.samples.where(record_id=sample.record_id[:8])) == ["chats.jsonl:7"]
    assert sample.messages == (
        ("system", "Be brief.", False),
        ("user", "Say it.", False),
        ("assistant", "Yes.", True),
    )


def test_samples_of_a_sequence_know_it_too(ds: Dataset) -> None:
    assert sorted(sample.where or "" for row in ds for sample in row.samples) == IN_ORDER


def test_the_characters_of_a_control_token_in_a_text_are_text(ds: Dataset) -> None:
    (sample,) = ds.samples.where("chats.jsonl:6")
    assert [(message.role, message.content) for message in sample.messages] == [
        ("user", "你好"),
        ("assistant", "naïve €5 — done"),
        ("user", "And <|im_end|>?"),
        ("assistant", "Text only."),
    ]


def test_samples_are_chosen_by_source_and_by_lengths(ds: Dataset) -> None:
    more = ds.samples.where(source="more.jsonl").sort("num_tokens")
    assert wheres(more) == ["more.jsonl:1", "more.jsonl:3", "more.jsonl:2"]
    limit = more[1].num_tokens
    assert wheres(more.where(min_tokens=limit)) == ["more.jsonl:3", "more.jsonl:2"]
    assert wheres(more.where(max_tokens=limit - 1)) == ["more.jsonl:1"]
    assert wheres(more.where(max_trained_tokens=more[0].num_trained_tokens)) == ["more.jsonl:1"]
    assert wheres(ds.samples.where(source="chats.jsonl", split="train").sort("where")) == IN_ORDER[:4]


def test_counts_are_those_of_the_samples(ds: Dataset) -> None:
    table = ds.samples
    assert table.num_tokens.tolist() == [sample.num_tokens for sample in table]
    assert table.num_trained_tokens.tolist() == [sample.num_trained_tokens for sample in table]


def test_sorting_puts_equal_ones_in_their_order_in_both_directions(ds: Dataset) -> None:
    tokens = [(sample.num_tokens, sample.number) for sample in ds.samples]
    assert [sample.number for sample in ds.samples.sort("num_tokens")] == [n for _, n in sorted(tokens)]
    down = sorted(tokens, key=lambda one: (-one[0], one[1]))
    assert [sample.number for sample in ds.samples.sort("num_tokens", descending=True)] == [n for _, n in down]


def test_random_samples_are_the_same_for_the_same_seed(ds: Dataset) -> None:
    three = wheres(ds.samples.random(3, seed=1))
    assert len(set(three)) == 3 and set(three) <= set(IN_ORDER)
    assert wheres(ds.samples.random(3, seed=1)) == three
    assert sorted(wheres(ds.samples.random(99, seed=2))) == IN_ORDER
    assert len({tuple(wheres(ds.samples.random(3, seed=seed))) for seed in range(10)}) > 5


def test_a_table_is_made_of_them(ds: Dataset) -> None:
    frame = ds.samples.sort("where").to_pandas()
    assert list(frame["where"]) == IN_ORDER
    assert set(frame["source"]) == {"data/chats.jsonl", "more.jsonl"}
    first = ds.samples.sort("where")[0]
    assert frame.iloc[0][["shard", "row", "index", "num_tokens", "num_trained_tokens"]].tolist() == [
        first.shard,
        first.row,
        first.index,
        first.num_tokens,
        first.num_trained_tokens,
    ]


@settings(max_examples=40)
@given(st.lists(st.tuples(numbers, numbers, numbers.filter(lambda step: step != 0)), max_size=3))
def test_slices_are_those_of_a_list(prepared: Path, slices: list[tuple[int | None, int | None, int | None]]) -> None:
    ds = open_dataset(prepared)
    samples, rows = ds.samples, ds[:]
    as_list, rows_as_list = list(range(len(samples))), list(range(len(ds)))
    for parts in slices:
        samples, as_list = samples[slice(*parts)], as_list[slice(*parts)]
        rows, rows_as_list = rows[slice(*parts)], rows_as_list[slice(*parts)]
    assert [sample.number for sample in samples] == as_list
    assert [row.number for row in rows] == rows_as_list


@settings(max_examples=40)
@given(
    st.sampled_from([None, "chats.jsonl", "more.jsonl"]),
    st.none() | st.integers(0, 80),
    st.none() | st.integers(0, 80),
)
def test_filters_are_those_of_a_list(prepared: Path, source: str | None, least: int | None, most: int | None) -> None:
    ds = open_dataset(prepared)
    found = ds.samples.where(source=source, min_tokens=least, max_trained_tokens=most)
    assert [sample.number for sample in found] == [
        sample.number
        for sample in ds.samples
        if (source is None or (sample.source or "").endswith(source))
        and (least is None or sample.num_tokens >= least)
        and (most is None or sample.num_trained_tokens <= most)
    ]


def test_what_is_not_there_is_an_error_of_the_kind_that_python_expects(ds: Dataset) -> None:
    with pytest.raises(IndexError, match=r"has no sample 7; samples are numbered 0 to 6$"):
        ds.samples[7]
    with pytest.raises(IndexError, match=r"there are no samples$"):
        ds.samples[:0][0]
    with pytest.raises(IndexError, match="has no sequence"):
        ds[len(ds)]
    with pytest.raises(KeyError) as no_split:
        ds["test"]
    assert str(no_split.value).endswith("has no split 'test'; it has train")
    with pytest.raises(KeyError) as no_source:
        ds.samples.where(source="other")
    assert str(no_source.value).endswith("has no source other; its sources are data/chats.jsonl, more.jsonl")
    with pytest.raises(KeyError, match="is nothing to sort by"):
        ds.samples.sort("length")
    assert len(ds.samples.where("chats.jsonl:99")) == 0


def test_the_beginning_of_several_ids_is_refused(ds: Dataset) -> None:
    with pytest.raises(DatasetError, match=r"is the beginning of 7 record ids .*; give more of the one that is meant"):
        ds.samples.where(record_id="")


def test_splits_are_datasets_by_name(ds: Dataset) -> None:
    assert list(ds.splits) == ["train"]
    assert len(ds["train"]) == len(ds.splits["train"]) == len(ds)
    assert wheres(ds["train"].samples.sort("where")) == IN_ORDER


def test_without_a_ledger_samples_have_texts_but_no_places(small_dataset: Path) -> None:
    ds = open_dataset(small_dataset)
    assert ds.samples[0].where is None
    assert len(ds.samples.search("capital of France")) == 1
    assert ds.samples.to_pandas()["where"].isna().all()
    with pytest.raises(DatasetError, match="contains no ledger"):
        ds.samples.where("a.jsonl:1")


def test_the_datasets_library_gets_the_packed_sequences(ds: Dataset) -> None:
    given = ds.to_datasets()
    assert list(given) == ["train"]
    assert given["train"][0]["input_ids"] == [id_ for sample in ds[0].samples for id_ in sample.input_ids]
    assert given["train"].num_rows == len(ds)
