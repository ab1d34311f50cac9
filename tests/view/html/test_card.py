"""The card of a dataset: numbers, warnings with their settings, and every kind of dataset."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from raw_rows import chat

import sftdata
from sftdata.view.html.card import groups_html, warnings_html
from sftdata.view.outcome import Caution, Facts, Group

EVIL = "</div><script>alert(1)</script>\"'"


def text_of(html: str) -> str:
    html = re.sub(r"<(style|script)>.*?</\1>", "", html, flags=re.DOTALL).replace("<wbr>", "")
    return " ".join(
        re.sub(r"<[^>]*>", " ", html).replace("&ensp;", " ").replace("&lt;", "<").replace("&gt;", ">").split()
    )


def write(folder: Path, name: str, rows: list[Any]) -> str:
    (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(folder / name)


def prepare(folder: Path, tokenizer: Path, data: Any, **settings: Any) -> sftdata.Dataset:
    return sftdata.prepare(data, tokenizer=str(tokenizer), out=folder / "out", progress=False, **settings)


def test_the_card_has_numbers_warnings_with_their_setting_and_the_way_of_the_rows(
    tiny_tokenizer: Path, tmp_path: Path
) -> None:
    rows = [chat(f"Question {n}?", f"Answer {n}.<|endoftext|>") for n in range(12)]
    data = write(tmp_path, "a.jsonl", [*rows, rows[0], {"messages": [{"role": "user", "content": "no answer"}]}])
    html = prepare(tmp_path, tiny_tokenizer, data)._repr_html_()
    text = text_of(html)
    assert re.match(r"out 12 conversations packed into \d sequences? of 2,048 tokens tokenizer \w+ template auto", text)
    assert "85.7% of 14 rows kept" in text
    assert "seed 0" in text and "packing best_fit" in text and "template auto" in text
    assert "have an answer that ends in <|endoftext|>, left over from another model" in text
    assert 'set: <code class="set">clean.strip_trailing_control=true</code>' in html
    assert "see: <code>a.jsonl:1</code>" in html
    assert "rows read 14" in text
    assert "validate: no_answer \u22121 7.1% a.jsonl:14 no assistant turn follows" in text
    assert "dedup: duplicate \u22121 7.1% a.jsonl:13 exact duplicate of an earlier row" in text
    assert "packed 12 85.7%" in text
    assert html.count("<svg") == 2 and "median" in text


def test_reasons_of_one_stage_are_together_with_their_sum(tiny_tokenizer: Path, tmp_path: Path) -> None:
    rows = [chat("Hi?", "Ho."), chat("Hi?", ""), {"messages": [{"role": "user", "content": "x"}]}]
    text = text_of(prepare(tmp_path, tiny_tokenizer, write(tmp_path, "a.jsonl", rows))._repr_html_())
    assert "validate: 2 reasons \u22122 66.7%" in text
    assert "no_answer \u22121 33.3%" in text and "empty_answer \u22121 33.3%" in text


def test_nothing_packed_is_said(dataset_writer: Any, tmp_path: Path) -> None:
    ds = sftdata.open(dataset_writer(tmp_path / "out", {}))
    text = text_of(ds._repr_html_())
    assert "nothing is packed: of 5 rows read, 5 dropped" in text
    assert "packed 0 0.0%" in text
    assert "<svg" not in ds._repr_html_()


def test_without_a_ledger_samples_are_counted_and_what_the_manifest_says_is_shown(small_dataset: Path) -> None:
    html = sftdata.open(small_dataset)._repr_html_()
    text = text_of(html)
    assert "6 conversations packed into 3 sequences of 256 tokens" in text
    assert "median tokens per sample" in text
    assert "Splits split shards sequences samples" in text


def test_a_split_has_its_own_numbers_and_no_way_of_the_rows(small_dataset: Path) -> None:
    ds = sftdata.open(small_dataset)
    text = text_of(ds["train"]._repr_html_())
    assert "train of shards 5 samples packed into 2 sequences of 256 tokens" in text
    assert "Where the rows went" not in text and "rows kept" not in text
    assert "5 samples" in text


def test_of_plain_text_every_token_is_trained(tiny_tokenizer: Path, tmp_path: Path) -> None:
    data = write(tmp_path, "a.jsonl", [{"text": f"A text of some words, {n}."} for n in range(5)])
    html = prepare(tmp_path, tiny_tokenizer, data, format="text")._repr_html_()
    text = text_of(html)
    assert "5 texts packed into" in text and "median tokens per text" in text
    assert "texts are trained from their second token on" in text and html.count("<svg") == 1
    assert "template" not in text.partition("Where")[0]


def test_a_kept_column_with_a_few_values_stands_for_sources(tiny_tokenizer: Path, tmp_path: Path) -> None:
    rows = [{**chat(f"Question {n}?", f"Answer {n}."), "origin": "ab"[n % 2], "id": n} for n in range(12)]
    ds = prepare(tmp_path, tiny_tokenizer, write(tmp_path, "a.jsonl", rows), keep=["id", "origin"])
    text = text_of(ds._repr_html_())
    assert "By origin origin rows dropped of tokens of trained tokens tokens trained" in text
    assert re.search(r"trained (a|b) 6 0\.0% \d+\.\d% \d+\.\d% [\d,]+ [\d,]+ (a|b) 6 0\.0%", text)


def test_several_sources_are_called_by_their_short_names(tiny_tokenizer: Path, tmp_path: Path) -> None:
    data = [write(tmp_path, f"{name}.jsonl", [chat(f"{name}?", f"{name}.")]) for name in ("one", "two")]
    text = text_of(prepare(tmp_path, tiny_tokenizer, data)._repr_html_())
    assert "Sources source rows" in text
    assert "one.jsonl 1 0.0%" in text and str(tmp_path) not in text


def test_very_many_sources_are_paged_and_the_rest_is_counted() -> None:
    groups = tuple(Group(f"/data/{n}/train-{n}.jsonl", 10, 9, 100, 10) for n in range(3_000))
    html = groups_html(Facts({}, None, groups, 0, None, 0, None))
    assert html.count("<tr>") == 1 + 15 and html.count("<tr hidden>") <= 985
    left = 3_000 - html.count("<tr>") + 1 - html.count("<tr hidden>")
    assert f"and {left:,} more sources not in this table" in html
    assert "train-0.jsonl" in html and "/data/0" not in html
    assert '<span class="many">10.0%</span>' in html  # a tenth is dropped


def test_more_than_five_warnings_are_folded_and_none_is_lost() -> None:
    html = warnings_html([Caution("x", f"thing {n}", setting=f"a.b={n}") for n in range(7)])
    assert html.count("<b>Warning:</b>") == 7
    shown, _, folded = html.partition("<details>")
    assert shown.count("Warning") == 5 and folded.startswith("<summary>2 more warnings</summary>")


def test_the_same_dataset_has_the_same_card_and_names_stay_text(small_dataset: Path) -> None:
    ds = sftdata.open(small_dataset)
    tokenizer = ds.manifest.tokenizer.model_copy(update={"source": EVIL})
    counts = ds.manifest.counts.model_copy(update={"examples": {"duplicate": EVIL}})
    update = {"tokenizer": tokenizer, "counts": counts, "notes": (EVIL,)}
    evil = sftdata.Dataset(ds.path, ds.manifest.model_copy(update=update))
    html = evil._repr_html_()
    assert "<script" not in html and html.count("&lt;script&gt;alert(1)") == 4  # chip, warning, first row, note
    assert html == evil._repr_html_()


def test_a_damaged_ledger_leaves_the_card_of_the_manifest(tiny_tokenizer: Path, tmp_path: Path) -> None:
    ds = prepare(tmp_path, tiny_tokenizer, write(tmp_path, "a.jsonl", [chat("Hi?", "Ho.")]))
    (tmp_path / "out" / "ledger" / "00000.parquet").write_bytes(b"nothing")
    text = text_of(ds._repr_html_())
    assert "1 conversation packed into 1 sequence" in text
    assert "Only what the manifest says:" in text


def test_a_summary_of_findings_is_tables_in_boxes() -> None:
    html = sftdata.check([chat("Hi?", "Ho."), chat("Hi?", "Ho.")], progress=False)._repr_html_()
    assert html.startswith("<style>") and '<div class="box"><table>' in html
    assert "2 rows, 1 with findings" in text_of(html)


@pytest.mark.parametrize("split", [None, "train"])
def test_a_summary_shows_itself_as_the_card_without_what_needs_the_ledger(
    small_dataset: Path, split: str | None
) -> None:
    ds = sftdata.open(small_dataset)
    summary = (ds if split is None else ds[split]).summary()
    html = summary._repr_html_()
    assert 'class="card"' in html and "<svg" not in html


def test_a_manifest_shows_its_numbers_settings_that_differ_files_and_versions(
    tiny_tokenizer: Path, tmp_path: Path
) -> None:
    data = write(tmp_path, "a.jsonl", [chat("Hi?", "Ho.")])
    manifest = prepare(tmp_path, tiny_tokenizer, data, seed=7, **{"pack.seq_len": 512}).manifest
    html = manifest._repr_html_()
    assert html is not None
    shown, _, folded = html.partition("<details>")
    text = text_of(shown)
    assert "1 conversation packed into 1 sequence of 512 tokens" in text
    assert "seed 7" in text.partition("Settings")[2] and "pack.seq_len 512" in text
    assert "dedup.exact" not in text and "dedup.exact true" in text_of(folded)
    assert "ledger/00000.parquet" in html and manifest.ledger[0].sha256 in html and "pyarrow" in html


def test_a_mixture_shows_what_was_asked_and_what_is_there(tiny_tokenizer: Path, tmp_path: Path) -> None:
    data = [
        {"path": write(tmp_path, f"{name}.jsonl", [chat(f"{name} {n}?", f"{name}.") for n in range(9)]), "weight": 1.0}
        for name in ("one", "two")
    ]
    text = text_of(prepare(tmp_path, tiny_tokenizer, data)._repr_html_())
    assert "Mixture source requested actual trained available records copies one.jsonl 50.00% 50" in text
