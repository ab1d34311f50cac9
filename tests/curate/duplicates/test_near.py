"""Near-duplicates, against similarities computed by hand and against brute force over every pair."""

from __future__ import annotations

import json
import re
import unicodedata
from pathlib import Path
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sftdata.curate.duplicates.buckets import Buckets, choose_banding, sort_into_buckets
from sftdata.curate.duplicates.jaccard import FetchShingles, Jaccard
from sftdata.curate.duplicates.near import (
    NUM_HASHES,
    SimilarityCheck,
    Verdict,
    assign_parts,
    find_near_duplicates,
    keys_by_band,
    preference_order,
    sign_texts,
)
from sftdata.curate.duplicates.settings import NearConfig
from sftdata.curate.words import shingle_hashes


def shingles_as_words(text: str, length: int = 3) -> frozenset[tuple[str, ...]]:
    """The definition, written again: n-grams of words after NFKC and casefold; a shorter text is one shingle."""
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


def compare(texts: list[str], preference: list[int] | None = None, threshold: float = 0.8) -> Verdict:
    signed = sign_texts(texts, 3)
    order = np.arange(len(texts)) if preference is None else np.array(preference, np.int64)
    near = NearConfig(threshold=threshold)
    return find_near_duplicates(signed.signatures, signed.is_signed, order, shingles_of(texts), near)


def compare_by_parts(texts: list[str], preference: list[int], threshold: float) -> Verdict:
    """The same verdict, found for each part on its own."""
    signed = sign_texts(texts, 3)
    near = NearConfig(threshold=threshold)
    order = np.array(preference, np.int64)
    nodes = order[signed.is_signed[order]]
    part = assign_parts(keys_by_band(signed.signatures, threshold), nodes)
    verdict = Verdict.of_rows(len(texts))
    for number in set(part[part >= 0].tolist()):
        rows = nodes[part == number]
        found = find_near_duplicates(signed.signatures, signed.is_signed, rows, shingles_of(texts), near)
        for name in ("duplicate_of", "similarity", "cluster", "limited"):
            getattr(verdict, name)[rows] = getattr(found, name)[rows]
    return verdict


def brute_force(texts: list[str], preference: list[int], threshold: float) -> tuple[list[int], list[set[int]]]:
    """For each row the kept row that it duplicates (-1: none), and the rows of its cluster. Compares every pair whose
    signatures agree in a band, and in enough numbers.
    """
    signed = sign_texts(texts, 3)
    bands, width = choose_banding(threshold, NUM_HASHES)
    deviation = (threshold * (1 - threshold) / NUM_HASHES) ** 0.5

    def is_similar(one: int, other: int) -> bool:
        agree = signed.signatures[one] == signed.signatures[other]
        shares_bucket = agree[: bands * width].reshape(bands, width).all(axis=1).any()
        is_likely = agree.mean() >= threshold - 3 * deviation
        return bool(shares_bucket and is_likely and jaccard(texts[one], texts[other]) >= threshold)

    rows = [row for row in preference if signed.is_signed[row]]
    pairs = [(one, other) for place, one in enumerate(rows) for other in rows[place + 1 :] if is_similar(one, other)]
    duplicate_of = [-1] * len(texts)
    for one, other in pairs:  # in the order of preference
        if duplicate_of[one] < 0 and duplicate_of[other] < 0:
            duplicate_of[other] = one
    return duplicate_of, components(len(texts), set(pairs))


def same_verdict(one: Verdict, other: Verdict) -> bool:
    """Whether two verdicts are equal in everything."""
    return (
        np.array_equal(one.duplicate_of, other.duplicate_of)
        and np.array_equal(one.similarity, other.similarity, equal_nan=True)
        and np.array_equal(one.cluster, other.cluster)
    )


def shingles_of(texts: list[str]) -> FetchShingles:
    return lambda rows: shingle_hashes([texts[row] for row in rows], 3)


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
    verdict = compare(["???", "🙂🙂", "???", "", "", " "])
    assert verdict.duplicate_of.tolist() == [-1, -1, 0, -1, -1, -1]


def test_a_row_is_dropped_at_the_threshold_and_kept_below_it():
    # 10 words are 8 shingles. A changed last word takes one away and adds one: 7 of 9. Two more words: 8 of 10.
    base = words(*range(10))
    verdict = compare([base, words(*range(12)), words(*range(9), 99)])
    assert verdict.duplicate_of.tolist() == [-1, 0, -1]
    assert verdict.similarity[1] == 0.8
    assert np.isnan(verdict.similarity[[0, 2]]).all()


def test_a_chain_does_not_drop_a_row_that_is_not_similar_to_a_kept_one():
    chain = [words(*range(20)), words(*range(2, 22)), words(*range(4, 24)), words(*range(6, 26))]
    assert jaccard(chain[0], chain[1]) == 0.8 and jaccard(chain[0], chain[2]) < 0.8
    verdict = compare(chain)
    assert verdict.duplicate_of.tolist() == [-1, 0, -1, 2]
    assert verdict.cluster.tolist() == [0, 0, 0, 0]


def test_the_preferred_row_is_kept():
    verdict = compare([words(*range(20)), words(*range(21)), words(50, 51, 52)], preference=[1, 0, 2])
    assert verdict.duplicate_of.tolist() == [1, -1, -1]
    assert preference_order("first", np.array([3, 9, 9])).tolist() == [0, 1, 2]
    assert preference_order("longest_answer", np.array([3, 9, 9])).tolist() == [1, 2, 0]


def test_rows_that_are_already_dropped_are_not_compared():
    verdict = compare(["one two three four"] * 3, preference=[1, 2])
    assert verdict.duplicate_of.tolist() == [-1, -1, 1]


def test_a_signature_depends_only_on_its_text():
    texts = ["the cat sat on the mat", "", "a quick brown fox", "x"]
    together = sign_texts(texts, 3)
    assert together.is_signed.tolist() == [True, False, True, True]
    for row, text in enumerate(texts):
        assert sign_texts([text], 3).signatures.tolist() == together.signatures[row : row + 1].tolist()
    assert sign_texts([], 3).signatures.shape == (0, NUM_HASHES)


def test_signatures_are_the_same_on_every_machine():
    # A version of rensa with other numbers would change which pairs are found.
    signatures, _, _ = sign_texts(["The quick brown fox jumps over the lazy dog, and the dog does not mind at all."], 3)
    assert signatures[0, :8].tolist() == GOLDEN


GOLDEN = [27355, 10000, 58467, 44052, 54648, 23680, 16021, 38030]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.sampled_from("abcd"), min_size=1, max_size=9), min_size=1, max_size=25), st.randoms())
def test_a_dropped_row_is_similar_to_the_kept_row_it_names(lists: list[list[str]], random):
    texts = [" ".join(one) for one in lists]
    order = list(range(len(texts)))
    random.shuffle(order)
    verdict = compare(texts, order, threshold=0.5)
    linked = components(len(texts), set(similar_pairs(texts, 0.5)))
    for row, survivor in enumerate(verdict.duplicate_of.tolist()):
        if survivor >= 0:
            assert verdict.duplicate_of[survivor] == -1
            assert order.index(survivor) < order.index(row)
            assert verdict.similarity[row] == jaccard(texts[row], texts[survivor]) >= 0.5
            assert verdict.cluster[row] == verdict.cluster[survivor]
        assert int(verdict.cluster[row]) in linked[row]


@st.composite
def related_texts(draw: st.DrawFn) -> list[str]:
    """Texts that are often similar, in chains and in groups: each changes some words of an earlier one."""
    texts = [[f"w{number}" for number in range(12)]]
    for _ in range(draw(st.integers(0, 30))):
        base = list(texts[draw(st.integers(0, len(texts) - 1))])
        for place in draw(st.lists(st.integers(0, len(base) - 1), max_size=draw(st.sampled_from([1, 3, 12])))):
            base[place] = f"w{draw(st.integers(0, 99))}"
        texts.append(base)
    return [" ".join(words) for words in texts]


@settings(max_examples=100, deadline=None)
@given(related_texts(), st.sampled_from([0.3, 0.5, 0.8]), st.randoms(use_true_random=False))
def test_comparing_part_by_part_gives_the_verdict_of_all_rows_at_once_and_of_brute_force(
    texts: list[str], threshold: float, random: Random
) -> None:
    preference = list(range(len(texts)))
    random.shuffle(preference)
    preference = preference[: random.randint(1, len(texts))]
    at_once = compare(texts, preference, threshold)
    assert same_verdict(compare_by_parts(texts, preference, threshold), at_once)
    duplicate_of, clusters = brute_force(texts, preference, threshold)
    assert at_once.duplicate_of.tolist() == duplicate_of
    for row in range(len(texts)):
        assert {other for other in range(len(texts)) if at_once.cluster[other] == at_once.cluster[row]} == clusters[row]


def test_many_groups_are_compared_in_many_parts_with_the_same_verdict() -> None:
    rng = np.random.default_rng(5)
    texts = []
    for _ in range(60):
        numbers = rng.integers(0, 10_000, 40)
        for _ in range(int(rng.integers(1, 5))):
            numbers[rng.integers(0, 40)] = rng.integers(0, 10_000)
            texts.append(" ".join(map(str, numbers)))
    preference = list(range(len(texts)))[::-1]
    at_once = compare(texts, preference, threshold=0.6)
    assert np.count_nonzero(at_once.duplicate_of >= 0) > 40
    signatures = sign_texts(texts, 3).signatures
    assert len(set(assign_parts(keys_by_band(signatures, 0.6), np.array(preference)).tolist())) > 10
    assert same_verdict(compare_by_parts(texts, preference, 0.6), at_once)


@pytest.fixture(scope="module")
def toolformer(shared: Path) -> tuple[list[str], dict[tuple[int, int], float]]:
    """All 7,673 texts of toolformer.json, and every pair of them with a similarity of 0.8 or more, by brute force."""
    data = json.loads((shared / "data" / "toolformer.json").read_bytes())
    texts = ["\n".join((row["instruction"], row["input"], row["response"])) for row in data]
    truth = similar_pairs(texts, 0.8)
    assert len(truth) > 4000
    return texts, truth


def test_on_toolformer_every_drop_is_a_pair_found_by_brute_force(
    toolformer: tuple[list[str], dict[tuple[int, int], float]],
):
    texts, truth = toolformer
    verdict = compare(texts)
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
    signatures, _, _ = sign_texts(texts, 3)
    rows = np.arange(len(texts))
    buckets = Buckets.of(*sort_into_buckets(signatures, rows, choose_banding(0.8, NUM_HASHES)), len(rows))
    similar = SimilarityCheck(signatures, rows, Jaccard(shingles_of(texts)), 0.8)
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


def test_rows_of_one_template_are_compared_with_the_most_alike_and_counted() -> None:
    def words(start: int, count: int) -> str:
        return " ".join(f"w{number}" for number in range(start, start + count))

    # 100 words that all rows share and 20 of each row's own are 98 of 142 shingles in common: 69 %. Every second row
    # repeats the one before but for its last word.
    template = words(0, 100)
    texts = [f"{template} {words(1000 + 100 * (row // 2), 19)} last{row % 2}" for row in range(1200)]
    signed = sign_texts(texts, 3)
    found, exact = (
        find_near_duplicates(
            signed.signatures,
            signed.is_signed,
            np.arange(1200),
            shingles_of(texts),
            NearConfig(max_comparisons=number),
        )
        for number in (1, 1200)
    )
    assert exact.duplicate_of.tolist() == [row - 1 if row % 2 else -1 for row in range(1200)]
    assert not exact.limited.any()
    assert found.limited.sum() > 300
    assert np.count_nonzero(found.duplicate_of != exact.duplicate_of) < 12  # 1 % of the rows
