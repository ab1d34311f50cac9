"""Near-duplicates, against similarities counted by hand and against brute force over every pair."""

from __future__ import annotations

import json
import re
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sftdata.curate.duplicates.buckets import Buckets, choose_banding, sort_into_buckets
from sftdata.curate.duplicates.jaccard import Fetch, Jaccard
from sftdata.curate.duplicates.near import NUM_HASHES, Similar, Verdict, find_near_duplicates, ranks, sign
from sftdata.curate.duplicates.settings import NearConfig
from sftdata.curate.words import shingles_in


def shingles_as_words(text: str, length: int = 3) -> frozenset[tuple[str, ...]]:
    """The definition, written again: runs of words after NFKC and casefold, a shorter text being one."""
    words = re.findall(r"\w+", unicodedata.normalize("NFKC", text).casefold())
    return frozenset(tuple(words[i : i + length]) for i in range(max(len(words) - length + 1, 1)))


def jaccard(one: str, other: str) -> float:
    left, right = shingles_as_words(one), shingles_as_words(other)
    return len(left & right) / len(left | right)


def similar_pairs(texts: list[str], threshold: float) -> dict[tuple[int, int], float]:
    """Every pair of texts at or above the threshold, by counting shared shingles over an inverted index."""
    sets = [shingles_as_words(text) for text in texts]
    sizes = np.array([len(one) for one in sets])
    rows_with: dict[tuple[str, ...], list[int]] = {}
    for row, one in enumerate(sets):
        for shingle in one:
            rows_with.setdefault(shingle, []).append(row)
    arrays = {shingle: np.array(rows) for shingle, rows in rows_with.items()}
    found = {}
    for row, one in enumerate(sets):
        shared = np.bincount(np.concatenate([arrays[shingle] for shingle in one]), minlength=len(sets))
        similarity = shared / (sizes[row] + sizes - shared)
        found.update({(int(k), row): float(similarity[k]) for k in np.flatnonzero(similarity[:row] >= threshold)})
    return found


def judge(texts: list[str], keep_order: list[int] | None = None, threshold: float = 0.8) -> Verdict:
    signed = sign(texts, 3)
    order = np.arange(len(texts)) if keep_order is None else np.array(keep_order, np.int64)
    near = NearConfig(threshold=threshold)
    return find_near_duplicates(signed.signatures, signed.is_signed, order, shingles_of(texts), near)


def shingles_of(texts: list[str]) -> Fetch:
    return lambda rows: shingles_in([texts[row] for row in rows], 3)


def components(count: int, pairs: set[tuple[int, int]]) -> list[set[int]]:
    groups = {row: {row} for row in range(count)}
    for one, other in pairs:
        if groups[one] is not groups[other]:
            groups[one] |= groups[other]
            for row in groups[other]:
                groups[row] = groups[one]
    return [groups[row] for row in range(count)]


def words(*numbers: int) -> str:
    return " ".join(f"w{number}" for number in numbers)


def test_texts_without_words_are_compared_by_their_characters():
    verdict = judge(["???", "🙂🙂", "???", "", "", " "])
    assert verdict.duplicate_of.tolist() == [-1, -1, 0, -1, -1, -1]


def test_a_row_is_dropped_at_the_threshold_and_kept_below_it():
    # 10 words are 8 shingles. A changed last word takes one away and adds one: 7 of 9. Two more words: 8 of 10.
    base = words(*range(10))
    verdict = judge([base, words(*range(12)), words(*range(9), 99)])
    assert verdict.duplicate_of.tolist() == [-1, 0, -1]
    assert verdict.similarity[1] == 0.8
    assert np.isnan(verdict.similarity[[0, 2]]).all()


def test_no_chain_drops_a_row_that_is_unlike_every_kept_one():
    chain = [words(*range(20)), words(*range(2, 22)), words(*range(4, 24)), words(*range(6, 26))]
    assert jaccard(chain[0], chain[1]) == 0.8 and jaccard(chain[0], chain[2]) < 0.8
    verdict = judge(chain)
    assert verdict.duplicate_of.tolist() == [-1, 0, -1, 2]
    assert verdict.cluster.tolist() == [0, 0, 0, 0]


def test_the_preferred_row_survives():
    verdict = judge([words(*range(20)), words(*range(21)), words(50, 51, 52)], keep_order=[1, 0, 2])
    assert verdict.duplicate_of.tolist() == [1, -1, -1]
    assert ranks("first", np.array([3, 9, 9])).tolist() == [0, 1, 2]
    assert ranks("longest_answer", np.array([3, 9, 9])).tolist() == [1, 2, 0]


def test_rows_that_were_dropped_before_are_compared_with_nothing():
    verdict = judge(["one two three four"] * 3, keep_order=[1, 2])
    assert verdict.duplicate_of.tolist() == [-1, -1, 1]


def test_a_signature_depends_on_its_text_alone():
    texts = ["the cat sat on the mat", "", "a quick brown fox", "x"]
    together = sign(texts, 3)
    assert together.is_signed.tolist() == [True, False, True, True]
    for row, text in enumerate(texts):
        assert sign([text], 3).signatures.tolist() == together.signatures[row : row + 1].tolist()
    assert sign([], 3).signatures.shape == (0, NUM_HASHES)


def test_signatures_are_the_same_on_every_machine():
    # Written down once. A rensa that gives other numbers would change which pairs are found.
    signatures, _, _ = sign(["The quick brown fox jumps over the lazy dog, and the dog does not mind at all."], 3)
    assert signatures[0, :8].tolist() == GOLDEN


GOLDEN = [27355, 10000, 58467, 44052, 54648, 23680, 16021, 38030]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.sampled_from("abcd"), min_size=1, max_size=9), min_size=1, max_size=25), st.randoms())
def test_whatever_the_texts_a_dropped_row_is_like_the_kept_row_it_names(lists: list[list[str]], random):
    texts = [" ".join(one) for one in lists]
    order = list(range(len(texts)))
    random.shuffle(order)
    verdict = judge(texts, order, threshold=0.5)
    linked = components(len(texts), set(similar_pairs(texts, 0.5)))
    for row, survivor in enumerate(verdict.duplicate_of.tolist()):
        if survivor >= 0:
            assert verdict.duplicate_of[survivor] == -1
            assert order.index(survivor) < order.index(row)
            assert verdict.similarity[row] == jaccard(texts[row], texts[survivor]) >= 0.5
            assert verdict.cluster[row] == verdict.cluster[survivor]
        assert int(verdict.cluster[row]) in linked[row]


@pytest.fixture(scope="module")
def toolformer(shared: Path) -> tuple[list[str], dict[tuple[int, int], float]]:
    """The texts of toolformer.json, all 7,673, and every pair of them at 0.8 or above, by brute force."""
    data = json.loads((shared / "data" / "toolformer.json").read_bytes())
    texts = ["\n".join((row["instruction"], row["input"], row["response"])) for row in data]
    truth = similar_pairs(texts, 0.8)
    assert len(truth) > 4000
    return texts, truth


def test_on_toolformer_every_drop_is_a_pair_of_brute_force(toolformer: tuple[list[str], dict[tuple[int, int], float]]):
    texts, truth = toolformer
    verdict = judge(texts)
    dropped = np.flatnonzero(verdict.duplicate_of >= 0).tolist()
    for row in dropped:
        survivor = int(verdict.duplicate_of[row])
        assert verdict.similarity[row] == pytest.approx(truth[survivor, row])
        assert verdict.duplicate_of[survivor] == -1
    linked = components(len(texts), set(truth))
    assert all(int(verdict.cluster[row]) in linked[row] for row in range(len(texts)))

    kept = set(np.flatnonzero(verdict.duplicate_of < 0).tolist())
    left_over = {other for one, other in truth if one in kept and other in kept}
    assert len(left_over) <= 0.03 * len(dropped)
    together = sum(verdict.cluster[one] == verdict.cluster[other] for one, other in truth)
    assert together >= 0.97 * len(truth)


def test_on_toolformer_at_least_97_percent_of_all_similar_pairs_are_found(
    toolformer: tuple[list[str], dict[tuple[int, int], float]],
):
    texts, truth = toolformer
    signatures, _, _ = sign(texts, 3)
    rows = np.arange(len(texts))
    buckets = Buckets.of(*sort_into_buckets(signatures, rows, choose_banding(0.8, NUM_HASHES)), len(rows))
    similar = Similar(signatures, rows, Jaccard(shingles_of(texts)), 0.8)
    found = set()
    for row in range(len(texts)):
        places = buckets.places[buckets.firsts[row] : buckets.firsts[row + 1]].tolist()
        later = [buckets.members[place + 1 : buckets.ends[place]] for place in places]
        others = np.unique(np.concatenate([*later, np.empty(0, np.int64)])).astype(np.int64)
        _, likely = similar.likely(np.full(len(others), row), others)
        if len(likely) == 0:
            continue
        others, _ = similar(row, likely)
        found.update((row, other) for other in others.tolist())
    assert found <= set(truth)
    assert len(found) >= 0.97 * len(truth)
