"""Curation stages on tables: one entry per row, whatever the chunks, and the verdicts of the functions behind them."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sftdata.curate.contamination import ContaminationSettings, EvaluationIndex, EvaluationItem
from sftdata.curate.duplicates.near import find_near_duplicates, sign_texts
from sftdata.curate.duplicates.prefix import prefix_key
from sftdata.curate.duplicates.settings import NearConfig
from sftdata.curate.privacy.settings import PrivacyConfig
from sftdata.curate.quality.settings import FilterConfig
from sftdata.curate.stage import (
    COMPARED_SCHEMA,
    HITS_SCHEMA,
    VECTORS_SCHEMA,
    CompareNear,
    Decontaminate,
    FilterAndRedact,
    PrefixKeys,
    Sign,
    items_key,
)
from sftdata.curate.words import shingle_hashes
from sftdata.records.column import record_array
from sftdata.records.record import Message, Record

NEAR = NearConfig(threshold=0.5, on="prompt")


def ask(prompt: str, answer: str = "Yes.") -> Record:
    return Record(messages=(Message(role="user", content=prompt), Message(role="assistant", content=answer)))


def rows(records: list[Record | None], dropped: list[bool] | None = None) -> pa.Table:
    """Records as the table that a stage gets."""
    return pa.table({"record": record_array(records), "dropped": dropped or [False] * len(records)})


def test_a_signature_is_that_of_the_text_and_null_for_dropped_and_blank_rows() -> None:
    texts = ["one two three four", " ", "five six seven", "eight nine ten"]
    (signed,) = Sign(NEAR)(rows([None, *map(ask, texts)], [False, False, False, True, False]))
    assert signed.schema.names == [*VECTORS_SCHEMA.names, "shingles"]
    assert signed["vector"].is_valid().to_pylist() == [False, True, False, False, True]
    expected = sign_texts([texts[0], texts[3]], 3)
    found = [np.frombuffer(vector, "<u2").tolist() for vector in signed["vector"].drop_null().to_pylist()]
    assert found == expected.signatures.tolist()
    assert signed["shingles"].to_pylist() == [
        [],
        shingle_hashes(texts[:1], 3)[0].tolist(),
        [],
        [],
        shingle_hashes(texts[3:], 3)[0].tolist(),
    ]
    assert signed["answer_chars"].to_pylist() == [0, 4, 4, 0, 4]


texts_of_few_words = st.lists(st.sampled_from("abcd"), min_size=1, max_size=9).map(" ".join)


@settings(max_examples=100, deadline=None)
@given(st.lists(texts_of_few_words, min_size=1, max_size=25), st.integers(1, 7), st.data())
def test_members_in_any_order_and_any_chunks_are_compared_like_all_rows(
    texts: list[str], chunk_rows: int, data: st.DataObject
) -> None:
    preference = data.draw(st.permutations(range(len(texts))))
    preference = preference[: data.draw(st.integers(1, len(texts)))]
    starts = range(0, len(texts), chunk_rows)
    tables = [table for at in starts for table in Sign(NEAR)(rows([ask(text) for text in texts[at : at + chunk_rows]]))]
    number_of = data.draw(st.permutations(range(100, 100 + len(texts))))  # the rows' numbers among all rows
    places = data.draw(st.permutations(range(len(preference))))
    members = pa.table(
        {
            "row": [number_of[preference[rank]] for rank in places],
            "rank": places,
            "at": [preference[rank] for rank in places],
        }
    )
    (found,) = CompareNear(NEAR)(members, pa.concat_tables(tables))
    assert found.schema == COMPARED_SCHEMA
    assert found["row"].to_pylist() == [number_of[row] for row in preference]

    signed = sign_texts(texts, 3)
    verdict = find_near_duplicates(
        signed.signatures,
        signed.is_signed,
        np.array(preference),
        lambda wanted: shingle_hashes([texts[row] for row in wanted], 3),
        NEAR,
    )
    duplicate_of = [verdict.duplicate_of[row] for row in preference]
    assert found["duplicate_of"].to_pylist() == [-1 if row < 0 else number_of[row] for row in duplicate_of]
    assert found["cluster"].to_pylist() == [number_of[verdict.cluster[row]] for row in preference]
    assert np.array_equal(found["similarity"].to_numpy(), verdict.similarity[preference], equal_nan=True)


def test_keys_of_stages_name_what_decides_their_results() -> None:
    stricter = NEAR.model_copy(update={"threshold": 0.9, "keep": "longest_answer"})
    assert Sign(stricter).key == Sign(NEAR).key
    assert Sign(NEAR.model_copy(update={"on": "answer"})).key != Sign(NEAR).key
    assert CompareNear(stricter).key != CompareNear(NEAR).key
    settings = ContaminationSettings()
    assert Decontaminate("a", settings, "1").key == Decontaminate("b", settings, "1").key
    assert Decontaminate("a", settings, "2").key != Decontaminate("a", settings, "1").key


def test_prefix_keys_are_null_for_shorter_prompts_and_dropped_rows() -> None:
    records = [ask("abcdef"), ask("abc"), ask("abcdef"), None]
    (found,) = PrefixKeys(5)(rows(records, [False, False, True, False]))
    assert found["prefix"].to_pylist() == [prefix_key(records[0], 5), None, None, None]


def test_the_evidence_of_contamination_is_redacted(tmp_path) -> None:
    item = EvaluationItem("exam.jsonl:1", "Please write a letter to maria.keller@posteo.de about the invoice of June")
    settings = ContaminationSettings()
    EvaluationIndex.build([item], settings).write(tmp_path)
    stage = Decontaminate(str(tmp_path), settings, items_key(iter([(item.where, item.text)])))
    (found,) = stage(rows([ask("Something else"), ask(item.text), ask(item.text)], [False, False, True]))
    assert found.schema == HITS_SCHEMA
    first, second, third = found["hit"].to_pylist()
    assert first is None and third is None
    assert second == f"is exam.jsonl:1: {item.text.replace('maria.keller@posteo.de', '[EMAIL]')!r}"


@pytest.mark.parametrize(
    ("mode", "content", "reason"),
    [
        ("off", "Ask bo@ho.se.", None),
        ("report", "Ask bo@ho.se.", None),
        ("redact", "Ask [EMAIL].", None),
        ("drop", "Ask bo@ho.se.", "private_data"),
    ],
)
def test_the_mode_decides_what_happens_to_personal_data(mode: str, content: str, reason: str | None) -> None:
    record, drop, counts = FilterAndRedact(FilterConfig(preset="off"), PrivacyConfig(mode=mode))(
        ask("Hi", "Ask bo@ho.se.")
    )
    assert record.messages[1].content == content
    assert (drop.reason if drop else None) == reason
    assert counts == ({} if mode == "off" else {"email": 1})


def test_a_record_that_a_filter_drops_is_not_searched_for_personal_data() -> None:
    both = FilterAndRedact(FilterConfig(), PrivacyConfig(mode="redact"))
    record, drop, counts = both(ask("Hi", "Ask {{name}} or bo@ho.se."))
    assert drop is not None and drop.reason == "unfilled_placeholder"
    assert (record.messages[1].content, counts) == ("Ask {{name}} or bo@ho.se.", {})


def test_the_key_of_filters_and_privacy_is_that_of_the_settings_and_not_of_a_presets_name() -> None:
    redacting = PrivacyConfig(mode="redact")
    values = json.loads(FilterConfig(preset="strict").model_dump_json())
    written_out = FilterConfig.model_validate({**values, "preset": "default"})
    keys = {FilterAndRedact(filters, redacting).key for filters in (FilterConfig(preset="strict"), written_out)}
    assert len(keys) == 1
    assert FilterAndRedact(FilterConfig(), redacting).key not in keys
