"""Search: a text is found wherever the tokens of a sample decode to it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from sftdata.errors import DatasetError
from sftdata.view.dataset import Dataset, open_dataset
from sftdata.view.decoder import Decoder


def found(ds: Dataset, text: str, **how: bool) -> list[str | None]:
    return [sample.where for sample in ds.samples.sort("where").search(text, **how)]


@pytest.mark.parametrize(
    ("text", "how", "where"),
    [
        ("HTTP", {}, ["chats.jsonl:1"]),
        ("http", {}, []),
        ("(?i)http", {"regex": True}, ["chats.jsonl:1"]),
        ("ve €5 —", {}, ["chats.jsonl:6"]),
        ("你", {}, ["chats.jsonl:6"]),
        ("HTTP", {"trained_only": True}, []),
        ("protocol", {"trained_only": True}, ["chats.jsonl:1"]),
        ("1 2 3 4", {}, ["more.jsonl:2", "more.jsonl:3"]),
        (r"1 2 3\b(?! 4)", {"regex": True, "trained_only": True}, ["more.jsonl:1"]),
        ("Count to 9.", {}, ["more.jsonl:2"]),
        ("Count to 9.", {"trained_only": True}, []),
        ("brief.<|im_end|>", {}, ["chats.jsonl:7"]),
        ("A protocol.<|im_end|>", {"trained_only": True}, ["chats.jsonl:1"]),
        ("no such text", {}, []),
    ],
)
def test_a_text_is_found_as_it_is_written(ds: Dataset, text: str, how: dict[str, bool], where: list[str]) -> None:
    assert found(ds, text, **how) == where


def test_a_text_never_runs_from_one_sample_into_the_next(ds: Dataset) -> None:
    ends = [sample.text[-30:] + other.text[:40] for sample, other in zip(ds.samples, ds.samples[1:])]
    assert all(len(ds.samples.search(text)) == 0 for text in ends)


def test_a_search_in_chosen_samples_finds_only_them(ds: Dataset) -> None:
    assert len(ds.samples.search("the lamp")) == 1
    assert len(ds.samples.where(source="more.jsonl").search("the lamp")) == 0


@settings(max_examples=40)
@given(st.text("HTPot is.la<|>m_end123 €你", min_size=1, max_size=6), st.booleans(), st.booleans())
def test_what_is_found_is_what_is_in_the_text(prepared: Path, text: str, trained_only: bool, is_slow: bool) -> None:
    ds = open_dataset(prepared)
    if is_slow:  # as for a vocabulary whose tokens are not bytes of their own
        ds.decoder.__dict__["byte_table"] = None
    texts = {}
    for sample in ds.samples:
        runs, run = [], ""
        for span in sample.spans():
            if sample.labels[span.start] != -100:
                run += span.text
            else:
                runs, run = [*runs, run], ""
        texts[sample.number] = [*runs, run] if trained_only else [sample.text]
    expected = [number for number, parts in texts.items() if any(text in part for part in parts)]
    assert [sample.number for sample in ds.samples.search(text, trained_only=trained_only)] == expected
    as_regex = ds.samples.search(re.escape(text), regex=True, trained_only=trained_only)
    assert [sample.number for sample in as_regex] == expected


@pytest.mark.parametrize(
    ("text", "regex", "what"), [("", False, "is empty"), ("(", True, "is not a regular expression")]
)
def test_a_query_that_is_none_is_refused(ds: Dataset, text: str, regex: bool, what: str) -> None:
    with pytest.raises(DatasetError, match=what):
        ds.samples.search(text, regex)


def test_other_vocabularies_are_decoded_by_the_library() -> None:
    words = Tokenizer(models.WordLevel({"a": 0, "b": 1, "<unk>": 2}, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    words.decoder = decoders.WordPiece()
    decoder = Decoder(words)
    assert decoder.byte_table is None
    assert decoder.decode_many([[0, 1], [], [1]]) == [decoder.decode([0, 1]), "", decoder.decode([1])]
