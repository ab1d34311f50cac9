"""What the parts of a report say: examples of dropped rows, duplicates, evaluation items, personal data."""

from __future__ import annotations

import re
from collections.abc import Callable
from html import unescape
from pathlib import Path

from raw_rows import chat, write_lines

import sftdata

Prepared = Callable[..., sftdata.Dataset]
LONG = "Write down in order all the stations of the night train from Riga to Vilnius, with the times"

STOPS = "Riga 21:05, Jelgava 21:50, Siauliai 23:10, Panevezys 00:35, Ukmerge 01:40, Kaunas 02:55, Vilnius 04:20"


def part(ds: sftdata.Dataset, name: str) -> str:
    """The text of a part of the report, without its tags."""
    page = ds.report().read_text(encoding="utf-8")
    html = page.partition(f'<section id="{name}">')[2].partition("</section>")[0]
    return unescape(re.sub(r"<[^>]*>", "", re.sub(r"</?(ins|del)>", "", html)))


def test_a_reason_has_its_rows_with_place_detail_and_text(prepared: Prepared) -> None:
    rows = [chat("Hello?", "Yes."), {"messages": [{"role": "user", "content": "no one answers"}]}, "no chat"]
    said = part(prepared(rows), "dropped")
    assert "no_answer 1 row (33.3%) validate: no assistant turn follows a user turn" in " ".join(said.split())
    assert "chats.jsonl:2" in said and "no one answers" in said
    assert "not_an_object" in said and "chats.jsonl:3" in said


def test_five_examples_of_a_reason_are_from_the_first_to_the_last(prepared: Prepared) -> None:
    rows = [chat("Hello?", "Yes."), *({"messages": [{"role": "user", "content": f"alone {n}"}]} for n in range(2, 103))]
    said = part(prepared(rows), "dropped")
    assert re.findall(r"chats\.jsonl:\d+", said) == [f"chats.jsonl:{n}" for n in (2, 27, 52, 77, 102)]
    assert "5 of 101, from the first to the last" in said


def test_where_the_file_is_gone_or_changed_the_text_says_so_and_the_rest_is_there(
    prepared: Prepared, tmp_path: Path
) -> None:
    rows = [chat(f"Question {n}?", "Yes.") for n in range(9)] + [{"messages": [{"role": "user", "content": "alone"}]}]
    ds = prepared(rows)
    write_lines(tmp_path / "chats.jsonl", [chat("other")] * 10)
    said = part(ds, "dropped")
    assert "chats.jsonl:10" in said and "alone" not in said and "chats.jsonl has changed since" in said
    (tmp_path / "chats.jsonl").unlink()
    said = part(ds, "dropped")
    assert "chats.jsonl:10" in said and "chats.jsonl is not found on this machine; give its folder with --data" in said
    assert str(tmp_path) not in said


def test_near_duplicates_are_beside_what_they_repeat(prepared: Prepared) -> None:
    rows = [chat(f"{LONG} in {year}.", f"{LONG}: {STOPS}") for year in (2020, 2021)] + [chat("Hello?", "Yes.")]
    said = part(prepared(rows, dedup={"near": {}}), "duplicates")
    assert "1 of 1 near-duplicate" in said
    assert "chats.jsonl:2 (dropped, similarity 0." in said and "chats.jsonl:1 (kept)" in said
    assert "2020" in said and "2021" in said


def test_exact_duplicates_are_shown_where_there_are_few(prepared: Prepared) -> None:
    said = part(prepared([chat("Hello?", "Yes."), chat("Hello?", "Yes.")]), "duplicates")
    assert "1 of 1 row that repeats another exactly" in said
    assert "chats.jsonl:2 (dropped) and chats.jsonl:1 (kept) say the same" in said


def test_evaluation_items_are_beside_the_rows_that_hold_them(prepared: Prepared, tmp_path: Path) -> None:
    write_lines(tmp_path / "exam.jsonl", [chat("not in the data", "No."), chat(f"{LONG}?", "At five.")])
    rows = [chat("Hello?", "Yes."), chat(f"{LONG}?", "At six.")]
    said = part(prepared(rows, decontaminate={"against": [str(tmp_path / "exam.jsonl")]}), "contamination")
    assert "1 row was dropped" in said and "chats.jsonl:2 (dropped)" in said and "exam.jsonl:2 (evaluation)" in said
    assert "At five." in said and "At six." in said and str(tmp_path) not in said


SECRET = "maria.lopez@example-hospital.org"


def test_personal_data_is_never_printed(prepared: Prepared) -> None:
    rows = [
        chat("Who do I write to?", f"Write to {SECRET} today."),
        chat("Hello?", "Yes."),
        {"messages": [{"role": "user", "content": f"mine is {SECRET}"}]},
    ]
    for mode in ("report", "redact", "drop"):
        ds = prepared(rows, mode, privacy=mode)
        assert SECRET not in ds.report().read_text(encoding="utf-8")
        said = part(ds, "private")
        assert "email" in said and "Write to [EMAIL] today." in said


def test_what_was_not_searched_for_is_said(prepared: Prepared) -> None:
    ds = prepared([chat("Hello?", "Yes.")], privacy="off")
    assert part(ds, "private") == "Personal dataNot searched for: privacy is off."
    assert "decontaminate.against names no evaluation files" in part(ds, "contamination")
    assert "dedup.near is off" in part(ds, "duplicates")
    assert part(ds, "dropped") == "Dropped rowsNo row was dropped."


def test_settings_that_differ_are_listed_first_and_the_others_folded(prepared: Prepared) -> None:
    ds = prepared([chat("Hello?", "Yes.")], seed=7, privacy="drop")
    html = ds.report().read_text(encoding="utf-8").partition('<section id="settings">')[2].partition("</section>")[0]
    changed, _, others = html.partition("<details")
    found = dict(re.findall(r"<b>([^<]*)</b></td><td class=x>([^<]*)<", changed))
    assert found.pop("tokenizer").startswith("tiny_tokenizer")
    assert found == {"sources.0.path": "chats.jsonl", "seed": "7", "privacy.mode": "drop"}
    assert "<b>pack.seq_len</b></td><td class=x>2048<" in others


def test_the_template_check_names_prompts_and_ends(prepared: Prepared) -> None:
    said = part(prepared([chat("Hello?", "Yes.")]), "template")
    assert "Of all 1 sample: what is trained was compared" in said
    assert "directly before each trained turn<|im_end|>\u240a<|im_start|>assistant\u240a" in said
    assert "a trained turn ends in<|im_end|>" in said
    assert "no turn was left out" in said


def test_plain_text_has_no_template(prepared: Prepared) -> None:
    ds = prepared([{"text": "All of this is trained."}], format="text")
    assert "All sources are plain text" in part(ds, "template")
    assert "All 1 sample." in part(ds, "samples")


def test_hashes_and_versions_are_those_of_the_manifest(prepared: Prepared) -> None:
    ds = prepared([chat("Hello?", "Yes.")])
    said = part(ds, "hashes")
    assert ds.manifest.dataset_hash in said and all(one.sha256 in said for one in ds.manifest.listed_files())
    assert f"sftdata{ds.manifest.versions['sftdata']}" in said


def test_a_dataset_without_rows_is_a_page_too(prepared: Prepared) -> None:
    ds = prepared([{"messages": [{"role": "user", "content": "no one answers"}]}])
    assert "Nothing was packed." in part(ds, "samples") and "no one answers" in part(ds, "dropped")


def test_a_dataset_without_a_ledger_shows_its_samples(small_dataset: Path, tmp_path: Path) -> None:
    page = sftdata.open(small_dataset).report(tmp_path / "page.html").read_text(encoding="utf-8")
    assert page.count('<div class="one"') == 6 and 'id="dropped"' not in page
