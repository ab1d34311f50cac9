"""Mixtures: shares of trained tokens, by hand and for random sources."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sftdata.curate.mixture import Mixture, SourceShare, mix
from sftdata.errors import ConfigError


def mixed(tokens: list[list[int]], *shares: SourceShare, live: list[bool] | None = None) -> Mixture:
    """Mix sources given by their records' trained tokens; the hashes are in the order of the records."""
    source = np.repeat(np.arange(len(tokens)), [len(one) for one in tokens])
    flat = np.array([token for one in tokens for token in one], np.int64)
    is_live = np.ones(len(flat), bool) if live is None else np.array(live)
    return mix(source, np.arange(len(flat)).astype(np.uint64), flat, is_live, shares)


def test_without_settings_every_live_record_is_used_once():
    result = mixed([[5, 5], [9]], SourceShare(), SourceShare(), live=[True, False, True])
    assert result.copies.tolist() == [1, 0, 1]
    assert not result.over_max.any() and not result.over_weight.any()
    assert [(line.asked, line.got, line.records) for line in result.sources] == [(None, 5 / 14, 1), (None, 9 / 14, 1)]


def test_max_records_keeps_the_records_with_the_lowest_hashes():
    source, tokens, live = np.zeros(4, np.int64), np.ones(4, np.int64), np.ones(4, bool)
    hashes = np.array([30, 10, 40, 20], np.uint64)
    result = mix(source, hashes, tokens, live, [SourceShare(max_records=2)])
    assert result.copies.tolist() == [0, 1, 0, 1]
    assert result.over_max.tolist() == [True, False, True, False]


def test_repeat_without_weights_uses_every_record_that_often():
    result = mixed([[5, 5], [9]], SourceShare(repeat=3), SourceShare())
    assert result.copies.tolist() == [3, 3, 1]
    assert result.sources[0].trained_tokens == 30


def test_weights_are_shares_of_trained_tokens_and_the_scarcest_source_is_used_up():
    result = mixed([[10] * 100, [50] * 6], SourceShare(weight=3), SourceShare(weight=1))
    assert [line.trained_tokens for line in result.sources] == [900, 300]
    assert [line.asked for line in result.sources] == [0.75, 0.25]
    assert [line.got for line in result.sources] == [0.75, 0.25]
    assert result.copies.tolist() == [1] * 90 + [0] * 10 + [1] * 6
    assert result.over_weight.sum() == 10


def test_nothing_is_used_twice_unless_repeat_says_so():
    tokens = [[10] * 100, [50] * 2]
    once = mixed(tokens, SourceShare(weight=0.5), SourceShare(weight=0.5))
    assert [line.trained_tokens for line in once.sources] == [100, 100]
    often = mixed(tokens, SourceShare(weight=0.5), SourceShare(weight=0.5, repeat=4))
    assert [line.trained_tokens for line in often.sources] == [400, 400]
    assert often.copies.max() == 4


def test_uses_of_the_records_of_a_source_differ_by_at_most_one():
    result = mixed([[10] * 10, [10] * 15], SourceShare(weight=0.5, repeat=5), SourceShare(weight=0.5))
    assert sorted(result.copies[:10].tolist()) == [1] * 5 + [2] * 5


def test_the_rest_of_a_share_is_filled_with_records_that_fit():
    # The share is 100 tokens: the first 60, not the second 60, then 30 and 10.
    result = mixed([[60, 60, 30, 50, 10], [100]], SourceShare(weight=1), SourceShare(weight=1))
    assert result.copies.tolist() == [1, 0, 1, 0, 1, 1]


def test_a_weight_of_zero_drops_a_source_and_an_empty_source_does_not_limit_the_others():
    result = mixed([[5, 5], [9], []], SourceShare(weight=0), SourceShare(weight=1), SourceShare(weight=5))
    assert result.copies.tolist() == [0, 0, 1]
    assert result.over_weight.tolist() == [True, True, False]


def test_weights_for_only_some_sources_are_rejected():
    with pytest.raises(ConfigError, match=r"sources\.1\.weight: is missing"):
        mixed([[1], [1]], SourceShare(weight=1), SourceShare())
    with pytest.raises(ConfigError, match="every source's weight is 0"):
        mixed([[1]], SourceShare(weight=0))


def test_which_records_are_used_depends_only_on_their_hashes():
    rng = np.random.default_rng(0)
    source, hashes = rng.integers(0, 3, 500), rng.permutation(2**40 + np.arange(500)).astype(np.uint64)
    tokens, live = rng.integers(1, 90, 500), rng.random(500) < 0.9
    shares = [SourceShare(weight=0.2), SourceShare(weight=0.5, repeat=2), SourceShare(weight=0.3, max_records=100)]
    straight = mix(source, hashes, tokens, live, shares)
    order = rng.permutation(500)
    shuffled = mix(source[order], hashes[order], tokens[order], live[order], shares)
    assert shuffled.copies.tolist() == straight.copies[order].tolist()
    assert shuffled.sources == straight.sources


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(st.integers(200, 600), st.floats(0.05, 1.0), st.integers(1, 3)), min_size=2, max_size=4),
    st.integers(0, 2**32),
)
def test_shares_are_met_within_half_a_percent(sources: list[tuple[int, float, int]], seed: int):
    rng = np.random.default_rng(seed)
    shares = [SourceShare(weight=weight, repeat=repeat) for _, weight, repeat in sources]
    tokens = [rng.integers(1, 300, count).tolist() for count, _, _ in sources]
    result = mixed(tokens, *shares)
    total = sum(line.trained_tokens for line in result.sources)
    for line, share in zip(result.sources, shares):
        if total > 300 * 200:  # below that, a single record may be more than half a percent
            assert line.got == pytest.approx(line.asked, abs=0.005)
        assert line.trained_tokens <= line.available_tokens
        assert line.copies <= share.repeat * line.records
    assert any(line.trained_tokens == line.available_tokens for line in result.sources)
    assert (result.copies <= np.repeat([share.repeat for share in shares], [len(one) for one in tokens])).all()
