"""`dedup.semantic` in `prepare`, `check` and `why`: with a real model of random weights, and with vectors by hand."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import yaml
from raw_rows import chat, write_lines

import sftdata
from sftdata.audit import audit
from sftdata.curate import stage
from sftdata.curate.duplicates.embedding import SentenceEncoder
from sftdata.engines import engine
from sftdata.errors import ConfigError
from sftdata.pipeline import read
from sftdata.store.ledger import read_ledger
from sftdata.view.why import explain

WORDS = ["the", "red", "blue", "train", "sea", "nine", "goes", "to", "a", "harbour", "and", "stops", "at", "last"]


def settings_for(tmp_path: Path, tokenizer: Path, semantic: dict[str, Any], **more: Any) -> dict[str, Any]:
    dedup = {"semantic": semantic, **more.pop("dedup", {})}
    least = {"tokenizer": str(tokenizer), "sources": [str(tmp_path / "data.jsonl")], "out": str(tmp_path / "out")}
    return {**least, "pack": {"seq_len": 512}, "dedup": dedup, **more}


def prepare(tmp_path: Path, tokenizer: Path, rows: list[Any], semantic: Any, **more: Any) -> list[dict[str, Any]]:
    """The ledger of a dataset made from rows, once it is proven."""
    write_lines(tmp_path / "data.jsonl", rows)
    keywords = {name: more.pop(name) for name in ("workers", "keep_work", "overwrite") if name in more}
    config = sftdata.parse_config(settings_for(tmp_path, tokenizer, semantic, **more))
    sftdata.prepare(config, **{"workers": 1, **keywords})
    sftdata.verify(tmp_path / "out")
    found: list[dict[str, Any]] = read_ledger(tmp_path / "out").to_pylist()
    return found


def sentences(count: int) -> list[str]:
    """Different ones of a few words, many of which share most of their words."""
    rng = np.random.default_rng(5)
    return list(dict.fromkeys(" ".join(rng.choice(WORDS, rng.integers(3, 9))) for _ in range(count)))


class Planes:
    """Reads "plane 3 at 20" as a direction in the third plane of many: texts of one plane are as close as their angles,
    others are at right angles. Case does not matter.
    """

    loaded = 0

    def __init__(self, folder: str) -> None:
        Planes.loaded += 1

    def encode(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        vectors = np.zeros((len(texts), 200), np.float32)
        for vector, text in zip(vectors, texts):
            plane, degrees = map(int, re.findall(r"\d+", text))
            vector[2 * plane], vector[2 * plane + 1] = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
        return vectors


@pytest.fixture
def planes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, Any]:
    """Settings under which texts up to 12 degrees apart say the same."""
    pytest.importorskip("faiss", reason="the extra `semantic` is not installed")
    pytest.importorskip("sentence_transformers", reason="the extra `semantic` is not installed")
    monkeypatch.setattr(stage, "SentenceEncoder", Planes)
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "modules.json").write_text("[]")
    return {"model": str(tmp_path / "model"), "threshold": float(np.cos(np.radians(12)))}


@pytest.mark.parametrize("keep", ["first", "longest_answer"])
def test_the_rows_dropped_are_those_that_brute_force_finds(
    sentence_model: Path, tiny_tokenizer: Path, tmp_path: Path, keep: str
) -> None:
    rows = [chat(text, "Yes. " * (1 + number % 7)) for number, text in enumerate(sentences(150))]
    vectors = SentenceEncoder(sentence_model).encode([row["messages"][0]["content"] for row in rows]).astype(np.float64)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    cosines = np.round(vectors @ vectors.T, 4)
    threshold = float(np.quantile(cosines[np.triu_indices(len(rows), 1)], 0.98))
    order = sorted(range(len(rows)), key=lambda at: 0 if keep == "first" else -len(rows[at]["messages"][1]["content"]))
    expected: list[tuple[str | None, str | None, float | None]] = [(None, None, None)] * len(rows)
    kept: list[int] = []
    for at in order:
        best = max(kept, key=lambda other: cosines[at, other], default=at)
        if best != at and cosines[at, best] >= threshold:
            expected[at] = ("semantic_duplicate", f"data.jsonl:{best + 1}", cosines[at, best])
        else:
            kept.append(at)
    settings = {"model": str(sentence_model), "threshold": threshold, "keep": keep}
    found = prepare(tmp_path, tiny_tokenizer, rows, settings)
    assert [(row["reason"], row["duplicate_of"], row["similarity"]) for row in found] == expected
    assert {row["stage"] for row in found} == {None, "dedup"}
    assert 20 < len(kept) < len(rows) - 20


def test_workers_and_sizes_of_pieces_change_no_byte(
    sentence_model: Path, tiny_tokenizer: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, worker_pids: set[int]
) -> None:
    rows = [chat(text) for text in sentences(60)]
    settings = {"model": str(sentence_model), "threshold": 0.99}
    made = []
    for workers, unit_bytes, piece_rows in ((1, 1 << 20, 4096), (2, 999, 7)):
        monkeypatch.setattr(read, "UNIT_BYTES", unit_bytes)
        monkeypatch.setattr(engine, "MAX_PIECE_ROWS", piece_rows)
        found = prepare(tmp_path, tiny_tokenizer, rows, settings, workers=workers, split={"validation": 0.3})
        assert bool(worker_pids) == (workers > 1)
        assert {row["reason"] for row in found} == {None, "semantic_duplicate"}
        files = sorted(path for path in (tmp_path / "out").rglob("*") if path.is_file())
        made.append([(path.name, path.read_bytes()) for path in files])
        shutil.rmtree(tmp_path / "out")
    assert made[0] == made[1]
    versions = json.loads(dict(made[0])["manifest.json"])["versions"]
    assert {"faiss-cpu", "sentence-transformers", "torch", "transformers"} <= versions.keys()


def test_each_step_sees_what_the_ones_before_it_left(
    planes: dict[str, Any], tiny_tokenizer: Path, tmp_path: Path
) -> None:
    exam = write_lines(tmp_path / "exam.jsonl", [chat("Please, plane 2 at 5.")])
    rows = [
        chat("plane 0 at 0, and what else is to be said about it?"),
        chat("plane 0 at 0, and what else is to be said about it?"),
        chat("plane 0 at 0, and what else is to be said about it!"),  # the same words
        chat("plane 0 at 0, and what else is to be told to anybody?"),  # begins alike
        chat("Please, plane 0 at 4."),
        chat("Please, plane 2 at 5."),
        chat("So, plane 2 at 9."),  # close to an item of the exam by its meaning alone
        chat("So, plane 2 at 90."),
    ]
    dedup = {"near": {"threshold": 0.9}, "prefix": {"chars": 20}}
    found = prepare(tmp_path, tiny_tokenizer, rows, planes, dedup=dedup, decontaminate={"against": str(exam)})
    assert [(row["reason"], row["duplicate_of"], row["similarity"]) for row in found] == [
        (None, None, None),
        ("duplicate", "data.jsonl:1", None),
        ("near_duplicate", "data.jsonl:1", 1.0),
        ("shared_prefix", "data.jsonl:1", None),
        ("semantic_duplicate", "data.jsonl:1", 0.9976),  # the cosine of 4 degrees
        ("contaminated", None, None),
        ("semantic_duplicate", "data.jsonl:6", 0.9976),
        (None, None, None),
    ]


def test_a_cluster_stays_on_one_side(planes: dict[str, Any], tiny_tokenizer: Path, tmp_path: Path) -> None:
    """Rows at 0 and 20 degrees are unlike, but both like one at 10 degrees that is dropped: two kept, one cluster."""
    story = " ".join(WORDS)
    rows = [chat(f"plane {plane} at {degrees}", f"{story} {plane}") for degrees in (0, 20, 10) for plane in range(60)]
    found = prepare(tmp_path, tiny_tokenizer, rows, planes, split={"validation": 0.4})
    assert [row["reason"] for row in found] == [None] * 120 + ["semantic_duplicate"] * 60
    sides = [(found[at]["split"], found[at + 60]["split"]) for at in range(60)]
    assert all(one == other for one, other in sides)
    held = sum(one == "validation" for one, _ in sides)
    assert 9 <= held <= 39  # four standard deviations around 24


def test_rows_that_a_near_duplicate_and_a_semantic_one_link_stay_on_one_side(
    planes: dict[str, Any], tiny_tokenizer: Path, tmp_path: Path
) -> None:
    """Of four rows, the second and the fourth are both like the third in words, which is dropped for the second; and
    the second is dropped because it says the same as the first. Nothing but dropped rows links the two that are left.
    """
    groups = []
    for plane in range(40):
        words = [f"w{plane}x{at}" for at in range(60)]
        left, right = [*words], [*words]
        left[10] = left[30] = "left"
        right[20] = right[50] = "right"
        texts = [["Nothing", "like", "it", f"y{plane}"], left, words, right]
        groups.append([chat(f"plane {plane} at {at}", " ".join(text)) for at, text in zip([0, 9, 45, 90], texts)])
    rows = [group[place] for place in range(4) for group in groups]
    near = {"near": {"threshold": 0.75, "on": "answer"}}
    found = prepare(tmp_path, tiny_tokenizer, rows, planes, dedup=near, split={"validation": 0.4})
    reasons = [None, "semantic_duplicate", "near_duplicate", None]
    assert [row["reason"] for row in found] == [reason for reason in reasons for _ in groups]
    assert all(found[at]["split"] == found[at + 120]["split"] for at in range(40))
    assert {row["split"] for row in found} == {None, "train", "validation"}


def test_texts_are_embedded_once_as_long_as_the_model_stays_the_same(
    planes: dict[str, Any], tiny_tokenizer: Path, tmp_path: Path
) -> None:
    rows = [chat(f"plane {plane} at {degrees}") for plane in range(5) for degrees in (0, 8, 40)]

    def dropped(**settings: Any) -> tuple[int, int]:
        """Rows dropped, and how often the model was loaded."""
        Planes.loaded = 0
        keywords = {"keep_work": True, "overwrite": True}
        found = prepare(tmp_path, tiny_tokenizer, rows, {**planes, **settings}, **keywords)
        return sum(row["reason"] == "semantic_duplicate" for row in found), Planes.loaded

    assert dropped() == (5, 1)
    assert dropped(threshold=0.7) == (10, 0)
    assert dropped(threshold=0.999) == (0, 0)
    shutil.copytree(planes["model"], tmp_path / "copy")
    assert dropped(model=str(tmp_path / "copy")) == (5, 0)
    (tmp_path / "copy" / "weights").write_bytes(b"other")
    assert dropped(model=str(tmp_path / "copy")) == (5, 1)


def test_the_model_is_found_beside_the_config_file_and_named_where_it_is_not(
    planes: dict[str, Any], tiny_tokenizer: Path, tmp_path: Path
) -> None:
    write_lines(tmp_path / "data.jsonl", [chat("plane 0 at 0"), chat("plane 0 at 1")])
    settings = settings_for(tmp_path, tiny_tokenizer, {"model": "model"})
    (tmp_path / "c.yaml").write_text(json.dumps(settings))
    assert sftdata.prepare(sftdata.load_config(tmp_path / "c.yaml"), workers=1).manifest.counts.packed == 1
    shutil.rmtree(tmp_path / "out")
    (tmp_path / "data.jsonl").write_text("{")  # is not looked at: the model comes first
    for run in (sftdata.prepare, audit):
        with pytest.raises(ConfigError, match=r"dedup\.semantic\.model: .*modle is not a folder"):
            run(sftdata.load_config(tmp_path / "c.yaml", ["dedup.semantic.model=modle"]))
    assert not (tmp_path / "out").exists()
    with pytest.raises(ConfigError, match=r"dedup\.semantic\.model is required"):
        sftdata.load_config(tmp_path / "c.yaml", ["dedup.semantic=on"])


def test_check_and_why_show_the_kept_row_and_the_cosine(
    sentence_model: Path, tiny_tokenizer: Path, tmp_path: Path
) -> None:
    rows = [
        chat("the red train goes to sea", "One."),
        chat("nine", "Two."),
        chat("The  red train goes to SEA", "Three, by jane.doe@example-mail.org."),  # the same to this model
        chat(" ", "Four."),
    ]
    settings = {"model": str(sentence_model), "threshold": 0.9999}
    found = prepare(tmp_path, tiny_tokenizer, rows, settings)
    assert [row["reason"] for row in found] == [None, None, "semantic_duplicate", "empty_prompt"]
    said = explain(tmp_path / "out", "data.jsonl:3")
    assert "dropped by dedup as semantic_duplicate" in said
    assert "duplicate of data.jsonl:1, with a similarity of 1.000" in said

    config = sftdata.parse_config(settings_for(tmp_path, tiny_tokenizer, {**settings, "on": "prompt"}))
    (finding,) = (one for one in audit(config).findings if one.kind == "semantic_duplicate")
    (example,) = finding.examples
    assert example.where == "data.jsonl:3"
    assert example.text == "a cosine of 1.0000 to data.jsonl:1: 'The red train goes to SEA'"
    assert finding.setting is not None
    suggested = yaml.safe_load(finding.setting)
    assert suggested == {"dedup": {"semantic": {"model": str(sentence_model), "threshold": 0.9999}}}
    assert "semantic_duplicate" not in {one.kind for one in audit(tmp_path / "data.jsonl").findings}
