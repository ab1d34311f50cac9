"""Histograms of tokens and of the trained share, and the median: answers worked out by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from raw_rows import chat

import sftdata
from sftdata.files.parquet_file import read_row_groups
from sftdata.view.figures import _Lengths, _Tally, copies_of, read_figures, round_width, token_edges
from sftdata.view.html.cells import read_card
from sftdata.view.outcome import read_facts


def lengths_of(values: list[int]) -> _Lengths:
    lengths = _Lengths()
    for start in range(0, len(values), 3):  # in parts, as row groups come
        lengths.add(np.array(values[start : start + 3], np.int64))
    return lengths


def ledger(rows: list[tuple[int | None, int | None, str | None]]) -> pa.Table:
    tokens, trained, reasons = zip(*rows)
    columns = {"num_tokens": pa.array(tokens, pa.int64()), "num_trained_tokens": pa.array(trained, pa.int64())}
    return pa.table({**columns, "reason": pa.array(reasons, pa.string())})


def test_the_median_is_the_middle_or_halfway_between_two() -> None:
    assert lengths_of([5, 1, 9]).median == 5
    assert lengths_of([1, 2, 3, 10]).median == 2.5
    assert lengths_of([7]).median == 7
    assert lengths_of([4, 4, 4, 100, 1]).median == 4


def test_packed_rows_and_overlong_ones_are_counted_apart_and_the_others_not_at_all() -> None:
    tally = _Tally()
    tally.add(
        ledger([(10, 5, None), (20, 1, None), (None, None, "duplicate"), (300, 30, "overlong"), (40, 4, "no_end")])
    )
    figures = tally.figures("conversation", 100)
    assert figures is not None
    assert (figures.number, figures.median, figures.longest, figures.overlong) == (2, 15, 20, 1)
    assert sum(figures.tokens.counts) == 2 and sum(figures.tokens.others) == 1
    assert figures.shares is not None
    # 10 of 20 bins of 5%: half of the first is trained, and a twentieth of the second
    assert [at for at, number in enumerate(figures.shares.counts) if number] == [1, 10]


def test_a_share_on_an_edge_is_in_the_bin_that_begins_there_and_all_in_the_last() -> None:
    tally = _Tally()
    tally.add_packed(np.array([100, 100, 100, 8]), np.array([0, 5, 100, 7]))
    figures = tally.figures("conversation", 100)
    assert figures is not None and figures.shares is not None
    assert [(figures.shares.edges[at], number) for at, number in enumerate(figures.shares.counts) if number] == [
        (0, 1),
        (5, 1),
        (85, 1),
        (95, 1),
    ]


def test_where_every_token_is_trained_there_is_no_histogram_of_shares() -> None:
    tally = _Tally()
    tally.add_packed(np.array([3, 4]), np.array([3, 4]))
    figures = tally.figures("text", 10)
    assert figures is not None and figures.shares is None


def test_nothing_packed_has_no_figures() -> None:
    assert _Tally().figures("conversation", 10) is None


@pytest.mark.parametrize(
    ("span", "most", "width"), [(2048, 29, 100), (29, 29, 1), (30, 29, 2), (61, 30, 5), (100_000, 30, 5000), (1, 30, 1)]
)
def test_bins_have_round_widths(span: int, most: int, width: int) -> None:
    assert round_width(span, most) == width


def test_edges_reach_the_limit_unless_it_is_far_beyond_all_lengths() -> None:
    assert token_edges([lengths_of([100, 150, 300])], 2048) == (tuple(range(0, 321, 20)), False)
    near = token_edges([lengths_of([100, 1500])], 2048)
    assert (near[0][:2], near[0][-1], near[1]) == ((0, 100), 2100, False)
    assert token_edges([lengths_of([3, 4, 5])], 32_768) == ((0, 1, 2, 3, 4, 5, 6), False)


def test_lengths_far_beyond_the_limit_share_an_open_bin() -> None:
    edges, is_open = token_edges([lengths_of([100] * 300), lengths_of([5000])], 200)
    assert (edges[-3:], is_open) == ((190, 200, 210), True)
    assert lengths_of([5000]).in_bins(edges)[-1] == 1


def test_copies_are_places_divided_by_different_samples() -> None:
    digests = pa.chunked_array([pa.array([["a"], ["a", "a", "a"], ["a", "b"], ["a", "b", "a", "b"], None])])
    assert copies_of(digests).tolist() == [1, 3, 1, 2, 1]


@given(st.lists(st.integers(1, 3000), min_size=1, max_size=80), st.integers(1, 4000))
def test_every_length_is_in_one_bin_and_edges_are_round(values: list[int], limit: int) -> None:
    lengths = lengths_of(values)
    edges, is_open = token_edges([lengths], limit)
    counts = lengths.in_bins(edges)
    width = edges[1]
    assert sum(counts) == len(values) and edges == tuple(range(0, edges[-1] + 1, width)) and len(counts) <= 32
    assert int(str(width).rstrip("0") or "0") in (1, 2, 5)
    assert is_open or max(values) < edges[-1]
    assert counts[0] == sum(value < width for value in values)


@pytest.mark.parametrize("splits", [False, True])
def test_the_figures_of_a_dataset_are_those_of_its_samples(tiny_tokenizer: Path, tmp_path: Path, splits: bool) -> None:
    rows = [chat(f"Question {n}?", "Answer." * (n + 1)) for n in range(40)]
    settings = {"split": {"validation": 0.25}} if splits else {}
    ds = sftdata.prepare(rows, tokenizer=str(tiny_tokenizer), out=tmp_path / "out", progress=False, **settings)
    for one in (ds, *ds.splits.values()):
        figures = read_figures(one.path, one.manifest, one.split_name)
        assert figures is not None
        lengths = sorted(one.samples.num_tokens.tolist())
        middle = (lengths[(len(lengths) - 1) // 2] + lengths[len(lengths) // 2]) / 2
        assert (figures.noun, figures.number, figures.longest) == ("conversation", len(lengths), lengths[-1])
        assert (figures.median, sum(figures.tokens.counts)) == (middle, len(lengths))


def test_repeated_conversations_count_once(tiny_tokenizer: Path, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(
        '{"messages": [{"role": "user", "content": "Hi?"}, {"role": "assistant", "content": "Ho."}]}\n'
    )
    source = {"path": str(tmp_path / "a.jsonl"), "repeat": 3}
    once, thrice = (
        sftdata.prepare(one, tokenizer=str(tiny_tokenizer), out=tmp_path / name, progress=False)
        for name, one in (("once", str(tmp_path / "a.jsonl")), ("thrice", source))
    )
    assert thrice.num_samples == 3
    found = [read_figures(one.path, one.manifest) for one in (once, thrice)]
    assert found[0] is not None and found[0] == found[1]


def test_a_card_reads_the_ledger_once(tiny_tokenizer: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [chat(f"Question {n}?") for n in range(9)] + [chat("Question 1?")]
    ds = sftdata.prepare(rows, tokenizer=str(tiny_tokenizer), out=tmp_path / "out", progress=False)
    read: list[str] = []

    def counted(path: Path, *others: Any) -> Any:
        read.append(path.name)
        return read_row_groups(path, *others)

    monkeypatch.setattr("sftdata.view.figures.read_row_groups", counted)
    facts, figures = read_card(ds)
    assert read == ["00000.parquet"]
    assert facts is not None and facts == read_facts(ds.path, ds.manifest)
    assert figures is not None and figures == read_figures(ds.path, ds.manifest)
    assert figures.number == 9


def test_without_a_ledger_the_samples_are_counted(small_dataset: Path) -> None:
    ds = sftdata.open(small_dataset)
    figures = read_figures(ds.path, ds.manifest)
    assert figures is not None
    assert (figures.noun, figures.number, figures.longest) == ("sample", 6, max(ds.samples.num_tokens))
