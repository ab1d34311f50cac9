"""All curation stages at once: the same bytes in any circumstances, and every row packed or dropped with a reason."""

from __future__ import annotations

import importlib.util
import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from curated_rows import GOOD, LONG, QUESTION, everything, many_rows
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from raw_rows import chat, write_lines
from runs import ledger, prepare, prepare_rows

import sftdata
from sftdata.curate import stage
from sftdata.curate.duplicates import embedding
from sftdata.engines import engine
from sftdata.errors import ConfigError
from sftdata.pipeline import read


def test_workers_and_sizes_of_pieces_change_no_byte_with_everything_on(
    tiny_tokenizer: Path, tmp_path: Path, worker_pids: set[int]
) -> None:
    tests = write_lines(tmp_path / "test.jsonl", [chat(QUESTION, "72")])
    made = []
    used = []
    for workers, unit_bytes, piece_rows in ((1, 1 << 20, 4096), (2, 999, 7), (1, 300, 1)):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(read, "UNIT_BYTES", unit_bytes)
            patch.setattr(engine, "MAX_PIECE_ROWS", piece_rows)
            prepare_rows(tmp_path / "out", tiny_tokenizer, many_rows(), workers, **everything(tests))
        used.append(bool(worker_pids))
        worker_pids.clear()
        files = sorted(path for path in (tmp_path / "out").rglob("*") if path.is_file())
        made.append([(path.name, path.read_bytes()) for path in files])
        reasons = Counter(row["reason"] for row in ledger(tmp_path / "out"))
        shutil.rmtree(tmp_path / "out")
    assert used == [False, True, False]
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
def test_work_of_a_run_with_other_settings_is_used_again_only_where_it_is_the_same(
    tiny_tokenizer: Path, tmp_path: Path, change: dict[str, Any]
) -> None:
    tests = write_lines(tmp_path / "test.jsonl", [chat(QUESTION, "72")])
    data = write_lines(tmp_path / "data.jsonl", many_rows())
    least = {"pack": {"seq_len": 512}, "shard_tokens": 3000}
    first, then = {**least, **everything(tests)}, {**least, **everything(tests), **change}
    again, fresh = tmp_path / "again", tmp_path / "fresh"
    prepare(again, tiny_tokenizer, [str(data)], keep_work=True, **first)
    prepare(again, tiny_tokenizer, [str(data)], overwrite=True, **then)
    prepare(fresh, tiny_tokenizer, [str(data)], **then)
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
    """An encoder without a model: how often a text has each of some words; zeros for texts without any."""

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
        found = prepare_rows(
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
