"""Contamination: hand-written examples, brute force, and GSM8K items inserted into other rows."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sftdata.curate import contamination
from sftdata.curate.contamination import (
    ContaminationSettings,
    EvaluationIndex,
    EvaluationItem,
    Hit,
    find_contamination,
    item_text,
    may_hold_items,
    searched_texts,
)
from sftdata.records.record import Message, Record

ITEM = "Natalia sold clips to 48 of her friends in April, and then she sold half as many clips in May."  # 20 words
SHORT = "Name the capital city of France."  # 6 words


def index_of(*texts: str, ngram_words: int = 8, overlap: float = 0.5) -> EvaluationIndex:
    items = [EvaluationItem(f"eval.jsonl:{line}", text) for line, text in enumerate(texts, 1)]
    return EvaluationIndex.build(items, ContaminationSettings(ngram_words, overlap))


def test_a_turn_that_is_the_item_matches_exactly_whatever_its_case_and_punctuation():
    index = index_of("something else entirely", ITEM)
    assert find_contamination(["Hi", ITEM.upper().replace(",", " -")], index) == Hit(
        "eval.jsonl:2", "exact", 1.0, ITEM.upper().replace(",", " -")
    )


def test_more_than_half_of_the_ngrams_are_needed():
    # 20 words are 13 8-grams. The first 14 words hold 7 of them; the first 13 hold 6, which is not more than half.
    words = ITEM.split()
    index = index_of(ITEM)
    hit = find_contamination(["Listen: " + " ".join(words[:14]) + ". How many?"], index)
    assert hit is not None
    assert (hit.where, hit.kind, hit.score) == ("eval.jsonl:1", "ngrams", 7 / 13)
    assert hit.excerpt == " ".join(words[:14])
    assert find_contamination([" ".join(words[:13]) + ". How many?"], index) is None


def test_the_item_with_the_largest_share_is_named():
    words = ITEM.split()
    other = " ".join(words[:15]) + " and this goes on quite differently now"
    hit = find_contamination(["Well. " + ITEM], index_of(other, ITEM))
    assert hit is not None
    assert (hit.where, hit.score) == ("eval.jsonl:2", 1.0)


def test_an_item_shorter_than_an_ngram_is_found_as_a_whole_on_word_boundaries():
    index = index_of(SHORT)
    hit = find_contamination(["Quick one: name the capital, city of FRANCE?", "Paris."], index)
    assert hit == Hit("eval.jsonl:1", "contained", 1.0, "name the capital, city of FRANCE")
    assert find_contamination(["rename the capital city of France"], index) is None
    assert find_contamination(["name the capital city of Frances"], index) is None


def test_an_item_shorter_than_half_an_ngram_matches_only_as_a_whole_turn():
    index = index_of("What is this?", "???")
    assert find_contamination(["Tell me, what is this?"], index) is None
    hit = find_contamination(["what is THIS"], index)
    assert hit is not None and hit.kind == "exact"
    assert find_contamination(["???"], index) is not None
    assert find_contamination(["??", "", "!!!"], index) is None


def test_blank_items_and_no_items_match_nothing():
    assert find_contamination(["", "word"], index_of("", " ")) is None
    assert find_contamination(["word"], index_of()) is None


def test_an_excerpt_is_truncated_and_shows_what_matched():
    text = " ".join(f"word{number}" for number in range(100))
    hit = find_contamination(["So: " + text], index_of(text))
    assert hit is not None
    assert len(hit.excerpt) == 200
    assert str(hit).startswith("holds 100% of the word n-grams of eval.jsonl:1: 'word0 word1")


def test_an_item_is_its_user_turns_and_system_turns_are_not_searched():
    record = Record(
        messages=(
            Message(role="system", content="S"),
            Message(role="user", content="Q1"),
            Message(role="assistant", content="A"),
            Message(role="user", content="Q2"),
        )
    )
    assert item_text(record) == "Q1\nQ2"
    assert searched_texts(record) == ["Q1", "A", "Q2"]
    assert item_text(Record(text="T")) == "T"
    assert searched_texts(Record(text="T")) == ["T"]


def test_an_index_loaded_from_files_finds_the_same(tmp_path: Path):
    index = index_of(ITEM, SHORT, "Hi")
    index.write(tmp_path)
    again = EvaluationIndex.read(tmp_path, index.settings)
    for turn in (ITEM, "x " + ITEM, "now " + SHORT, "hi", "nothing"):
        assert find_contamination([turn], again) == find_contamination([turn], index)


def brute_force(turn: str, items: list[str], size: int, overlap: float) -> float:
    """The largest share above `overlap` of an item's n-grams in a turn, else 0."""

    def runs(text: str) -> set[tuple[str, ...]]:
        words = re.findall(r"\w+", text.casefold())
        return {tuple(words[i : i + size]) for i in range(len(words) - size + 1)}

    shares = [len(runs(item) & runs(turn)) / len(runs(item)) for item in items if runs(item)]
    return max((share for share in shares if share > overlap), default=0.0)


sentences = st.lists(st.sampled_from("abcde"), min_size=3, max_size=14).map(" ".join)


short_texts = st.lists(st.sampled_from(["a", "b", "c", "d", "!", "É"]), max_size=9).map(" ".join)


@settings(max_examples=300, deadline=None)
@given(st.lists(short_texts, max_size=6), st.lists(st.lists(short_texts, max_size=3), max_size=6), st.integers(1, 30))
def test_no_record_that_holds_an_item_is_passed_by(items: list[str], records: list[list[str]], chars: int) -> None:
    settings = ContaminationSettings(ngram_words=4, overlap=0.1)
    index = EvaluationIndex.build([EvaluationItem(f"f:{n}", item) for n, item in enumerate(items)], settings)
    holding = [number for number, turns in enumerate(records) if find_contamination(turns, index)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(contamination, "_CHARS_AT_ONCE", chars)  # records looked at together
        looked_at = list(may_hold_items(records, index))
    assert set(holding) <= set(looked_at)
    assert looked_at == sorted(set(looked_at))


def test_records_without_a_word_of_the_items_are_passed_by() -> None:
    item = EvaluationItem("f:1", "one two three four five six seven eight nine")
    index = EvaluationIndex.build([item, EvaluationItem("f:2", "ten eleven")], ContaminationSettings())
    records = [["one two three four five six seven nine", "eight"], ["ten is a number"], ["!!!"], [item.text], []]
    assert list(may_hold_items(records, index)) == [1, 2, 3]


@settings(max_examples=300, deadline=None)
@given(st.lists(sentences, min_size=1, max_size=8), sentences, st.sampled_from([0.2, 0.5, 0.8]))
def test_overlaps_are_those_of_brute_force(items: list[str], turn: str, overlap: float):
    hit = find_contamination([turn + " !", "z"], index_of(*items, ngram_words=3, overlap=overlap))
    expected = brute_force(turn + "\nz", items, 3, overlap)
    if hit is None or hit.kind == "contained":
        assert expected == 0
    elif hit.kind == "ngrams":
        assert hit.score == expected
    else:
        assert turn in items


def test_a_run_of_words_that_many_items_and_records_share_is_counted_once_for_all_of_them():
    run = " ".join(f"shared{number}" for number in range(30))
    own = [" ".join(f"own{item}x{number}" for number in range(10)) for item in range(200)]
    index = index_of(*(f"{run} {text}" for text in own))
    # 40 words are 33 8-grams: 23 in the run, which is 70 %, and 10 with words of the item's own.
    hits = [find_contamination([f"{run} and then {number}"], index) for number in range(300)]
    assert {(hit.where, hit.score) for hit in hits if hit} == {("eval.jsonl:1", 23 / 33)}
    hit = find_contamination([f"Well: {run} {own[150]}"], index)
    assert hit is not None
    assert (hit.where, hit.score) == ("eval.jsonl:151", 1.0)
    assert index._shared.cache_info().misses == 1  # type: ignore[attr-defined]


@pytest.fixture(scope="module")
def gsm8k(shared: Path) -> tuple[list[str], EvaluationIndex]:
    """All 1,319 questions of the test split, and their index."""
    lines = (shared / "data" / "gsm8k_test.jsonl").read_text(encoding="utf-8").splitlines()
    questions = [json.loads(line)["question"] for line in lines]
    items = [EvaluationItem(f"gsm8k_test.jsonl:{number}", question) for number, question in enumerate(questions, 1)]
    return questions, EvaluationIndex.build(items, ContaminationSettings())


def found(plant: str, number: int, index: EvaluationIndex) -> bool:
    """Whether an inserted text is found as the right item, or as one with the same words."""
    hit = find_contamination([plant], index)
    return hit is not None and (hit.where == f"gsm8k_test.jsonl:{number}" or hit.score == 1.0)


def test_every_gsm8k_item_planted_word_for_word_is_found(gsm8k: tuple[list[str], EvaluationIndex]):
    questions, index = gsm8k
    assert all(found(question, number, index) for number, question in enumerate(questions, 1))


def test_every_gsm8k_item_with_other_case_and_punctuation_is_found(gsm8k: tuple[list[str], EvaluationIndex]):
    questions, index = gsm8k
    for number, question in enumerate(questions, 1):
        changed = re.sub(r"([.,?!])", r" \1\1 ", question).upper()
        assert found(changed.replace(" ", "\n"), number, index)


def test_every_gsm8k_item_inside_a_longer_conversation_is_found(gsm8k: tuple[list[str], EvaluationIndex]):
    questions, index = gsm8k
    for number, question in enumerate(questions, 1):
        turns = ["Can you help me with homework?", "Sure!", f"Here it is. {question} Show your work.", "Let me think."]
        hit = find_contamination(turns, index)
        assert hit is not None
        assert hit.where == f"gsm8k_test.jsonl:{number}" or hit.score == 1.0


def test_gsm8k_items_with_other_numbers_are_found_if_enough_words_are_between_them(
    gsm8k: tuple[list[str], EvaluationIndex],
):
    # An 8-gram with a changed number no longer matches, so many items with many numbers are not found.
    questions, index = gsm8k
    rng = random.Random(0)
    hits = 0
    for number, question in enumerate(questions, 1):
        changed = re.sub(r"\d+", lambda digits: str(int(digits[0]) + rng.randint(1, 9)), question)
        hits += found(changed, number, index)
    assert 0.3 < hits / len(questions) < 0.9


def test_few_gsm8k_training_rows_are_found(gsm8k: tuple[list[str], EvaluationIndex], shared: Path):
    _, index = gsm8k
    lines = (shared / "data" / "gsm8k_train.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    hits = [find_contamination([row["question"], row["answer"]], index) for row in rows]
    assert sum(hit is not None for hit in hits) < 0.01 * len(rows)
